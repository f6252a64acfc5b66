"""The clips that tell two candidates apart: decoding them alone gives what decoding all would."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lors.speech.evaluation import Evaluation, evaluate
from lors.speech.manifest import read_manifest
from lors.study.tuning.objective import decoded_cells, mean_score
from lors.study.tuning.second_look import differing, put_in, write_differing
from lors.study.tuning.trial import DIFFER
from lors.study.tuning.tune import RECORD, tune

DECODING: dict[str, Any] = {"beam_size": 2, "window": 100, "seed": 3}


@pytest.fixture
def models(make_whisper: Callable[..., Path], make_expert: Callable[..., Path], tmp_path: Path) -> list[Path]:
    """A base and two experts, near enough to it that some texts stay the same."""
    experts = [make_expert(tmp_path / name, seed, 0.004) for seed, name in ((1, "one"), (2, "two"))]
    return [make_whisper(tmp_path / "base"), *experts]


@pytest.fixture
def dev(manifest_of: Callable[..., Path]) -> list[Path]:
    spanish = [(0.5 + place / 20, f"uno dos {place}", "es", "es") for place in range(9)]
    mixed = [(0.6 + place / 20, f"one {place}", "es", "en") for place in range(6)]
    return [manifest_of("es", spanish), manifest_of("mixed", [*mixed, (1.0, "tres", "es", "es")])]


def test_the_differing_clips_alone_give_the_other_models_scores(
    models: list[Path], dev: list[Path], tmp_path: Path
) -> None:
    def decoded(model: Path, data: list[Path], folder: str) -> Evaluation:
        return evaluate([model], data, tmp_path / folder, names={model: "model"}, limit=8, **DECODING)

    whole = [decoded(model, dev, f"all-{model.name}") for model in models[1:]]
    first, second = (decoded_cells(found, "model") for found in whole)
    found = differing(whole[0], whole[1], "model")
    assert 0 < found.n < sum(len(cell.counts) for cell in first)  # the toys differ in some, not in all
    by_hand = sum(int((a.counts != b.counts).any(1).sum()) for a, b in zip(first, second, strict=True))
    assert found.n == by_hand

    paths = write_differing(found, dev, tmp_path / "part")
    assert sum(len(read_manifest(path)) for path in paths) == found.n
    part = decoded_cells(decoded(models[2], paths, "part-two"), "model")
    mixed = put_in(first, part, found)
    for ours, theirs in zip(mixed, second, strict=True):
        assert ours.stratum == theirs.stratum
        np.testing.assert_array_equal(ours.counts, theirs.counts)
    same = differing(whole[0], whole[0], "model")
    assert same.n == 0 and write_differing(same, dev, tmp_path / "none") == []
    assert put_in(first, [], same)[0].counts is not first[0].counts


def test_the_mean_over_languages_is_the_evaluations(
    models: list[Path], manifest_of: Callable[..., Path], tmp_path: Path
) -> None:
    data = [
        manifest_of(language, [(0.5 + place / 10, f"uno {place}", language, language) for place in range(4)])
        for language in ("es", "fr")
    ]
    found = evaluate([models[1]], data, tmp_path / "out", names={models[1]: "model"}, **DECODING)
    score = found.score("model", "transcribe")
    mean = mean_score(decoded_cells(found, "model"), seed=3)
    assert (mean.value, mean.low, mean.high, mean.n) == pytest.approx(
        (score.value, score.low, score.high, score.n)
    )


def test_a_search_looks_again_and_goes_on_the_same(
    models: list[Path], dev: list[Path], tmp_path: Path
) -> None:
    recipe = {"base": str(models[0]), "method": "lors", "experts": [str(path) for path in models[1:]]}
    tried = {"scale": [0.2, 0.6, 1.0], "rank_ratio": [0.1], "keep_ratio": [0.1, 0.3, 0.6]}
    out = tmp_path / "out"
    found = tune(recipe, dev, out, tried=tried, beam_size=2, window=100)
    again = [trial for trial in found.trials if trial.look == DIFFER]
    beam = [trial for trial in found.trials if trial.look == "beam"]
    assert len(beam) == 3 and 6 <= len(again) <= 7
    assert len({trial.n for trial in again}) == 1 and 0 < again[0].n < 16
    best = min(again, key=lambda trial: trial.cost)
    assert best.values in [trial.values for trial in beam]
    for trial in again:  # whom it decoded is told, and what it says of the clips that both share
        assert " differ, else as " in trial.signature and set(trial.cells) == {
            "es-transcribe",
            "es-translate",
        }
    table = (out / "trials.md").read_text()
    assert f"beam 2 {DIFFER} |" in table and "made different mistakes" in table
    (out / RECORD).unlink()
    kept = next((out / "trials" / "where-two-differ").glob("*/results.json"))
    before = json.loads(kept.read_text())["seconds"]
    assert tune(recipe, dev, out, tried=tried, beam_size=2, window=100).trials == found.trials
    assert json.loads(kept.read_text())["seconds"] == before
