"""The runs of the comparison: `lors tune`, one candidate after another, and every candidate's score."""

import argparse
import json
import shutil
import sys
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from measure import Run, measure
from report import commit

from lors.base.files import read_json, sha256_of, sha256_of_text, write_json
from lors.checkpoints.read import open_checkpoint

PRETRAINED = "pretrained"
GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, taken modulo 1, fill the interval evenly however many there are."""


@dataclass(frozen=True)
class Score:
    """Of one candidate at the full beam: the mean WER over languages in per cent, its errors and words over all."""

    wer: float
    low: float
    high: float
    errors: int
    words: int

    @classmethod
    def of(cls, results: Path) -> "Score":
        scores = read_json(results)["scores"]
        mean = next((s for s in scores if s["source_lang"] is None), scores[0])
        counts = [s["counts"] for s in scores if s["source_lang"] is not None]
        errors = sum(c["substitutions"] + c["deletions"] + c["insertions"] for c in counts)
        return cls(mean["value"], mean["low"], mean["high"], errors, sum(c["words"] for c in counts))


class Session:
    """Runs of the same settings, in a folder that is named by them."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.dev, self.test = (
            [given.data / f"{language}-transcribe-{split}.jsonl" for language in given.languages.split(",")]
            for split in ("dev", "test")
        )
        self.settings: dict[str, Any] = {
            "base": given.base,
            "experts": [open_checkpoint(path).sha256() for path in given.expert],
            "dev": [sha256_of(path) for path in self.dev],
            "method": given.method,
            "grid": {"scale": given.scales, "rank_ratio": given.rank_ratios, "keep_ratio": given.keep_ratios},
            "limit": given.limit,
            "window": given.window,
            "beam_size": given.beam_size,
        }
        self.folder = given.folder.absolute() / sha256_of_text(json.dumps(self.settings))[:12]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.recipe = self.folder / "recipe.yaml"
        experts = [str(path.absolute()) for path in given.expert]
        content = {"base": given.base, "method": given.method, "experts": experts}
        self.recipe.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    @property
    def candidates(self) -> list[dict[str, float]]:
        """Every combination, in golden steps through the grid, so that the first few are spread over it."""
        grid = self.settings["grid"]
        every = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        return [every[place] for place in sorted(range(len(every)), key=lambda place: place * GOLDEN % 1)]

    def one_by_one(self, values: dict[str, float] | None) -> list[Run]:
        """`lors merge` and `lors evaluate` of a candidate, or the latter of the pretrained model (None)."""
        name = PRETRAINED if values is None else name_of(values)
        kept, merged, out = (self.folder / part for part in (f"{name}.json", "merged", f"evaluation-{name}"))
        if kept.is_file():
            return [Run(**run) for run in read_json(kept)]
        runs = [] if values is None else [self._merge(values, merged)]
        model = self.given.base if values is None else str(merged)
        arguments = ["evaluate", model, *self._decoding(self.dev), "--out", str(out), "--overwrite"]
        runs.append(self._run(f"evaluate {name}", arguments))
        write_json(kept, [run.as_json() for run in runs])
        return runs

    def tuned(self) -> Run:
        """`lors tune` over the whole grid, from nothing."""
        kept = self.tuned_folder.with_suffix(".json")
        if kept.is_file():
            return Run(**read_json(kept))
        shutil.rmtree(self.tuned_folder, ignore_errors=True)
        run = self._run(f"tune {self.given.short_list}", self._tune(self.given.short_list, self.tuned_folder))
        run = replace(run, more={**run.more, "seconds": read_json(self.tuned_folder / "seconds.json")})
        write_json(kept, run.as_json())
        return run

    def exhaust(self) -> None:
        """`lors tune` with every candidate on its short list; it goes on where it was interrupted."""
        self._run("exhaustive", self._tune(len(self.candidates), self.folder / "exhaustive"))

    def tested(self, values: dict[str, float]) -> Score:
        """A candidate on the test data, which chose nothing."""
        name = name_of(values)
        merged, out = self.folder / "merged", self.folder / f"test-{name}"
        if not (out / "results.json").is_file():
            self._merge(values, merged)
            self._run(
                f"test {name}", ["evaluate", str(merged), *self._decoding(self.test), "--out", str(out)]
            )
        return Score.of(out / "results.json")

    @property
    def tuned_folder(self) -> Path:
        """What `lors tune` left, with this short list."""
        return self.folder / f"tuned-{self.given.short_list}"

    def _tune(self, short_list: int, out: Path) -> list[str]:
        grid = [
            f"{key}={','.join(f'{value:g}' for value in values)}"
            for key, values in self.settings["grid"].items()
        ]
        tries = [part for text in grid for part in ("--try", text)]
        dev = ["--dev" if part == "--data" else part for part in self._decoding(self.dev)]
        return ["tune", str(self.recipe), *dev, *tries, "--short-list", str(short_list), "--out", str(out)]

    def score(self, values: dict[str, float]) -> Score | None:
        """By the full beam, of whoever decoded it; None where no one has."""
        beam = f"beam-{self.given.beam_size}"
        folders = [self.folder / f"evaluation-{name_of(values)}"]
        for search in (self.folder / "exhaustive", self.tuned_folder):
            folders.append(search / "trials" / beam / trial_of(values))
        found = {Score.of(path / "results.json") for path in folders if (path / "results.json").is_file()}
        if len(found) > 1:
            raise SystemExit(f"{name_of(values)}: decoded twice, the scores differ: {found}")
        return next(iter(found), None)

    def scores(self) -> dict[str, Score]:
        """Of every candidate that was decoded."""
        found = {name_of(values): self.score(values) for values in self.candidates}
        return {name: score for name, score in found.items() if score is not None}

    def done(self) -> list[dict[str, float]]:
        return [values for values in self.candidates if (self.folder / f"{name_of(values)}.json").is_file()]

    def _merge(self, values: dict[str, float], out: Path) -> Run:
        flags = [
            part for key, value in values.items() for part in (f"--{key.replace('_', '-')}", f"{value:g}")
        ]
        experts = [part for path in self.given.expert for part in ("--expert", str(path))]
        merge = ["merge", "--base", self.given.base, *experts, "--method", self.given.method, *flags]
        return self._run(f"merge {name_of(values)}", [*merge, "--out", str(out), "--overwrite"])

    def _decoding(self, manifests: list[Path]) -> list[str]:
        given = self.given
        data = [part for path in manifests for part in ("--data", str(path))]
        return [
            *data,
            *([] if given.limit is None else ["--limit", str(given.limit)]),
            "--window",
            str(given.window),
            "--beam-size",
            str(given.beam_size),
        ]

    def _run(self, name: str, arguments: list[str]) -> Run:
        command = [sys.executable, "-m", "lors", *arguments]
        run = measure(name, command, self.folder / f"{name.replace(' ', '-')}.log", 1)
        if run.exit_code:
            raise SystemExit(f"{name} failed with exit code {run.exit_code}, see {run.log}")
        return replace(run, more={**commit(), "load": Path("/proc/loadavg").read_text().split()[0]})


def name_of(values: dict[str, float]) -> str:
    return "-".join(f"{key}={value:g}" for key, value in values.items())


def trial_of(values: dict[str, float]) -> str:
    """The same as `lors tune` names it: the scale stands last."""
    keys = [*(key for key in values if key != "scale"), "scale"]
    return "_".join(f"{key}={values[key]:g}" for key in keys)
