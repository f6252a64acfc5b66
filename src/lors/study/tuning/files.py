"""The folder of a search: whose it is, and what is written there at its end."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from lors.base.errors import UsageError
from lors.base.files import read_json, write_json, write_text
from lors.base.progress import say
from lors.merging.locate import find_local
from lors.merging.recipe import Recipe
from lors.study.tuning.drawing import STORAGE
from lors.study.tuning.trial import Trial, Tuning

RECORD = "tuning.json"
RECIPE = "recipe.yaml"
STAGES = "stages"
_REQUEST, _SECONDS = "request.json", "seconds.json"
_RESULTS = {RECORD, RECIPE, "trials.md", "curve.png", "front.png"}
_KEPT = {"trials", "experts", "pretrained", "pretrained-retain", "candidate", STORAGE, _SECONDS}


def add_seconds(out: Path, spent: Mapping[str, float], whole: float) -> dict[str, float]:
    """What this run spent beside what earlier ones did, by kind."""
    path = out / _SECONDS
    before = read_json(path) if path.is_file() else {}
    seconds = {kind: before.get(kind, 0.0) + more for kind, more in {**spent, "all": whole}.items()}
    write_json(path, seconds)
    return seconds


def claim(out: Path, request: Mapping[str, Any], overwrite: bool) -> None:
    """Make `out` the folder of this search, or find that it is."""
    record = out / _REQUEST
    if record.is_file() and read_json(record) == request:
        say(f"Going on in {out}")
        return
    there = [path for path in out.iterdir() if path.name != STAGES] if out.exists() else []
    if there:
        if not overwrite:
            held = "a search with other settings, models or data" if record.is_file() else "something else"
            raise UsageError(f"{out}: holds {held}; name another folder, or pass --overwrite to replace it.")
        foreign = [path for path in there if path.name not in _KEPT | _RESULTS | {_REQUEST}]
        if not record.is_file() or foreign:
            raise UsageError(f"{out}: is no folder of `lors tune`; remove it yourself, or name another.")
        record.unlink()
        for path in there:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    write_json(record, request)


def finished(out: Path, trials: int | None) -> Tuning | None:
    """What the search of `out` found, where it has ended, with so many drawn trials, and all that it wrote is there."""
    if not all((out / name).is_file() for name in (RECORD, RECIPE, "trials.md", "curve.png")):
        return None
    record = read_json(out / RECORD)
    if record.get("trials_drawn") != trials:
        return None
    return Tuning(
        directory=out,
        best=Trial(**record["best"]),
        as_good=tuple(record["as_good"]),
        pretrained=Trial(**record["pretrained"]),
        trials=tuple(Trial(**trial) for trial in record["trials"]),
        refused=tuple(record["refused"]),
        seconds=record["seconds"],
    )


def write_results(result: Tuning, recipe: Recipe, trials: int | None) -> None:
    """Write table, pictures and recipe, and last the record that says that all is there."""
    from lors.study.tuning.charts import draw_curve, draw_front
    from lors.study.tuning.report import trials_table

    write_text(
        result.directory / RECIPE, yaml.safe_dump(_portable(recipe), sort_keys=False, allow_unicode=True)
    )
    write_text(result.directory / "trials.md", trials_table(result))
    draw_curve(result, result.directory / "curve.png")
    if any(trial.retention is not None for trial in result.trials):
        draw_front(result, result.directory / "front.png")
    write_json(result.directory / RECORD, {**asdict(result), "directory": None, "trials_drawn": trials})


def _portable(recipe: Recipe) -> dict[str, Any]:
    """The recipe as resolved, its models named so that they are found from anywhere."""

    def place(name: str) -> str:
        local = find_local(name, recipe.folders())
        return name if local is None else str(local)

    content = recipe.resolved()
    content["base"] = place(content["base"])
    content["experts"] = [{**expert, "model": place(expert["model"])} for expert in content["experts"]]
    return content
