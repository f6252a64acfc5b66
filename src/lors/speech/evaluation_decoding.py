"""What an evaluation tells of decoding beside the scores: the best of n texts, and languages that were detected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lors.speech import bootstrap
from lors.speech.decoding.hypothesis import Hypothesis
from lors.speech.evaluation_scores import utterance_errors
from lors.speech.manifest import Utterance
from lors.speech.wer import WordErrors, total

Decoded = Sequence[tuple[Utterance, Hypothesis]]


@dataclass(frozen=True)
class Oracle:
    """The word error rate that the best of the n-best texts of every utterance would have: what reranking could gain.

    Attributes:
        nbest: texts kept of each utterance.
        value: per cent.
        low, high: 95 % bootstrap interval over utterances.
        n: utterances.
        words, errors: in all of them.
    """

    nbest: int
    value: float
    low: float
    high: float
    n: int
    words: int
    errors: int


@dataclass(frozen=True)
class Identified:
    """How often the language that was detected is the one that the manifest names.

    Attributes:
        correct, n: utterances.
        low, high: 95 % bootstrap interval of the share, in per cent.
        taken_for: other languages that were detected, the most frequent first → how often.
    """

    correct: int
    n: int
    low: float
    high: float
    taken_for: Mapping[str, int]


def oracle(decoded: Decoded, normaliser: str | None, resamples: int, seed: int) -> Oracle:
    """Of transcriptions in one language, each with its n-best texts; the first of equally good ones counts."""
    best = []
    for utterance, hypothesis in decoded:
        found = [utterance_errors(utterance, one.text, normaliser) for one in hypothesis.nbest]
        best.append(min(found, key=lambda errors: errors.errors))
    errors: WordErrors = total(best)
    statistics = np.asarray([(part.errors, part.words) for part in best])
    stratum = f"oracle {decoded[0][0].source_lang}"
    resampled = bootstrap.SCORES["wer"](bootstrap.resampled_sums(statistics, resamples, seed, stratum))
    interval = bootstrap.interval(resampled)
    most = max(len(hypothesis.nbest) for _, hypothesis in decoded)
    return Oracle(most, errors.wer, interval.low, interval.high, len(best), errors.words, errors.errors)


def identified(decoded: Decoded, resamples: int, seed: int) -> Identified:
    """Of utterances in one language, each with the language that was detected."""
    right = [hypothesis.language == utterance.source_lang for utterance, hypothesis in decoded]
    others = [h.language or "" for (_, h), same in zip(decoded, right, strict=True) if not same]
    statistics = np.asarray([(float(same), 1.0) for same in right])
    stratum = f"language {decoded[0][0].source_lang}"
    sums = bootstrap.resampled_sums(statistics, resamples, seed, stratum)
    interval = bootstrap.interval(100 * sums[:, 0] / sums[:, 1])
    counts = sorted(
        ((code, others.count(code)) for code in set(others)), key=lambda pair: (-pair[1], pair[0])
    )
    return Identified(sum(right), len(right), interval.low, interval.high, dict(counts))


def decoding_record(
    decoded: Mapping[str, Decoded], request: Mapping[str, Any]
) -> dict[str, dict[str, dict[str, Any]]]:
    """The parts of `results.json` that n-best texts and detected languages add; empty where neither was asked for.

    Args:
        decoded: model → its utterances and hypotheses, of all data sets.
        request: as in `results.json`: normaliser, resamples, seed, decoder.

    Returns:
        "oracle_wer" and "languages" → model → language → the fields of `Oracle`, `Identified`; each with the
        signature of the decoder.
    """
    normaliser, resamples, seed = request["normaliser"], request["resamples"], request["seed"]
    kinds: dict[
        str, tuple[Callable[[Utterance, Hypothesis], bool], Callable[[Decoded], Oracle | Identified]]
    ] = {
        "oracle_wer": (
            lambda u, h: bool(h.nbest) and u.task == "transcribe",
            lambda pairs: oracle(pairs, normaliser, resamples, seed),
        ),
        "languages": (
            lambda u, h: h.language is not None,
            lambda pairs: identified(pairs, resamples, seed),
        ),
    }
    record: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, (belongs, measure) in kinds.items():
        for model, pairs in decoded.items():
            by_language: dict[str, list[tuple[Utterance, Hypothesis]]] = {}
            for utterance, hypothesis in pairs:
                if belongs(utterance, hypothesis):
                    by_language.setdefault(utterance.source_lang, []).append((utterance, hypothesis))
            for language, chosen in by_language.items():
                found = asdict(measure(chosen)) | {"signature": request["decoder"]}
                record.setdefault(kind, {}).setdefault(model, {})[language] = found
    return record


def decoding_notes(record: Mapping[str, Any]) -> list[str]:
    """What goes below the table, a line a model, from `results.json` or a part of it."""
    notes = []
    for model, languages in record.get("oracle_wer", {}).items():
        parts = (
            f"{code} {o['value']:.1f} ({o['low']:.1f}–{o['high']:.1f}, n = {o['n']}, best of {o['nbest']})"
            for code, o in languages.items()
        )
        notes.append(f"Oracle WER of {model}: {', '.join(parts)}.")
    for model, languages in record.get("languages", {}).items():
        parts = (
            f"{code} {found['correct']}/{found['n']}"
            + "".join(f", {count} as {other}" for other, count in found["taken_for"].items())
            for code, found in languages.items()
        )
        notes.append(f"Language identified by {model}: {'; '.join(parts)}.")
    return notes
