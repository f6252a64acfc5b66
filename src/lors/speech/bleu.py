"""BLEU and chrF of a corpus, by sacreBLEU: cased, tokeniser 13a, exponential smoothing, one reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics import BLEU, CHRF


@dataclass(frozen=True)
class TranslationScore:
    """Scores of a corpus of translations, 0 to 100, each with sacreBLEU's own signature."""

    utterances: int
    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


def translation_score(references: Sequence[str], hypotheses: Sequence[str]) -> TranslationScore:
    """Score translations line by line against one reference each; the text is scored cased, as it is."""
    bleu, chrf = BLEU(), CHRF()
    return TranslationScore(
        utterances=len(references),
        bleu=bleu.corpus_score(hypotheses, [references]).score,
        chrf=chrf.corpus_score(hypotheses, [references]).score,
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )


def bleu_statistics(references: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
    """Per-sentence counts that BLEU is made of; those of a corpus are the sum over its sentences.

    Returns:
        int64 [sentences, 10]: hypothesis length, reference length, matching 1- to 4-grams, 1- to 4-grams.
    """
    rows = BLEU()._extract_corpus_statistics(hypotheses, [references])
    return np.asarray(rows, dtype=np.int64).reshape(len(references), -1)


def chrf_statistics(references: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
    """Per-sentence counts that chrF is made of; those of a corpus are the sum over its sentences.

    Returns:
        int64 [sentences, 18]: for 1 to 6 characters, n-grams of hypothesis, of reference, of both.
    """
    rows = CHRF()._extract_corpus_statistics(hypotheses, [references])
    return np.asarray(rows, dtype=np.int64).reshape(len(references), -1)


def chrf_from_statistics(counts: np.ndarray) -> float:
    """chrF, 0 to 100, of a corpus whose `chrf_statistics` add up to `counts` [18]."""
    return float(CHRF()._compute_score_from_stats(counts.tolist()).score)


def bleu_from_statistics(counts: np.ndarray) -> float:
    """BLEU, 0 to 100, of a corpus whose `bleu_statistics` add up to `counts` [10]."""
    return float(BLEU()._compute_score_from_stats(counts.tolist()).score)
