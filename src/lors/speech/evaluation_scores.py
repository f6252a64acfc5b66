"""From hypotheses to scores: each language and task with its interval, and against the first model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lors.speech import bootstrap
from lors.speech.bleu import bleu_statistics, translation_score
from lors.speech.decoding.hypothesis import Hypothesis
from lors.speech.evaluation_inputs import normaliser_for
from lors.speech.manifest import Utterance
from lors.speech.wer import SIGNATURE as WER_SIGNATURE
from lors.speech.wer import WordErrors, total, word_errors

METRICS = {"transcribe": "wer", "translate": "bleu"}
"""Task → the metric that it is scored with."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of the results, with all that is needed to read it.

    Attributes:
        model: its name.
        task: "transcribe" or "translate".
        source_lang: language spoken; None for the plain mean over languages.
        target_lang: language of the text; None for the mean.
        metric: "wer" (per cent) or "bleu" (0 to 100).
        value: the score.
        low, high: 95 % bootstrap interval over utterances.
        n: utterances scored.
        difference: `value` minus that of the first model; None for the first.
        p_value: two-sided, of the paired bootstrap against the first model; None for the first.
        loops: hypotheses that looped and were decoded again.
        audio_seconds, seconds: length of the speech, and time it took to decode.
        windows: encoder positions → utterances decoded with them.
        counts: of words: words, correct, substitutions, deletions, insertions; empty for BLEU and means.
        chrf: sacreBLEU's chrF, 0 to 100; None for WER and means.
        signature: metric, normaliser, model, data and decoder.
    """

    model: str
    task: str
    source_lang: str | None
    target_lang: str | None
    metric: str
    value: float
    low: float
    high: float
    n: int
    difference: float | None
    p_value: float | None
    loops: int
    audio_seconds: float
    seconds: float
    windows: Mapping[str, int]
    counts: Mapping[str, int]
    chrf: float | None
    signature: str

    @property
    def real_time_factor(self) -> float:
        """Seconds of decoding by seconds of speech: below 1 is faster than speech."""
        return self.seconds / self.audio_seconds


@dataclass(frozen=True)
class Cell:
    """The utterances of one pair of languages from all manifests, in their order.

    Attributes:
        data_signatures: sha256 of each manifest that has a part in it.
    """

    task: str
    source_lang: str
    target_lang: str
    utterances: tuple[Utterance, ...]
    data_signatures: tuple[str, ...]

    @property
    def stratum(self) -> str:
        """What parts the bootstrap's draws of one cell from those of another."""
        return f"{self.task} {self.source_lang} {self.target_lang}"


@dataclass(frozen=True)
class CellResult:
    """One model's score on a cell, and the scores of its resamples, float64 [resamples]."""

    score: Score
    resampled: np.ndarray


def utterance_errors(utterance: Utterance, hypothesis: str, normaliser: str | None) -> WordErrors:
    """Word errors of one hypothesis, both sides normalised."""
    normalise = normaliser_for(utterance, normaliser)
    return word_errors(normalise(utterance.text), normalise(hypothesis))


def score_cell(
    model: str,
    cell: Cell,
    hypotheses: Sequence[Hypothesis],
    *,
    normaliser: str | None,
    resamples: int,
    seed: int,
    signature: str,
    first: CellResult | None,
) -> CellResult:
    """Score one model on one cell; `first` is the first model's result on it, to be compared with."""
    texts = [hypothesis.text for hypothesis in hypotheses]
    counts: dict[str, int] = {}
    chrf: float | None = None
    if METRICS[cell.task] == "wer":
        parts = [
            utterance_errors(u, text, normaliser) for u, text in zip(cell.utterances, texts, strict=True)
        ]
        errors = total(parts)
        value = errors.wer
        statistics = np.asarray([(part.errors, part.words) for part in parts])
        counts = {
            "words": errors.words,
            "correct": errors.correct,
            "substitutions": errors.substitutions,
            "deletions": errors.deletions,
            "insertions": errors.insertions,
        }
        profiles = sorted({normaliser_for(u, normaliser).signature for u in cell.utterances})
        metric_signature = f"{WER_SIGNATURE}|normaliser:{'+'.join(profiles)}"
    else:
        references = [utterance.text for utterance in cell.utterances]
        translation = translation_score(references, texts)
        value, chrf = translation.bleu, translation.chrf
        statistics = bleu_statistics(references, texts)
        metric_signature = f"bleu|{translation.bleu_signature}"
    sums = bootstrap.resampled_sums(statistics, resamples, seed, cell.stratum)
    resampled = bootstrap.SCORES[METRICS[cell.task]](sums)
    interval = bootstrap.interval(resampled)
    difference = None if first is None else value - first.score.value
    windows: dict[str, int] = {}
    for hypothesis in sorted(hypotheses, key=lambda h: h.window):
        windows[str(hypothesis.window)] = windows.get(str(hypothesis.window), 0) + 1
    score = Score(
        model=model,
        task=cell.task,
        source_lang=cell.source_lang,
        target_lang=cell.target_lang,
        metric=METRICS[cell.task],
        value=value,
        low=interval.low,
        high=interval.high,
        n=len(texts),
        difference=difference,
        p_value=_p_value(first, resampled, difference),
        loops=sum(hypothesis.looped for hypothesis in hypotheses),
        audio_seconds=sum(utterance.duration for utterance in cell.utterances),
        seconds=sum(hypothesis.seconds for hypothesis in hypotheses),
        windows=windows,
        counts=counts,
        chrf=chrf,
        signature=f"{metric_signature}|data:{'+'.join(d[:12] for d in cell.data_signatures)}|{signature}",
    )
    return CellResult(score, resampled)


def mean_over_languages(results: Sequence[CellResult], first: CellResult | None) -> CellResult:
    """The plain mean of one model's scores of one task: every language weighs the same, as in the paper.

    Its interval comes from the means over resamples that were drawn in each language by itself.
    """
    scores = [result.score for result in results]
    resampled = np.mean([result.resampled for result in results], axis=0)
    value = float(np.mean([score.value for score in scores]))
    interval = bootstrap.interval(resampled)
    difference = None if first is None else value - first.score.value
    windows: dict[str, int] = {}
    for score in scores:
        for window, count in score.windows.items():
            windows[window] = windows.get(window, 0) + count
    score = Score(
        model=scores[0].model,
        task=scores[0].task,
        source_lang=None,
        target_lang=None,
        metric=scores[0].metric,
        value=value,
        low=interval.low,
        high=interval.high,
        n=sum(score.n for score in scores),
        difference=difference,
        p_value=_p_value(first, resampled, difference),
        loops=sum(score.loops for score in scores),
        audio_seconds=sum(score.audio_seconds for score in scores),
        seconds=sum(score.seconds for score in scores),
        windows=windows,
        counts={},
        chrf=None,
        signature=f"mean of {len(scores)} languages: "
        + ", ".join(f"{score.source_lang}-{score.target_lang}" for score in scores),
    )
    return CellResult(score, resampled)


def _p_value(first: CellResult | None, resampled: np.ndarray, difference: float | None) -> float | None:
    if first is None or difference is None:
        return None
    return bootstrap.paired_p_value(first.resampled, resampled, difference)
