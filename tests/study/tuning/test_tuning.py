"""The search over merges: what it tries, that it finds the optimum of a known surface, and that it goes on."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from lors.base.errors import UsageError
from lors.merging.engine import merge
from lors.study.tuning import measurements, search
from lors.study.tuning.space import SCALES, read_candidates
from lors.study.tuning.tune import tune


@pytest.fixture
def recipe(make_whisper: Callable[..., Path], make_expert: Callable[..., Path], tmp_path: Path) -> Path:
    """A recipe file with relative names, which lacks the keys that are tried."""
    make_whisper(tmp_path / "base")
    make_expert(tmp_path / "expert", 1, 0.01)
    path = tmp_path / "recipe.yaml"
    path.write_text("base: base\nmethod: lors\nkeep_ratio: 0.2\nexperts: [expert]\n")
    return path


@pytest.fixture
def dev(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("dev", [(1.0, "uno dos tres", "es", "es"), (1.2, "un deux trois", "fr", "fr")])


TRIED = {"scale": [0.8, 0.2, 0.4], "rank_ratio": [0.1, 0.3]}


class Surface:
    """Stands in for decoding: a WER that depends on the merge's own record, with its minimum where it is told."""

    def __init__(self, greedy: tuple[float, float], beam: tuple[float, float]) -> None:
        self.minimum = {1: greedy, 5: beam}
        self.decoded: list[tuple[float, float, int]] = []

    def __call__(self, models: Sequence[Path], dev: Any, folder: Path, **given: Any) -> Any:
        record = models[0] / "merge.json"
        beam = given["beam_size"]
        if record.is_file():
            made = json.loads(record.read_text())["recipe"]
            scale, rank_ratio = made["scale"], made["experts"][0]["rank_ratio"]
            best_scale, best_ratio = self.minimum[beam]
            value = 10 + 10 * abs(scale - best_scale) + 10 * abs(rank_ratio - best_ratio)
            self.decoded.append((scale, rank_ratio, beam))
        else:
            value = 30.0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps({"value": value}))
        return self.read(folder)

    def read(self, folder: Path) -> Any:
        value = json.loads((folder / "results.json").read_text())["value"]
        score = SimpleNamespace(
            metric="wer", value=value, low=value - 2.5, high=value + 2.5, n=2, loops=0, signature="wer|stub"
        )
        return SimpleNamespace(score=lambda model, task: score, scores=())


def stub(monkeypatch: pytest.MonkeyPatch, **minimum: tuple[float, float]) -> Surface:
    surface = Surface(**minimum)
    monkeypatch.setattr(measurements, "evaluate", surface)
    monkeypatch.setattr(search, "read_evaluation", surface.read)
    return surface


def test_every_combination_with_scales_innermost(recipe: Path) -> None:
    found = read_candidates(recipe, TRIED)
    assert [(c.values["rank_ratio"], c.values["scale"]) for c in found] == [
        (0.1, 0.2), (0.1, 0.4), (0.1, 0.8), (0.3, 0.2), (0.3, 0.4), (0.3, 0.8),
    ]  # fmt: skip
    assert all(c.recipe.scale == c.values["scale"] for c in found)


def test_scales_are_tried_where_nothing_is_named(recipe: Path) -> None:
    found = read_candidates(recipe, {"rank_ratio": [0.1]})
    assert [c.values["scale"] for c in found] == list(SCALES)


