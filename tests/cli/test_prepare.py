import os
import subprocess
import sys
from pathlib import Path

import pytest

from lors.speech.manifest import read_manifest


def lors(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert "Traceback" not in result.stderr
    return result


def one_sentence(result: subprocess.CompletedProcess[str]) -> str:
    assert result.stderr.startswith("lors: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.real
def test_prepare_prompts(tmp_path: Path) -> None:
    out = tmp_path / "data"
    result = lors("prepare", "prompts", "--languages", "es, fr", "--languages", "es", "--out", out)
    assert result.returncode == 0
    assert {p.name for p in out.glob("*.jsonl")} == {
        f"{language}-{task}-{split}.jsonl"
        for language in ("es", "fr")
        for task in ("transcribe", "translate")
        for split in ("train", "dev", "test")
    }
    clips = {len(read_manifest(path)) for path in out.glob("*.jsonl")}
    assert all(str(count) in result.stdout for count in clips)
    assert "es, left out: " in result.stdout
    assert "fewer than 3 words" in result.stdout
    assert {p.name for p in out.iterdir() if p.suffix != ".jsonl"} == {"audio", "prepare.json", "README.md"}

    again = lors("prepare", "prompts", "--languages", "es,fr", "--out", out)
    assert again.returncode == 2
    assert "the output exists already" in one_sentence(again)


@pytest.mark.parametrize("languages", ["es,de", "klingon", "spnish", ","])
def test_other_languages(tmp_path: Path, languages: str) -> None:
    result = lors("prepare", "prompts", "--languages", languages, "--out", tmp_path / "data")
    assert result.returncode == 2
    assert "en, es, fr, it, ru" in one_sentence(result)
    assert not (tmp_path / "data").exists()


def test_a_limit_out_of_range(tmp_path: Path) -> None:
    result = lors("prepare", "prompts", "-l", "es", "--out", tmp_path / "data", "--maximum-seconds", "31")
    assert result.returncode == 2
    assert "at most 30" in one_sentence(result)


def test_no_network(tmp_path: Path) -> None:
    proxy = "http://127.0.0.1:9"
    result = lors(
        *("prepare", "prompts", "--languages", "es", "--out", tmp_path / "data"),
        LORS_CACHE=str(tmp_path / "cache"),
        http_proxy=proxy,
        https_proxy=proxy,
        no_proxy="",
    )
    assert result.returncode == 1
    sentence = one_sentence(result)
    assert "tried http://deb.debian.org/debian/pool" in sentence
    assert "asterisk-core-sounds-en-g722-1.6.1.tar.gz" in sentence
    assert f"place either file in {tmp_path / 'cache' / 'downloads'}" in sentence
    assert not (tmp_path / "data").exists()


def test_the_output_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = lors("prepare", "prompts", "--languages", "es", "--out", tmp_path / "file" / "data")
    assert result.returncode == 1
    assert str(tmp_path / "file") in one_sentence(result)
