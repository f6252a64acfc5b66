import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

GOOD: dict[str, Any] = {
    "audio_filepath": "a.wav",
    "duration": 1800.0,
    "text": "hola",
    "source_lang": "es",
    "target_lang": "es",
}


def lors(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", np.zeros(1800 * 100, np.int16), 100)
    return tmp_path


def write(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "m.jsonl"
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines))
    return path


def test_a_good_file_is_one_line(folder: Path) -> None:
    path = write(folder, GOOD | {"id": "a"}, GOOD | {"id": "b", "target_lang": "en"}, GOOD | {"id": "c"})
    result = lors("manifest", "check", path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{path}: 3 utterances, 1.50 hours, es → en (translate), es → es (transcribe)\n"


def test_every_bad_line_is_printed(folder: Path) -> None:
    path = write(
        folder, GOOD | {"id": "a"}, "{", "", GOOD | {"id": "a"}, GOOD | {"id": "d", "audio_filepath": "no"}
    )
    result = lors("manifest", "check", path)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert [line.split(" ")[0] for line in lines] == [f"{path}:2:", f"{path}:4:", f"{path}:5:"]
    assert lines[2] == f"{path}:5: {folder / 'no'}: no such audio file."
    without_audio = lors("manifest", "check", "--no-audio", path)
    assert len(without_audio.stdout.splitlines()) == 2


def test_fifty_are_shown_and_the_rest_counted(folder: Path) -> None:
    path = write(folder, *["x"] * 73)
    result = lors("manifest", "check", path)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[49].startswith(f"{path}:50: ")
    assert lines[50:] == ["… and 23 more bad lines."]


@pytest.mark.parametrize(("name", "what"), [("none.jsonl", "no such file"), ("", "is a folder")])
def test_no_file(folder: Path, name: str, what: str) -> None:
    result = lors("manifest", "check", folder / name)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"{what}; a manifest (JSON Lines) was expected." in result.stderr


def test_an_empty_file(folder: Path) -> None:
    result = lors("manifest", "check", write(folder))
    assert result.returncode == 2
    assert "m.jsonl: the manifest is empty" in result.stderr
