"""Both tasks, drawn trials, held-out languages and stages: on tiny models, really merged and measured."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lors.base.errors import UsageError
from lors.speech.evaluation import evaluate
from lors.study.tuning import tune as tuning
from lors.study.tuning.charts import pareto_front
from lors.study.tuning.drawing import draw_trials
from lors.study.tuning.space import Range, check_space
from lors.study.tuning.stages import tune_in_stages
from lors.study.tuning.trial import Trial
from lors.study.tuning.tune import tune

QUICK: dict[str, Any] = {"beam_size": 1, "window": 100, "short_list": 2}


@pytest.fixture
def recipe(
    make_whisper: Callable[..., Path], make_expert: Callable[..., Path], tmp_path: Path
) -> dict[str, Any]:
    base = make_whisper(tmp_path / "base")
    experts = [make_expert(tmp_path / name, seed, 0.02) for seed, name in ((1, "es"), (2, "fr"))]
    for path in experts:
        groups = {f"{path.name}-transcribe": {"clips": 1, "minutes": 1.0}}
        (path / "finetune.json").write_text(json.dumps({"train_groups": groups}))
    return {"base": str(base), "method": "lors", "experts": [str(path) for path in experts]}


@pytest.fixture
def es(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("es-dev", [(1.0, "uno dos tres", "es", "es"), (1.1, "cuatro", "es", "es")])


@pytest.fixture
def fr(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("fr-dev", [(1.2, "un deux trois", "fr", "fr"), (0.9, "quatre", "fr", "fr")])


@pytest.fixture
def translations(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("es-en", [(1.0, "one two three", "es", "en"), (1.1, "four", "es", "en")])


@pytest.mark.parametrize("first_look", ["loss", "greedy"])
def test_both_tasks_by_their_relative_change(
    recipe: dict[str, Any], es: Path, translations: Path, tmp_path: Path, first_look: str
) -> None:
    given = {**QUICK, "beam_size": 2, "first_look": first_look, "pretrained": tmp_path / "shared"}
    tried = {"scale": [0.0, 0.5, 1.0], "rank_ratio": [0.1], "keep_ratio": [0.2]}
    out = tmp_path / "out"
    found = tune(recipe, [es, translations], out, tried=tried, weigh={"translate": 2}, **given)
    assert found.best.metric == "relative"
    assert set(found.best.cells) == {"es-transcribe", "es-translate"}
    assert (found.pretrained.value, found.pretrained.low, found.pretrained.high) == (0.0, 0.0, 0.0)
    decided = False
    for trial in found.trials:
        if trial.values["scale"] == 0.0 and trial.look != "greedy":
            assert (trial.value, trial.low, trial.high) == (0.0, 0.0, 0.0)  # it is the base itself
        if trial.look == "beam":
            base = found.pretrained.cells
            wer = (trial.cells["es-transcribe"] - base["es-transcribe"]) / max(1, base["es-transcribe"])
            bleu = (base["es-translate"] - trial.cells["es-translate"]) / max(1, base["es-translate"])
            assert trial.value == pytest.approx(100 * (wer + 2 * bleu) / 3)
            decided = True
    assert decided
    assert (tmp_path / "shared" / "results.json").is_file()
    before = (tmp_path / "shared" / "results.json").stat().st_mtime_ns
    other = tune(recipe, [es, translations], tmp_path / "other", tried={**tried, "scale": [0.3]}, **given)
    assert other.pretrained.cells == found.pretrained.cells
    assert (tmp_path / "shared" / "results.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("first_look", ["loss", "greedy"])
def test_relative_to_each_expert(
    recipe: dict[str, Any], es: Path, fr: Path, tmp_path: Path, first_look: str
) -> None:
    given = {**QUICK, "beam_size": 2, "first_look": first_look, "relative_to": "experts"}
    tried = {"scale": [0.0, 0.3, 1.0], "rank_ratio": [0.1], "keep_ratio": [0.2]}
    found = tune(recipe, [es, fr], tmp_path / "out", tried=tried, **given)
    assert found.best.metric == "relative" and found.best.against == "experts"
    alone = {}
    for name, expert, data in zip(("es", "fr"), recipe["experts"], (es, fr), strict=True):
        decoded = evaluate([expert], [data], tmp_path / f"alone-{name}", beam_size=2, window=100)
        alone[f"{name}-transcribe"] = decoded.scores[0].value
    decided = [trial for trial in found.trials if trial.look == "beam"]
    for trial in [*decided, found.pretrained]:
        changes = [100 * (trial.cells[name] - of) / max(1, of) for name, of in alone.items()]
        assert trial.value == pytest.approx(sum(changes) / 2)
    assert len(decided) == 2
    assert "% against experts" in (tmp_path / "out" / "trials.md").read_text()


def test_an_expert_as_it_is_changes_nothing_against_itself(
    recipe: dict[str, Any], es: Path, tmp_path: Path
) -> None:
    one = {**recipe, "method": "task-arithmetic", "experts": recipe["experts"][:1]}
    given = {**QUICK, "short_list": 1, "relative_to": "experts"}
    found = tune(one, [es], tmp_path / "out", tried={"scale": [0.0, 1.0, 2.0]}, **given)
    whole = [trial for trial in found.trials if trial.values["scale"] == 1.0]
    assert whole and all((trial.value, trial.low, trial.high) == (0.0, 0.0, 0.0) for trial in whole)
    base = next(trial for trial in found.trials if trial.values["scale"] == 0.0)
    assert base.look == "loss" and base.value != 0.0


def test_mistakes_of_relative_to(
    recipe: dict[str, Any], es: Path, fr: Path, manifest_of: Callable[..., Path], tmp_path: Path
) -> None:
    def refused(experts: list[str], dev: list[Path], asked: str = "experts") -> str:
        with pytest.raises(UsageError) as caught:
            tune(
                {**recipe, "experts": experts},
                dev,
                tmp_path / "out",
                tried={"rank_ratio": [0.1], "keep_ratio": [0.1]},
                relative_to=asked,
            )
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    both = recipe["experts"]
    assert "Did you mean 'experts'?" in refused(both, [es, fr], "expert")
    assert "no manifest of fr-transcribe" in refused(both, [es])
    italian = manifest_of("it", [(1.0, "uno", "it", "it")])
    assert "no expert was trained on what" in refused(both, [es, fr, italian])
    shutil.copytree(both[0], tmp_path / "twin")
    assert "were both trained on what" in refused([*both, str(tmp_path / "twin")], [es, fr])
    (Path(both[0]) / "finetune.json").unlink()
    assert "has no finetune.json" in refused(both, [es, fr])


def test_drawn_trials_find_the_minimum_of_a_known_surface(tmp_path: Path) -> None:
    def cost(values: Mapping[str, Any]) -> float:
        return (
            (values["scale"] - 0.6) ** 2
            + (0 if values["trim"] == "tensor" else 0.5)
            + abs(values["seed"] - 3)
        )

    space = {"scale": Range(0.1, 1.0), "trim": ["model", "tensor"], "seed": Range(1, 5)}
    drawn = draw_trials(tmp_path, space, 35, 0, cost)
    best = min(drawn, key=cost)
    assert best["seed"] == 3 and best["trim"] == "tensor" and abs(best["scale"] - 0.6) < 0.15
    assert all(0.1 <= values["scale"] <= 1.0 and isinstance(values["seed"], int) for values in drawn)


def test_drawn_trials_interrupted_are_those_of_one_run(tmp_path: Path) -> None:
    space = {"scale": Range(0.01, 1.0)}
    measured: list[float] = []

    def cost(values: Mapping[str, Any]) -> float:
        measured.append(values["scale"])
        if len(measured) == 14:
            raise KeyboardInterrupt
        return abs(values["scale"] - 0.3)

    whole = draw_trials(tmp_path / "whole", space, 20, 5, lambda values: abs(values["scale"] - 0.3))
    with pytest.raises(KeyboardInterrupt):
        draw_trials(tmp_path / "out", space, 20, 5, cost)
    again = draw_trials(tmp_path / "out", space, 20, 5, cost)
    assert len(measured) == 21  # the one that was cut short, again
    assert again[:13] == whole[:13]
    assert len(again) == 20
    assert draw_trials(tmp_path / "out", space, 12, 5, cost) == again[:12]


def test_a_search_over_ranges(recipe: dict[str, Any], es: Path, tmp_path: Path) -> None:
    tried = {"scale": Range(0.1, 1.0), "rank_ratio": [0.1, 0.2], "keep_ratio": Range(0.05, 0.5)}
    given = {**QUICK, "tried": tried, "trials": 5}
    found = tune(recipe, [es], tmp_path / "out", **given)
    assert len([trial for trial in found.trials if trial.look == "loss"]) == 5
    assert len([trial for trial in found.trials if trial.look == "greedy"]) == 2
    assert tune(recipe, [es], tmp_path / "out", **given) == found
    more = tune(recipe, [es], tmp_path / "out", **{**given, "trials": 7})
    assert len([trial for trial in more.trials if trial.look == "loss"]) == 7
    written = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert written["scale"] == more.best.values["scale"]


@pytest.mark.parametrize(
    ("tried", "trials", "told"),
    [
        ({"scale": Range(0.1, 1.0)}, None, "--try scale=0.1..1: a range needs --trials"),
        ({"scale": Range(1.0, 0.1)}, 3, "expected a smaller number before a larger"),
        ({"rank_ratio": Range(0.1, 1.5), "keep_ratio": [0.2]}, 3, "'rank_ratio' is 1.5"),
        ({"base": ["a", "b"]}, 3, "every candidate has the same base"),
        ({"rank_ratio": [0.1], "keep_ratio": [0.2]}, 0, "trials 0: expected 1 or more"),
    ],
)
def test_mistakes_of_ranges(
    recipe: dict[str, Any], es: Path, tmp_path: Path, tried: dict[str, Any], trials: int | None, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        tune(recipe, [es], tmp_path / "out", tried=tried, trials=trials, **QUICK)
    assert told in str(caught.value)


def test_a_range_of_scales_where_nothing_is_named(recipe: dict[str, Any]) -> None:
    space = check_space({**recipe, "rank_ratio": 0.1, "keep_ratio": 0.2}, {})
    assert space == {"scale": Range(0.2, 1.0)}
    assert Range(0.01, 0.2).is_logarithmic and not Range(0.1, 0.9).is_logarithmic


def test_what_loses_held_out_languages_is_refused(
    recipe: dict[str, Any], es: Path, fr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The objective falls with λ, and the loss on held-out data grows with it: 0, 4, 8, 12 %."""
    surface = {0.0: (0.0, 0.0), 0.2: (-5.0, 4.0), 0.4: (-9.0, 8.0), 0.6: (-12.0, 12.0)}

    class Known:
        seconds: Mapping[str, float] = {"merging": 1.0, "losses": 1.0, "decoding": 1.0}

        def __init__(self, *_: Any, **__: Any) -> None:
            self.decoded: list[float] = []

        def losses(self, candidates: Any, short_list: int) -> list[Trial]:
            return [trial(c.values["scale"], "loss") for c in candidates]

        def decode(self, candidate: Any, beam: int) -> Trial:
            return trial(candidate.values["scale"], "beam")

        def look_again(self, *_: Any) -> list[Trial]:
            return []

        def pretrained(self) -> Trial:
            return Trial({}, "beam", 5, "relative", 0.0, 0.0, 0.0, 4, 0, "stub")

    def trial(scale: float, look: str) -> Trial:
        value, held_out = surface[scale]
        kept = (
            {}
            if look == "loss"
            else {"retention": held_out, "retention_low": held_out - 1, "retention_high": held_out + 1}
        )
        return Trial(
            {"scale": scale},
            look,
            5 * (look == "beam"),
            "relative",
            value,
            value - 1,
            value + 1,
            4,
            0,
            "stub",
            **kept,
        )

    monkeypatch.setattr(tuning, "Search", Known)
    content = {**recipe, "rank_ratio": 0.1, "keep_ratio": 0.2}
    given: dict[str, Any] = {"tried": {"scale": [0.0, 0.2, 0.4, 0.6]}, "retain": [fr], "window": 100}
    found = tune(content, [es], tmp_path / "a", short_list=3, retain_within=5.0, **given)
    assert found.best.values == {"scale": 0.2}
    assert found.refused == ({"scale": 0.4}, {"scale": 0.6})
    assert "refused" in (tmp_path / "a" / "trials.md").read_text()
    assert (tmp_path / "a" / "front.png").read_bytes().startswith(b"\x89PNG")
    # A short list of what is refused goes on with the next until one is kept.
    found = tune(content, [es], tmp_path / "b", short_list=1, retain_within=5.0, **given)
    assert found.best.values == {"scale": 0.2}
    free = tune(content, [es], tmp_path / "c", short_list=3, **given)
    assert free.best.values == {"scale": 0.6} and free.refused == ()
    given["tried"] = {"scale": [0.2, 0.4, 0.6]}
    with pytest.raises(UsageError, match=r"none of 3 candidates .* the closest, scale 0.2, is 4.0 % worse"):
        tune(content, [es], tmp_path / "d", short_list=1, retain_within=3.0, **given)
    decoded = [trial(scale, "beam") for scale in surface]
    assert (
        pareto_front(
            [*decoded, Trial({"scale": 9}, "beam", 5, "relative", -4.0, -5, -3, 4, 0, "", {}, 9.0, 8, 10)]
        )
        == decoded
    )


