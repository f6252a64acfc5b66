"""BLEU: sacreBLEU's own figures, and corpus BLEU from summed statistics."""

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from lors.speech.bleu import (
    bleu_from_statistics,
    bleu_statistics,
    chrf_from_statistics,
    chrf_statistics,
    translation_score,
)

REFERENCES = [
    "Please enter your password.",
    "The conference is locked.",
    "You have 3.5 messages!",
    "Goodbye.",
]
HYPOTHESES = ["Please enter your password.", "the conference is closed.", "You have got 3.5 messages", ""]
SENTENCES = st.lists(
    st.lists(st.sampled_from(["the", "a", "cat", "dog", "sat", "on", "mat", ".", ","]), max_size=9).map(
        " ".join
    ),
    min_size=1,
)


def test_scores_and_signatures_are_sacrebleus() -> None:
    score = translation_score(REFERENCES, HYPOTHESES)
    assert score.bleu == sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score
    assert score.chrf == sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    assert 20 < score.bleu < 80
    assert score.utterances == 4
    expected = f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    assert score.bleu_signature == expected
    assert "chrF" not in score.bleu_signature
    assert "nc:6" in score.chrf_signature


def test_case_counts() -> None:
    assert translation_score(["Hello big world now"], ["Hello big world now"]).bleu == pytest.approx(100)
    assert translation_score(["Hello big world now"], ["hello BIG World NOW"]).bleu < 20


@given(SENTENCES)
def test_summed_statistics_give_the_corpus_score(references: list[str]) -> None:
    hypotheses = references[::-1]
    counts = bleu_statistics(references, hypotheses)
    assert counts.shape == (len(references), 10)
    expected = sacrebleu.corpus_bleu(hypotheses, [references]).score
    assert bleu_from_statistics(counts.sum(axis=0)) == expected
    counts = chrf_statistics(references, hypotheses)
    assert counts.shape == (len(references), 18)
    expected = sacrebleu.corpus_chrf(hypotheses, [references]).score
    assert chrf_from_statistics(counts.sum(axis=0)) == expected


def test_statistics_are_counts() -> None:
    counts = bleu_statistics(["a b c d e"], ["a b c x"])
    assert counts.dtype == np.int64
    assert counts.tolist() == [[4, 5, 3, 2, 1, 0, 4, 3, 2, 1]]
