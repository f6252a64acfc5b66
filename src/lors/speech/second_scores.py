"""The second score of each task: character error rate beside WER, chrF beside BLEU."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lors.speech import bootstrap
from lors.speech.bleu import chrf_statistics
from lors.speech.cer import character_errors

SECOND_METRICS = {"transcribe": "cer", "translate": "chrf"}
"""Task → the metric that it is scored with beside its first."""


@dataclass(frozen=True, kw_only=True)
class SecondScore:
    """One more number on the same hypotheses.

    Attributes:
        metric: "cer" (per cent) or "chrf" (0 to 100).
        value: the score.
        low, high: 95 % bootstrap interval over utterances, from the draws of the first metric.
        difference: `value` minus that of the first model; None for the first.
        p_value: two-sided, of the paired bootstrap against the first model; None for the first.
        signature: metric and normaliser; model, data and decoder are those of the score that it stands beside.
    """

    metric: str
    value: float
    low: float
    high: float
    difference: float | None
    p_value: float | None
    signature: str


@dataclass(frozen=True)
class SecondResult:
    """A second score and the scores of its resamples, float64 [resamples]."""

    score: SecondScore
    resampled: np.ndarray


def second_score(
    task: str,
    references: Sequence[str],
    hypotheses: Sequence[str],
    *,
    signature: str,
    resamples: int,
    seed: int,
    stratum: str,
    first: SecondResult | None,
) -> SecondResult:
    """Score transcriptions by CER, translations by chrF.

    Args:
        references, hypotheses: transcriptions after the normaliser; translations as they are.
        signature: of metric and normaliser.
        stratum: of the bootstrap's draws.
        first: the first model's result on the same utterances, to be compared with.
    """
    metric = SECOND_METRICS[task]
    if metric == "cer":
        parts = [character_errors(r, h) for r, h in zip(references, hypotheses, strict=True)]
        statistics = np.asarray([(part.errors, part.words) for part in parts])
    else:
        statistics = chrf_statistics(references, hypotheses)
    score_of = bootstrap.SCORES[metric]
    value = float(score_of(statistics.sum(axis=0)[None])[0])
    resampled = score_of(bootstrap.resampled_sums(statistics, resamples, seed, stratum))
    return _result(metric, value, resampled, signature, first)


def mean_of_second_scores(
    results: Sequence[SecondResult], signature: str, first: SecondResult | None
) -> SecondResult:
    """The plain mean of one model's second scores over languages, as of its first scores."""
    value = float(np.mean([result.score.value for result in results]))
    resampled = np.mean([result.resampled for result in results], axis=0)
    return _result(results[0].score.metric, value, resampled, signature, first)


def _result(
    metric: str, value: float, resampled: np.ndarray, signature: str, first: SecondResult | None
) -> SecondResult:
    interval = bootstrap.interval(resampled)
    difference = None if first is None else value - first.score.value
    p_value = None
    if first is not None and difference is not None:
        p_value = bootstrap.paired_p_value(first.resampled, resampled, difference)
    score = SecondScore(
        metric=metric,
        value=value,
        low=interval.low,
        high=interval.high,
        difference=difference,
        p_value=p_value,
        signature=signature,
    )
    return SecondResult(score, resampled)
