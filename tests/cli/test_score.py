import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def lors(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert "Traceback" not in result.stderr
    return result


def score(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return lors("score", "--reference", folder / "ref.txt", "--hypothesis", folder / "hyp.txt", *arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ref.txt").write_text("¿Dónde está?\nla casa roja\n\n", encoding="utf-8")
    (tmp_path / "hyp.txt").write_text("donde esta\r\nLa casa es azul\r\nya\r\n", encoding="utf-8")
    return tmp_path


def test_json_has_the_counts_and_the_signature(folder: Path) -> None:
    result = score(folder, "--normaliser", "fold-diacritics", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout) == {
        "utterances": 3,
        "words": 5,
        "correct": 4,
        "substitutions": 1,
        "deletions": 0,
        "insertions": 2,
        "wer": 60.0,
        "signature": "wer|alignment:sclite-4-3-3|version:1|normaliser:fold-diacritics-1",
    }


def test_normaliser_changes_the_rate(folder: Path) -> None:
    folded = score(folder, "--normaliser", "fold-diacritics")
    plain = score(folder)
    assert "60.00 %" in folded.stdout
    assert "100.00 %" in plain.stdout
    assert "normaliser:no-punctuation-1" in plain.stdout


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("hyp.txt", b"one\n", "1 lines, but"),
        ("hyp.txt", b"", "hyp.txt: the file is empty"),
        ("ref.txt", b"a\n\xff\nb\n", "ref.txt:2: not UTF-8 (byte 1)"),
        ("ref.txt", b"...\n?\n!\n", "ref.txt: no word is left"),
        ("ref.txt", None, "ref.txt: no such file"),
    ],
)
def test_bad_files(folder: Path, name: str, content: bytes | None, sentence: str) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    result = score(folder)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert result.stderr.startswith("lors: ")
    assert result.stderr.count("\n") == 1


def test_unknown_normaliser(folder: Path) -> None:
    result = score(folder, "--normaliser", "lowr")
    assert result.returncode == 2
    assert "Did you mean 'lower'?" in result.stderr
