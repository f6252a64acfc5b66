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
def test_prepare_stamps(tmp_path: Path) -> None:
    out = tmp_path / "data"
    result = lors("prepare", "stamps", "--languages", "da, da", "--languages", "da", "--out", out)
    assert result.returncode == 0
    assert {p.name for p in out.glob("*.jsonl")} == {
        f"da-{task}-{split}.jsonl"
        for task in ("transcribe", "translate")
        for split in ("train", "dev", "test")
    }
    clips = {len(read_manifest(path)) for path in out.glob("*.jsonl")}
    assert all(str(count) in result.stdout for count in clips)
    assert "da, left out: " in result.stdout
    assert "text of more than 22 letters a second" in result.stdout
    assert {p.name for p in out.iterdir() if p.suffix != ".jsonl"} == {"audio", "prepare.json", "README.md"}
    assert "--languages da --minimum-words 1" in (out / "README.md").read_text()

    again = lors("prepare", "stamps", "--languages", "da", "--out", out)
    assert again.returncode == 2
    assert "the output exists already" in one_sentence(again)


@pytest.mark.parametrize("languages", ["es,de", "klingon", "dannish", ","])
def test_other_languages(tmp_path: Path, languages: str) -> None:
    result = lors("prepare", "stamps", "--languages", languages, "--out", tmp_path / "data")
    assert result.returncode == 2
    assert "ca, es, fr, ru, ro, bg, be, el, da" in one_sentence(result)
    assert not (tmp_path / "data").exists()


def test_no_network(tmp_path: Path) -> None:
    proxy = "http://127.0.0.1:9"
    result = lors(
        *("prepare", "stamps", "--languages", "es", "--out", tmp_path / "data"),
        LORS_CACHE=str(tmp_path / "cache"),
        http_proxy=proxy,
        https_proxy=proxy,
        no_proxy="",
    )
    assert result.returncode == 1
    sentence = one_sentence(result)
    assert "tried http://deb.debian.org/debian/pool" in sentence
    assert f"place the file in {tmp_path / 'cache' / 'downloads'}" in sentence
    assert not (tmp_path / "data").exists()
