"""From hypotheses to scores: each language and task with its interval, and against the first model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lors.speech import bootstrap
from lors.speech.bleu import bleu_statistics, translation_score
from lors.speech.cer import SIGNATURE as CER_SIGNATURE
from lors.speech.decoding.hypothesis import Hypothesis
from lors.speech.evaluation_inputs import normaliser_for
from lors.speech.manifest import Utterance
from lors.speech.matched_pairs import matched_pairs_test
from lors.speech.second_scores import SecondResult, SecondScore, mean_of_second_scores, second_score
from lors.speech.wer import SIGNATURE as WER_SIGNATURE
from lors.speech.wer import WordErrors, alignment, count_steps, total, word_errors

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
        speakers: how many speak; None where the manifest leaves one out, and for means.
        low_by_speaker, high_by_speaker: 95 % bootstrap interval over speakers; None where `speakers` is
            None or 1.
        n: utterances scored.
        difference: `value` minus that of the first model; None for the first.
        p_value: two-sided, of the paired bootstrap against the first model; None for the first.
        matched_pairs: what the matched-pairs test found between the first model and this one, for WER of one
            language: the fields of `MatchedPairs`.
        loops: hypotheses that looped and were decoded again.
        audio_seconds, seconds: length of the speech, and time it took to decode.
        windows: encoder positions → utterances decoded with them.
        counts: of words: words, correct, substitutions, deletions, insertions; empty for BLEU and means.
        second: the same hypotheses by CER (transcriptions) or chrF (translations); None in results of an
            earlier version.
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
    speakers: int | None
    low_by_speaker: float | None
    high_by_speaker: float | None
    n: int
    difference: float | None
    p_value: float | None
    matched_pairs: Mapping[str, float] | None
    loops: int
    audio_seconds: float
    seconds: float
    windows: Mapping[str, int]
    counts: Mapping[str, int]
    second: SecondScore | None
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
    """One model's score on a cell.

    Attributes:
        resampled: the scores of its resamples, float64 [resamples].
        second: by the task's second metric.
        alignments: of each utterance, where the score is a WER of one language.
    """

    score: Score
    resampled: np.ndarray
    second: SecondResult
    alignments: tuple[str, ...] = ()


def utterance_errors(utterance: Utterance, hypothesis: str, normaliser: str | None) -> WordErrors:
    """Word errors of one hypothesis, both sides normalised."""
    normalise = normaliser_for(utterance, normaliser)
    return word_errors(normalise(utterance.text), normalise(hypothesis))


def read_score(entry: Mapping[str, Any]) -> Score:
    """A score as `results.json` has it.

    Raises:
        KeyError, TypeError: a field is missing or none of a score.
    """
    names = set(Score.__dataclass_fields__) - {"second"}
    fields = {name: entry[name] for name in names}
    second = entry.get("second")
    return Score(**fields, second=None if second is None else SecondScore(**second))


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
    references = [utterance.text for utterance in cell.utterances]
    counts: dict[str, int] = {}
    alignments: tuple[str, ...] = ()
    if METRICS[cell.task] == "wer":
        chosen = [normaliser_for(utterance, normaliser) for utterance in cell.utterances]
        references = [normalise(text) for normalise, text in zip(chosen, references, strict=True)]
        texts = [normalise(text) for normalise, text in zip(chosen, texts, strict=True)]
        alignments = tuple(alignment(r.split(), h.split()) for r, h in zip(references, texts, strict=True))
        parts = [count_steps(steps) for steps in alignments]
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
        profiles = "+".join(sorted({normalise.signature for normalise in chosen}))
        metric_signature = f"{WER_SIGNATURE}|normaliser:{profiles}"
        second_signature = f"{CER_SIGNATURE}|normaliser:{profiles}"
    else:
        translation = translation_score(references, texts)
        value = translation.bleu
        statistics = bleu_statistics(references, texts)
        metric_signature = f"bleu|{translation.bleu_signature}"
        second_signature = f"chrf|{translation.chrf_signature}"
    sums = bootstrap.resampled_sums(statistics, resamples, seed, cell.stratum)
    resampled = bootstrap.SCORES[METRICS[cell.task]](sums)
    interval = bootstrap.interval(resampled)
    speakers, by_speaker = _by_speaker(cell, statistics, resamples, seed)
    second = second_score(
        cell.task,
        references,
        texts,
        signature=second_signature,
        resamples=resamples,
        seed=seed,
        stratum=cell.stratum,
        first=None if first is None else first.second,
    )
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
        speakers=speakers,
        low_by_speaker=by_speaker.low if by_speaker else None,
        high_by_speaker=by_speaker.high if by_speaker else None,
        n=len(texts),
        difference=difference,
        p_value=_p_value(first, resampled, difference),
        matched_pairs=_matched_pairs(first, alignments),
        loops=sum(hypothesis.looped for hypothesis in hypotheses),
        audio_seconds=sum(utterance.duration for utterance in cell.utterances),
        seconds=sum(hypothesis.seconds for hypothesis in hypotheses),
        windows=windows,
        counts=counts,
        second=second.score,
        signature=f"{metric_signature}|data:{'+'.join(d[:12] for d in cell.data_signatures)}|{signature}",
    )
    return CellResult(score, resampled, second, alignments)


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
    signature = f"mean of {len(scores)} languages: "
    signature += ", ".join(f"{score.source_lang}-{score.target_lang}" for score in scores)
    second = mean_of_second_scores(
        [result.second for result in results], signature, None if first is None else first.second
    )
    score = Score(
        model=scores[0].model,
        task=scores[0].task,
        source_lang=None,
        target_lang=None,
        metric=scores[0].metric,
        value=value,
        low=interval.low,
        high=interval.high,
        speakers=None,
        low_by_speaker=None,
        high_by_speaker=None,
        n=sum(score.n for score in scores),
        difference=difference,
        p_value=_p_value(first, resampled, difference),
        matched_pairs=None,
        loops=sum(score.loops for score in scores),
        audio_seconds=sum(score.audio_seconds for score in scores),
        seconds=sum(score.seconds for score in scores),
        windows=windows,
        counts={},
        second=second.score,
        signature=signature,
    )
    return CellResult(score, resampled, second)


def _p_value(first: CellResult | None, resampled: np.ndarray, difference: float | None) -> float | None:
    if first is None or difference is None:
        return None
    return bootstrap.paired_p_value(first.resampled, resampled, difference)


def _by_speaker(
    cell: Cell, statistics: np.ndarray, resamples: int, seed: int
) -> tuple[int | None, bootstrap.Interval | None]:
    speakers = [u.speaker for u in cell.utterances if u.speaker is not None]
    if len(speakers) < len(cell.utterances):
        return None, None
    groups = bootstrap.sums_of_groups(statistics, speakers)
    if len(groups) < 2:
        return len(groups), None
    sums = bootstrap.resampled_sums(groups, resamples, seed, cell.stratum)
    return len(groups), bootstrap.interval(bootstrap.SCORES[METRICS[cell.task]](sums))


def _matched_pairs(first: CellResult | None, alignments: Sequence[str]) -> dict[str, float] | None:
    if first is None or not alignments:
        return None
    return asdict(matched_pairs_test(zip(first.alignments, alignments, strict=True)))