def test_held_out_languages_are_measured_against_the_base(
    recipe: dict[str, Any], es: Path, fr: Path, tmp_path: Path
) -> None:
    content = {**recipe, "rank_ratio": 0.1, "keep_ratio": 0.2}
    found = tune(
        content, [es], tmp_path / "out", tried={"scale": [0.0, 1.0]}, retain=[fr], retain_within=1e6, **QUICK
    )
    kept = {trial.values["scale"]: trial for trial in found.trials if trial.retention is not None}
    assert kept[0.0].retention == 0.0 and set(kept) == {0.0, 1.0}
    wer = [
        json.loads((tmp_path / "out" / place / "results.json").read_text())["scores"][0]["value"]
        for place in ("pretrained-retain", "trials/retain-beam-1/scale=1")
    ]
    assert kept[1.0].retention == pytest.approx(100 * (wer[1] - wer[0]) / wer[0])


def test_stages_choose_ratios_for_each_expert_and_then_the_scale(
    recipe: dict[str, Any], es: Path, fr: Path, tmp_path: Path
) -> None:
    tried = {"scale": [0.3, 0.6], "rank_ratio": [0.1, 0.2], "keep_ratio": [0.1, 0.3]}
    out = tmp_path / "out"
    found = tune_in_stages(recipe, [es, fr], out, tried=tried, **QUICK)
    assert set(found.best.values) == {"scale"}
    written = yaml.safe_load((out / "recipe.yaml").read_text())
    for number, (name, expert) in enumerate(zip(("es", "fr"), written["experts"], strict=True), start=1):
        stage = json.loads((out / "stages" / f"{number}-{name}" / "tuning.json").read_text())
        assert stage["best"]["values"] == {k: expert[k] for k in ("rank_ratio", "keep_ratio")}
        own = yaml.safe_load((out / "stages" / f"{number}-{name}" / "recipe.yaml").read_text())
        assert own["scale"] == 1.0 and [Path(e["model"]).name for e in own["experts"]] == [name]
        assert set(stage["best"]["cells"]) == {f"{name}-transcribe"}
    assert tune_in_stages(recipe, [es, fr], out, tried=tried, **QUICK) == found


def test_mistakes_of_stages(
    recipe: dict[str, Any], es: Path, manifest_of: Callable[..., Path], tmp_path: Path
) -> None:
    tried: dict[str, Any] = {"rank_ratio": [0.1, 0.2], "keep_ratio": [0.1]}
    with pytest.raises(UsageError, match="no manifest of fr-transcribe"):
        tune_in_stages(recipe, [es], tmp_path / "out", tried=tried)
    with pytest.raises(UsageError, match="name ratios for each expert"):
        tune_in_stages(recipe, [es], tmp_path / "out", tried={"scale": [0.1]})
    mixed = manifest_of("mixed", [(1.0, "uno", "es", "es"), (1.0, "un", "fr", "fr")])
    with pytest.raises(UsageError, match="--stages wants a manifest for each"):
        tune_in_stages(recipe, [mixed], tmp_path / "out", tried=tried)
    (Path(recipe["experts"][0]) / "finetune.json").unlink()
    with pytest.raises(UsageError, match=r"has no finetune\.json"):
        tune_in_stages(recipe, [es], tmp_path / "out", tried=tried)
