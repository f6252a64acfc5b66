"""How sure a score is: bootstrap over utterances or speakers, and the paired bootstrap between two systems.

Koehn 2004, "Statistical significance tests for machine translation evaluation"; Bisani and Ney 2004,
"Bootstrap estimates for confidence intervals in ASR performance evaluation".
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lors.speech.bleu import bleu_from_statistics, chrf_from_statistics

_ENTRIES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, in the unit of the score."""

    low: float
    high: float


def resampled_sums(counts: np.ndarray, resamples: int, seed: int, stratum: str = "") -> np.ndarray:
    """Sums of the counts of as many utterances, drawn with replacement, `resamples` times.

    The draws depend on `seed`, `stratum` and the number of utterances alone: two systems scored on the same
    utterances get the same draws, which is what makes a comparison of them paired; two languages
    (strata) get draws that are independent of each other.

    Args:
        counts: int [utterances, k], utterances ≥ 1.

    Returns:
        int64 [resamples, k].
    """
    utterances = len(counts)
    digest = hashlib.sha256(stratum.encode("utf-8")).digest()
    generator = np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
    # float64 adds integers exactly up to 2^53, and its matrix product is the fast one.
    values = np.asarray(counts, dtype=np.float64)
    rows = max(1, _ENTRIES_AT_ONCE // utterances)
    sums = []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = generator.integers(utterances, size=(size, utterances))
        drawn += np.arange(size)[:, None] * utterances
        times = np.bincount(drawn.ravel(), minlength=size * utterances).reshape(size, utterances)
        sums.append(times.astype(np.float64) @ values)
    return np.concatenate(sums).astype(np.int64)


def sums_of_groups(counts: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """The counts of each group's utterances added up, in the order in which the groups first appear.

    `resampled_sums` of them draws whole speakers in place of utterances (the cluster bootstrap): utterances of
    one speaker are alike, and an interval over utterances is too narrow for what a new speaker would give.

    Args:
        counts: int [utterances, k].
        groups: of each utterance, its speaker.

    Returns:
        int64 [groups, k].
    """
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    sums = np.zeros((len(places), counts.shape[1]), dtype=np.int64)
    np.add.at(sums, [places[group] for group in groups], counts)
    return sums


def wer_of(sums: np.ndarray) -> np.ndarray:
    """Word or character error rates in per cent, float64 [n], of counts [n, 2]: errors, words of the reference.

    Where a resample drew no reference word at all it is taken to have one, so that the rate stays finite.
    """
    return 100.0 * sums[:, 0] / np.maximum(sums[:, 1], 1)


def bleu_of(sums: np.ndarray) -> np.ndarray:
    """BLEU, float64 [n], of counts [n, 10] as `bleu_statistics` gives them."""
    return np.asarray([bleu_from_statistics(row) for row in sums])


def chrf_of(sums: np.ndarray) -> np.ndarray:
    """chrF, float64 [n], of counts [n, 18] as `chrf_statistics` gives them."""
    return np.asarray([chrf_from_statistics(row) for row in sums])


SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "wer": wer_of,
    "cer": wer_of,
    "bleu": bleu_of,
    "chrf": chrf_of,
}


def interval(scores: np.ndarray) -> Interval:
    """The 2.5th to the 97.5th percentile of resampled scores."""
    low, high = np.percentile(scores, [2.5, 97.5])
    return Interval(float(low), float(high))


def paired_p_value(first: np.ndarray, second: np.ndarray, difference: float) -> float:
    """Two-sided p of "both systems are equally good", from scores on the same resamples.

    The share of resamples whose difference strays from the mean difference by as much as `difference`, the
    one that was observed, or more; with 1000 resamples never below 1/1001, and 1 for equal systems.
    """
    differences = second - first
    astray = np.abs(differences - differences.mean()) >= abs(difference)
    return float((astray.sum() + 1) / (len(differences) + 1))
