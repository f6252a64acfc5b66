"""Real and generated lines: word errors against sclite's, p against sc_stats', BLEU against the sacrebleu command.

What NIST's programs said of them lies in `data/`, made by `data/regenerate.py`; where they can be had they are
asked again.
"""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lors.speech.matched_pairs import matched_pairs_test
from lors.speech.normalisation import find_normaliser
from lors.speech.sclite import sclite_errors
from lors.speech.scoring import score_files
from lors.speech.wer import WordErrors, alignment, word_errors

DATA = Path(__file__).parent / "data"
NIST = runpy.run_path(str(DATA / "regenerate.py"))
DECODERS = ("greedy", "beam5")
Rows = dict[str, list[dict[str, str]]]
Counts = list[tuple[int, int, int, int]]


@pytest.fixture(scope="module")
def real() -> Rows:
    """Language → its clips, each with the transcript and what whisper-base wrote in two ways."""
    return {language: NIST["read_rows"](f"hypotheses-{language}.tsv") for language in NIST["LANGUAGES"]}


@pytest.fixture(scope="module")
def generated() -> tuple[list[str], list[str]]:
    return NIST["generated_lines"]()


def _counts(references: list[str], hypotheses: list[str]) -> Counts:
    pairs = zip(references, hypotheses, strict=True)
    return [(e.correct, e.substitutions, e.deletions, e.insertions) for e in (word_errors(*p) for p in pairs)]


def _column(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


def _stored(rows: list[dict[str, str]], name: str) -> Counts:
    return [NIST["as_counts"](row[name]) for row in rows]


def _words(texts: list[str]) -> list[str]:
    return [find_normaliser("fold-diacritics")(text) for text in texts]


def test_there_are_enough_real_utterances_and_they_hold_errors(real: Rows) -> None:
    assert len(real) == 5
    assert sum(len(rows) for rows in real.values()) * len(DECODERS) >= 2000
    for rows in real.values():
        assert len({row["id"] for row in rows}) == len(rows) > 200
        for decoder in DECODERS:
            assert sum(any(counts[1:]) for counts in _stored(rows, f"{decoder}_words")) > 30


def test_real_utterances_count_as_in_sclite(real: Rows) -> None:
    different = []
    for language, rows in real.items():
        references = _column(rows, "reference")
        for decoder in DECODERS:
            hypotheses = _column(rows, decoder)
            sides = {"words": (_words(references), _words(hypotheses)), "raw": (references, hypotheses)}
            for kind, texts in sides.items():
                pairs = zip(rows, _counts(*texts), _stored(rows, f"{decoder}_{kind}"), strict=True)
                different += [(language, kind, r["id"], ours, its) for r, ours, its in pairs if ours != its]
    assert different == []


def test_generated_lines_count_as_in_sclite(generated: tuple[list[str], list[str]]) -> None:
    references, hypotheses = generated
    *lines, digest = (DATA / "generated.txt").read_text().splitlines()
    assert NIST["digest"](references, hypotheses) == digest, "other lines than those that sclite counted"
    stored = [NIST["as_counts"](line) for line in lines]
    assert len(stored) == 5000
    assert sum(any(counts[1:]) for counts in stored) > 3000
    ours = _counts(references, hypotheses)
    assert [p for p in zip(references, hypotheses, ours, stored, strict=True) if p[2] != p[3]] == []


@pytest.mark.real
def test_sclite_still_says_what_is_stored(
    real: Rows, generated: tuple[list[str], list[str]], sctk: Path
) -> None:
    """Asked with the texts themselves, with words renamed, and by LoRS's own call."""
    for rows in real.values():
        references = _words(_column(rows, "reference"))
        for decoder in DECODERS:
            hypotheses = _words(_column(rows, decoder))
            stored = _stored(rows, f"{decoder}_words")
            assert NIST["sclite_counts"](sctk, references, hypotheses) == stored
            found = sclite_errors(sctk / "sclite", references, hypotheses)
            assert found == [WordErrors(1, c + s + d, c, s, d, i) for c, s, d, i in stored]
    assert NIST["sclite_counts"](sctk, *NIST["renamed"](*generated)) == _counts(*generated)


def _assert_same_figures(figures: dict[str, str], texts: list[list[str]]) -> None:
    references, first, second = ([text.split() for text in side] for side in texts)
    found = matched_pairs_test(
        (alignment(r, a), alignment(r, b)) for r, a, b in zip(references, first, second, strict=True)
    )
    assert figures == {
        "segments": str(found.segments),
        "mean": f"{found.mean:.3f}",
        "standard_deviation": f"{found.standard_deviation:.3f}",
        "z": f"{found.z:.3f}",
        "first_errors": str(found.first_errors),
        "second_errors": str(found.second_errors),
        "p_value": "<0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}",
    }


def test_matched_pairs_of_two_decoders_are_those_of_sc_stats(real: Rows) -> None:
    stored = json.loads((DATA / "sc_stats.json").read_text())
    assert list(stored) == list(real)
    for language, rows in real.items():
        texts = [_words(_column(rows, name)) for name in ("reference", *DECODERS)]
        _assert_same_figures(stored[language], texts)


@pytest.mark.real
def test_sc_stats_still_says_what_is_stored(real: Rows, sctk: Path) -> None:
    stored = json.loads((DATA / "sc_stats.json").read_text())
    for language, rows in real.items():
        texts = [_words(_column(rows, name)) for name in ("reference", *DECODERS)]
        assert NIST["matched_pairs_figures"](sctk, *texts) == stored[language]


def test_bleu_and_chrf_are_those_of_the_sacrebleu_command(tmp_path: Path) -> None:
    rows = NIST["read_rows"]("translations.tsv")
    languages = dict.fromkeys(_column(rows, "language"))
    assert len(rows) > 150
    assert len(languages) == 4
    for language in languages:
        chosen = [row for row in rows if row["language"] == language]
        paths = [tmp_path / f"{side}.txt" for side in ("reference", "hypothesis")]
        for path in paths:
            path.write_text("".join(row[path.stem] + "\n" for row in chosen), encoding="utf-8")
        command = [sys.executable, "-m", "sacrebleu", paths[0], "-i", paths[1], "-m", "bleu", "chrf"]
        done = subprocess.run([*command, "-w", "12"], capture_output=True, text=True, check=True)
        theirs: list[dict[str, Any]] = json.loads(done.stdout)
        assert [score["name"] for score in theirs] == ["BLEU", "chrF2"]
        for score, metric in zip(theirs, ("bleu", "chrf"), strict=True):
            ours = score_files(*paths, metric=metric)
            assert f"{ours.value:.12f}" == f"{score['score']:.12f}"
            assert 5 < ours.value < 60
            assert score["signature"] in ours.signature