@pytest.mark.parametrize(
    ("tried", "told"),
    [
        ({"base": ["a", "b"]}, "--try base: every candidate has the same base"),
        ({"scale": [0.2, 0.2]}, "--try scale: expected different values"),
        (
            {"rank_ratio": [0.1, 1.7]},
            "recipe.yaml: 'rank_ratio' is 1.7, expected a number, above 0, at most 1.",
        ),
        ({"rank_ration": [0.1]}, "unknown key 'rank_ration'"),
        ({"rank_ratio": [i / 2000 for i in range(1, 1200)]}, "are more than 1,000"),
    ],
)
def test_mistakes_are_told_before_any_work(
    recipe: Path, dev: Path, tmp_path: Path, tried: dict[str, list[Any]], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        tune(recipe, [dev], tmp_path / "out", tried=tried)
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_greedy_ranks_and_the_full_beam_decides(
    recipe: Path, dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surface = stub(monkeypatch, greedy=(0.4, 0.1), beam=(0.2, 0.1))
    found = tune(recipe, [dev], tmp_path / "out", tried=TRIED, first_look="greedy", short_list=2)
    # Greedy: 10 at (0.4, 0.1), 12 at (0.2, 0.1) and at (0.4, 0.3); of equal ones the first.
    assert [entry[:2] for entry in surface.decoded if entry[2] == 5] == [(0.4, 0.1), (0.2, 0.1)]
    assert len([entry for entry in surface.decoded if entry[2] == 1]) == 6
    assert found.best.values == {"rank_ratio": 0.1, "scale": 0.2}
    assert (found.best.value, found.pretrained.value) == (10.0, 30.0)
    assert found.as_good == ({"rank_ratio": 0.1, "scale": 0.2}, {"rank_ratio": 0.1, "scale": 0.4})
    table = (tmp_path / "out" / "trials.md").read_text()
    assert "| 0.1 | 0.2 | WER, %, beam 5 | **10.00 (7.50–12.50)** | 2 | 0 |" in table
    assert table.count("\n| 0.") == 8
    assert (tmp_path / "out" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_recipe_merges_from_anywhere(
    recipe: Path, dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, greedy=(0.4, 0.3), beam=(0.4, 0.3))
    tune(recipe, [dev], tmp_path / "out", tried=TRIED, first_look="greedy")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    written = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert (written["scale"], written["experts"][0]["rank_ratio"]) == (0.4, 0.3)
    merge(tmp_path / "out" / "recipe.yaml", "merged")
    expected = yaml.safe_load(recipe.read_text()) | {"scale": 0.4, "rank_ratio": 0.3}
    names = {"base": str(tmp_path / "base"), "experts": [str(tmp_path / "expert")]}
    merge({**expected, **names}, "by-hand")
    weights = [elsewhere / name / "model.safetensors" for name in ("merged", "by-hand")]
    tensors = [load_file(path) for path in weights]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[1])


def test_a_search_goes_on_where_it_was_interrupted(
    recipe: Path, dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    surface = stub(monkeypatch, greedy=(0.4, 0.1), beam=(0.4, 0.1))
    decode = surface.__call__

    def third_time_unlucky(*given: Any, **named: Any) -> Any:
        if len(surface.decoded) == 2:
            raise KeyboardInterrupt
        return decode(*given, **named)

    monkeypatch.setattr(measurements, "evaluate", third_time_unlucky)
    with pytest.raises(KeyboardInterrupt):
        tune(recipe, [dev], out, tried=TRIED, first_look="greedy")
    assert not (out / "recipe.yaml").exists()
    monkeypatch.setattr(measurements, "evaluate", surface)
    first = tune(recipe, [dev], out, tried=TRIED, first_look="greedy")
    assert len(surface.decoded) == len(set(surface.decoded)) == 6 + 3
    assert tune(recipe, [dev], out, tried=TRIED, first_look="greedy") == first
    assert len(surface.decoded) == 6 + 3
    assert not (out / "candidate").exists()


def test_another_search_is_not_overwritten_unless_asked(
    recipe: Path, dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    stub(monkeypatch, greedy=(0.4, 0.1), beam=(0.4, 0.1))
    tune(recipe, [dev], out, tried={"rank_ratio": [0.1], "scale": [0.2, 0.4]}, first_look="greedy")
    with pytest.raises(UsageError, match="a search with other settings, models or data"):
        tune(recipe, [dev], out, tried=TRIED, first_look="greedy")
    tune(recipe, [dev], out, tried=TRIED, first_look="greedy", overwrite=True)
    (out / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match="remove it yourself"):
        tune(recipe, [dev], out, tried={"rank_ratio": [0.3]}, overwrite=True)
    assert (out / "diary.txt").exists()
