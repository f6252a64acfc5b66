"""The mixed objective: against sums by hand, against sacreBLEU, and with draws that are paired."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from lors.base.errors import UsageError
from lors.speech import bootstrap
from lors.speech.bleu import bleu_statistics
from lors.speech.evaluation import evaluate
from lors.study.tuning.objective import CellCounts, check_weights, decoded_cells, relative_change

REFERENCES = ["the cat sat on the mat today", "a dog ran in the park", "please enter the number again"]
GOOD = ["the cat sat on the mat today", "a dog ran in a park", "please enter the number again"]
BAD = ["the cat sat on a mat", "a dog ran at the park", "please enter a number"]


def wer_cell(language: str, errors: list[int], words: list[int]) -> CellCounts:
    return CellCounts(
        "transcribe", language, language, "wer", np.asarray(list(zip(errors, words, strict=True)))
    )


def bleu_cell(hypotheses: list[str]) -> CellCounts:
    return CellCounts("translate", "es", "en", "bleu", bleu_statistics(REFERENCES, hypotheses))


def test_the_mean_of_relative_changes_by_hand() -> None:
    base = [wer_cell("es", [2, 2], [10, 10]), wer_cell("fr", [1, 4], [5, 5]), bleu_cell(BAD)]
    ours = [wer_cell("es", [1, 2], [10, 10]), wer_cell("fr", [3, 4], [5, 5]), bleu_cell(GOOD)]
    scores = [sacrebleu.corpus_bleu(h, [REFERENCES]).score for h in (BAD, GOOD)]
    es, fr, bleu = (15 - 20) / 20, (70 - 50) / 50, (scores[0] - scores[1]) / scores[0]
    assert scores[1] > scores[0] > 1
    found = relative_change(ours, base, {"transcribe": 1, "translate": 1})
    assert found.value == pytest.approx(100 * (es + fr + bleu) / 3)
    assert found.n == 7
    found = relative_change(ours, base, {"transcribe": 1, "translate": 3})
    assert found.value == pytest.approx(100 * (es + fr + 3 * bleu) / 5)


def test_the_same_texts_are_no_change_and_the_draws_are_paired() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(5, 12, 60).tolist()
    base = wer_cell("es", rng.integers(0, 4, 60).tolist(), words)
    same = relative_change([base], [base], {"transcribe": 1})
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    # Every error halved: a tenfold difference between utterances cancels out.
    doubled = wer_cell("es", [2 * int(e) for e in base.counts[:, 0]], words)
    half = relative_change([base], [doubled], {"transcribe": 1})
    assert (half.value, half.low, half.high) == pytest.approx((-50.0, -50.0, -50.0))


def test_a_pretrained_model_without_errors_is_no_division_by_zero() -> None:
    found = relative_change([wer_cell("es", [1], [50])], [wer_cell("es", [0], [50])], {"transcribe": 1})
    assert found.value == pytest.approx(200.0)  # 2 % of words, by the least divisor of 1 %


def test_counts_of_kept_hypotheses_give_the_scores_and_intervals_of_the_evaluation(
    make_whisper: Callable[..., Path], manifest_of: Callable[..., Path], tmp_path: Path
) -> None:
    clips = [(1.0, "uno dos", "es", "es"), (0.8, "one two", "es", "en"), (0.9, "three", "es", "en")]
    model = make_whisper(tmp_path / "model")
    data = [manifest_of("a", clips), manifest_of("b", [(1.0, "tres", "es", "es")])]
    found = evaluate([model], data, tmp_path / "out", beam_size=1, window=100, seed=3)
    cells = {cell.task: cell for cell in decoded_cells(found, "model")}
    for task, cell in cells.items():
        score = found.score("model", task)
        assert cell.value() == pytest.approx(score.value)
        assert len(cell.counts) == score.n == 2
        sums = bootstrap.resampled_sums(cell.counts, 1000, 3, cell.stratum)
        interval = bootstrap.interval(bootstrap.SCORES[cell.metric](sums))
        assert (interval.low, interval.high) == pytest.approx((score.low, score.high))


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"translate": 2.0}, "the development data hold nothing of this task"),
        ({"translation": 2.0}, "expected transcribe or translate"),
        ({"transcribe": 0.0}, "expected a number above 0"),
        ({"transcribe": float("nan")}, "expected a number above 0"),
    ],
)
def test_wrong_weights(weights: dict[str, float], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_weights(weights, ["transcribe"])
