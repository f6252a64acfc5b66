"""Differences against an independent bootstrap, and against what the evaluation itself says of the same texts."""

import json
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from lors.base.errors import LorsError
from lors.speech.decoding.hypothesis import Hypothesis
from lors.speech.evaluation_scores import Cell, mean_over_languages, score_cell
from lors.speech.manifest import Utterance
from lors.speech.wer import word_errors
from lors.study.results import Row
from lors.study.significance import Hypotheses, compare, mean_interval

from .paper_tables import score
from .small_evaluations import clips, spoiled, write_evaluation

LANGUAGES = ("es", "fr", "it")
Texts = dict[tuple[str, str], tuple[list[Utterance], list[str]]]


def texts(task: str, share: float, seed: int, number: int = 40) -> Texts:
    found = {}
    for place, language in enumerate(LANGUAGES):
        utterances = clips(language, task, number + place)
        found[language, task] = (utterances, spoiled(utterances, share, seed + place))
    return found


def row(folder: Path, made: Texts, seed: int = 0) -> Row:
    cells = write_evaluation(folder, made)
    return Row(language_set="a", setting="joint-training", languages=LANGUAGES, seed=seed, cells=cells)


@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_an_independent_bootstrap_agrees(tmp_path: Path, task: str) -> None:
    before, after = texts(task, 0.30, 1), texts(task, 0.26, 50)
    found = compare(
        [row(tmp_path / "a", before)],
        [row(tmp_path / "b", after)],
        [(x, task) for x in LANGUAGES],
        Hypotheses(),
    )
    assert found is not None
    draw, differences = np.random.default_rng(99), []
    for _ in range(250):
        parts = []
        for cell, (utterances, _) in before.items():
            chosen = draw.integers(len(utterances), size=len(utterances))
            said = [utterances[i].text for i in chosen]
            scores = [_score(task, said, [made[cell][1][i] for i in chosen]) for made in (before, after)]
            parts.append(scores[1] - scores[0])
        differences.append(np.mean(parts))
    whole = np.mean(
        [
            _score(task, [u.text for u in after[c][0]], after[c][1])
            - _score(task, [u.text for u in before[c][0]], before[c][1])
            for c in before
        ]
    )
    centred = np.abs(differences - np.mean(differences))
    assert found.difference == pytest.approx(whole)
    low, high = np.percentile(differences, [2.5, 97.5])
    near = 0.2 * (high - low)  # about three standard errors of such percentiles
    assert (found.low, found.high) == (pytest.approx(low, abs=near), pytest.approx(high, abs=near))
    assert found.p_value == pytest.approx((centred >= abs(whole)).mean(), abs=0.06)
    assert (found.cells, found.n) == (3, 40 + 41 + 42)


def _score(task: str, references: list[str], hypotheses: list[str]) -> float:
    if task == "translate":
        return float(sacrebleu.corpus_bleu(hypotheses, [references]).score)
    folded = [[t.lower().replace(".", "") for t in side] for side in (references, hypotheses)]
    errors = [word_errors(r, h) for r, h in zip(*folded, strict=True)]
    return 100 * sum(e.errors for e in errors) / sum(e.words for e in errors)


@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_the_evaluation_of_both_models_says_the_same(tmp_path: Path, task: str) -> None:
    made = {"a": texts(task, 0.3, 1), "b": texts(task, 0.2, 7)}
    results: dict[str, list] = {"a": [], "b": []}
    for name, cells in made.items():
        for place, ((language, _), (utterances, written)) in enumerate(cells.items()):
            cell = Cell(task, language, utterances[0].target_lang, tuple(utterances), ("d",))
            hypotheses = [Hypothesis(text, 1, 0.0, 400, False, None, 0.1) for text in written]
            first = results["a"][place] if name == "b" else None
            results[name].append(
                score_cell(
                    name, cell, hypotheses, normaliser=None, resamples=300, seed=7, signature="", first=first
                )
            )
    first = mean_over_languages(results["a"], None)
    second = mean_over_languages(results["b"], first).score
    rows = [row(tmp_path / name, cells) for name, cells in made.items()]
    cells = [(language, task) for language in LANGUAGES]
    found = compare(rows[:1], rows[1:], cells, Hypotheses())
    assert found is not None
    assert (found.first, found.second) == (pytest.approx(first.score.value), pytest.approx(second.value))
    assert (found.difference, found.p_value) == (pytest.approx(second.difference), second.p_value)
    interval = mean_interval(rows[1:], cells, Hypotheses())
    assert interval is not None
    assert (interval.low, interval.high) == (pytest.approx(second.low), pytest.approx(second.high))


def test_only_what_both_have_is_compared(tmp_path: Path) -> None:
    one, other = texts("transcribe", 0.4, 1), texts("transcribe", 0.1, 2)
    del other["fr", "transcribe"]
    cells = [(language, "transcribe") for language in LANGUAGES]
    found = compare([row(tmp_path / "a", one)], [row(tmp_path / "b", other)], cells, Hypotheses())
    assert found is not None
    assert (found.cells, found.n) == (2, 40 + 42)
    assert found.shown and found.gain > 0 and found.relative is not None
    assert found.relative[0] == pytest.approx(100 * found.difference / found.first)
    assert compare([], [row(tmp_path / "c", other)], cells, Hypotheses()) is None


def test_seeds_are_averaged_draw_by_draw(tmp_path: Path) -> None:
    seeds = [row(tmp_path / str(seed), texts("transcribe", 0.2, 10 * seed), seed) for seed in range(3)]
    cells = [("es", "transcribe")]
    found = compare(seeds[:1], seeds, cells, Hypotheses())
    values = [one.cells["es", "transcribe"].value for one in seeds]
    assert found is not None
    assert found.second == pytest.approx(np.mean(values))
    assert compare(seeds, seeds, cells, Hypotheses()).p_value == 1  # type: ignore[union-attr]


def test_other_utterances_are_not_compared(tmp_path: Path) -> None:
    cells = [("es", "transcribe")]
    one = row(tmp_path / "a", texts("transcribe", 0.2, 1, number=40))
    other = row(tmp_path / "b", texts("transcribe", 0.2, 1, number=39))
    assert compare([one], [other], cells, Hypotheses()) is None


def test_what_is_missing_is_none_and_what_is_damaged_is_an_error(tmp_path: Path) -> None:
    cells = [("es", "transcribe")]
    gone = Row(language_set="a", setting="finetuned", languages=("es",), cells={cells[0]: score(10)})
    one = row(tmp_path / "a", texts("transcribe", 0.2, 1))
    assert compare([gone], [one], cells, Hypotheses()) is None
    assert mean_interval([gone], cells, Hypotheses()) is None
    path = next((tmp_path / "a").rglob("es-transcribe-test.jsonl"))
    whole = path.read_text()
    first, *rest = [json.loads(line) for line in whole.splitlines()]
    first["substitutions"] += 3
    path.write_text("".join(json.dumps(line) + "\n" for line in [first, *rest]))
    with pytest.raises(LorsError, match=r"'es', transcribe, are not those that the study scored"):
        compare([one], [one], cells, Hypotheses())
    path.write_text(whole[:-40])
    with pytest.raises(LorsError, match=r"es-transcribe-test.jsonl: not of an evaluation by this version"):
        compare([one], [one], cells, Hypotheses())
    path.unlink()
    with pytest.raises(LorsError, match=r"es-transcribe-test.jsonl: no such file"):
        compare([one], [one], cells, Hypotheses())
