"""`lors report` from the command line, on a small results folder written by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def lors(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "80"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert "Traceback" not in result.stderr
    return result


def refused(result: subprocess.CompletedProcess[str], code: int = 2) -> str:
    assert result.returncode == code
    assert result.stderr.startswith("lors: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def results(tmp_path: Path) -> Path:
    counts = {"words": 5, "correct": 3, "substitutions": 1, "deletions": 1, "insertions": 1}
    nothing: dict[str, Any] = dict.fromkeys(
        ("speakers", "low_by_speaker", "high_by_speaker", "difference", "p_value", "matched_pairs")
    )
    score = {
        "model": "mine",
        "task": "transcribe",
        "source_lang": "es",
        "target_lang": "es",
        "metric": "wer",
        "value": 60.0,
        "low": 20.0,
        "high": 80.0,
        "n": 2,
        "loops": 0,
        "audio_seconds": 3.0,
        "seconds": 1.0,
        "windows": {"1500": 2},
        "counts": counts,
        "signature": "wer|normaliser:lower-1|data:0123",
        **nothing,
    }
    hypotheses = "hypotheses/mine/test.jsonl"
    record = {
        "request": {
            "decoder": "decoder:none",
            "resamples": 1000,
            "seed": 0,
            "models": [{"name": "mine", "signature": None}],
            "data": [{"name": "test", "sha256": "0"}],
        },
        "paths": {"data": {"test": str(tmp_path / "gone.jsonl")}},
        "hypotheses": {hypotheses: "0"},
        "scores": [score],
    }
    folder = tmp_path / "results"
    (folder / hypotheses).parent.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(record))
    line = {"task": "transcribe", "source_lang": "es", "target_lang": "es", "duration": 1.5, "looped": False}
    rows = [
        ("first", "La casa <b>roja", "la taza <b>roja ya", (3, 2, 1, 0, 1)),
        ("second", "uno dos", "Uno", (2, 1, 0, 1, 0)),
    ]
    (folder / hypotheses).write_text(
        "".join(
            json.dumps(
                line
                | {"id": name, "reference": reference, "hypothesis": hypothesis, "normaliser": "lower-1"}
                | dict(zip(counts, numbers, strict=True))
            )
            + "\n"
            for name, reference, hypothesis, numbers in rows
        )
    )
    return folder


def test_printed(results: Path) -> None:
    result = lors("report", results)
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    for part in (
        "20.0–80.0",
        "substituted: casa → taza 1×\ndeleted: dos 1×\ninserted: ya 1×",
        "test first: 2 errors in 3 words (1 S, 0 D, 1 I)",
        "REF la casa <b>roja **\nHYP la taza <b>roja ya\n       S            I\n",
        "REF uno dos\nHYP uno ***\n        D\n",
    ):
        assert part in result.stdout
    assert "second" not in lors("report", results, "--worst", "1", "--model", "mine").stdout


def test_one_html_file(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "report.html"
    result = lors("report", results, "--out", out)
    assert (result.returncode, result.stdout) == (0, f"{out}\n")
    page = out.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.endswith("</html>\n")
    assert page.count('class="words"') == 2
    assert "<b>roja" not in page
    assert list(out.parent.iterdir()) == [out]

    out.write_text("mine")
    assert "exists already" in refused(lors("report", results, "--out", out))
    assert out.read_text() == "mine"
    assert lors("report", results, "--out", out, "--overwrite").returncode == 0
    assert out.read_text(encoding="utf-8") == page


def test_chosen_utterances_side_by_side(results: Path, tmp_path: Path) -> None:
    shown = lors("report", results, "--utterance", "first").stdout
    assert "1.5 s, 3 words: mine 2 errors\n" in shown
    assert "REF  la casa <b>roja **\nmine la taza <b>roja ya\n        S            I\n" in shown
    assert "second" not in shown
    assert "substituted:" not in shown
    both = lors("report", results, "--utterance", "second", "--utterance", "first").stdout
    assert "REF  uno dos\nmine uno ***\n         D\n" in both
    out = tmp_path / "side.html"
    assert lors("report", results, "--utterance", "first", "--out", out).returncode == 0
    page = out.read_text(encoding="utf-8")
    assert '<td class="S"><span class="h">taza</span><b title="substituted">S</b></td>' in page
    assert "&lt;b&gt;roja</td>" in page
    assert "What went wrong" not in page
    assert "Did you mean 'first'?" in refused(lors("report", results, "--utterance", "frist"))
    assert "one model has nothing beside it" in refused(lors("report", results, "--side-by-side", "2"))
    assert "expected at least one" in refused(lors("report", results, "--side-by-side", "0"))


def test_mistakes_are_one_sentence(results: Path, tmp_path: Path) -> None:
    assert "no such folder" in refused(lors("report", tmp_path / "none"))
    assert "is a folder" in refused(lors("report", results, "--out", results, "--overwrite"))
    assert "Did you mean 'mine'?" in refused(lors("report", results, "--model", "min"))
    assert "results.json: no such file" in refused(lors("report", tmp_path), code=1)
    path = results / "hypotheses" / "mine" / "test.jsonl"
    path.write_text(path.read_text().replace("taza", "casa"))
    out = tmp_path / "report.html"
    assert "test.jsonl:1: the counts are not" in refused(lors("report", results, "--out", out), code=1)
    assert not out.exists()
