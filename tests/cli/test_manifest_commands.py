"""`lors manifest convert`, `stats`, `subset` and `split` as a user types them."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile


def lors(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", "manifest", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in result.stderr
    return result


def line(number: int, **more: Any) -> str:
    fields = {"id": f"u{number}", "audio_filepath": "a.wav", "duration": 1.5, "text": "uno dos", "source_lang": "es",
              "target_lang": "es", "speaker": f"s{number % 10}"}  # fmt: skip
    return json.dumps(fields | more) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", np.zeros(32000, np.int16), 16000)
    (tmp_path / "m.jsonl").write_text("".join(line(n) for n in range(4800)))
    return tmp_path


def test_convert_there_and_back(folder: Path) -> None:
    there = lors(folder, "convert", "m.jsonl", "m.csv")
    assert (there.returncode, there.stderr) == (0, "")
    assert there.stdout == "m.csv: 4800 utterances, 2.00 hours (lors → csv)\n"
    back = lors(folder, "convert", "m.csv", "back.jsonl")
    assert back.returncode == 0
    assert (folder / "back.jsonl").read_text() == (folder / "m.jsonl").read_text()


def test_convert_a_table_with_other_names(folder: Path) -> None:
    (folder / "cv.tsv").write_text("path\tsentence\tage\na.wav\thola\t30\nb.wav\t\t\n")
    columns = ["--column", "id=path", "--column", "audio_filepath=path", "--column", "text=sentence"]
    result = lors(
        folder, "convert", "cv.tsv", "cv.jsonl", *columns, "--source-lang", "es", "--target-lang", "es"
    )
    assert result.returncode == 2
    assert result.stderr == (
        "lors: cv.tsv:1: age: columns that a manifest has no place for; name what they are with --column FIELD=NAME, "
        "or leave them out with --drop age.\n"
    )
    languages = ["--source-lang", "Spanish", "--target-lang", "es-MX", "--drop", "age", "--skip-bad"]
    result = lors(folder, "convert", "cv.tsv", "cv.jsonl", *columns, *languages)
    assert result.returncode == 0
    assert result.stderr == "cv.tsv:3: 'text' is empty.\n"
    assert result.stdout == (
        "cv.jsonl: 1 utterances, 0.00 hours (tsv → lors)\nleft out: 1 bad rows\ndropped: age: 1\n"
    )
    assert json.loads((folder / "cv.jsonl").read_text()) == {
        "id": "a.wav", "audio_filepath": "a.wav", "duration": 2.0, "text": "hola", "source_lang": "es",
        "target_lang": "es",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["m.jsonl", "out"], "out: which format shall it have? Say it with --to; there are lors, nemo, csv,"),
        (["m.jsonl", "out", "--to", "kald"], "'kald' is no format; there are"),
        (["m.jsonl", "out.csv", "--from", "cvs"], "Did you mean 'csv'?"),
        (["none.jsonl", "out.csv"], "none.jsonl: no such file or folder."),
        (["m.jsonl", "a.wav", "--to", "csv"], "a.wav: the output exists already"),
        (["m.jsonl", "m2.jsonl"], "are both in the format of `lors`"),
        (["m.jsonl", "out.csv", "--column", "text"], "--column text: FIELD=NAME was expected"),
        (["m.jsonl", "out.csv", "--source-lang", "xx"], "'xx' is no language that Whisper knows"),
        (["m.jsonl", "m.json", "--from", "nemo", "--source-lang", ""], "'' is no language"),
        (["a.wav", "m.csv", "--from", "lors"], "a.wav:1: "),
    ],
)
def test_mistakes_are_one_sentence(folder: Path, arguments: list[str], what: str) -> None:
    before = sorted(folder.iterdir())
    result = lors(folder, "convert", *arguments)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert what in result.stderr
    assert sorted(folder.iterdir()) == before


def test_shards_become_a_manifest_and_its_audio(folder: Path) -> None:
    (folder / "two.jsonl").write_text(line(1, duration=2.0) + line(2, offset=0.25))
    assert lors(folder, "convert", "two.jsonl", "two.tar").stdout == (
        "two.tar: 2 utterances, 0.00 hours (lors → webdataset)\n"
        "dropped: (audio written anew, as 16 kHz FLAC: a part of a file, or of another kind): 1\n"
    )
    result = lors(folder, "convert", "two.tar", "back.jsonl")
    assert result.stdout == "back.jsonl: 2 utterances, 0.00 hours (webdataset → lors)\naudio: back-audio\n"
    assert lors(folder, "check", "back.jsonl").stdout == (
        "back.jsonl: 2 utterances, 0.00 hours, es → es (transcribe)\n"
    )
    again = lors(folder, "convert", "two.tar", "back.jsonl")
    assert again.returncode == 2 and "--overwrite" in again.stderr
    assert lors(folder, "convert", "two.tar", "back.jsonl", "--overwrite").returncode == 0


def test_stats(folder: Path) -> None:
    result = lors(folder, "stats", "m.jsonl")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:10] == [
        "es → es (transcribe)",
        "utterances        4,800",
        "hours             2.00",
        "clips             1",
        "speakers          10",
        "characters        33,600 (6 different)",
        "words             9,600",
        "words per second  1.33",
        "seconds           1.50 to 1.50, median 1.50",
        f"   0–1 s {'':<50} 0",
    ]
    assert lines[10:] == [f"   1–2 s {'█' * 50} 4,800"]
    (told,) = json.loads(lors(folder, "stats", "--json", "m.jsonl").stdout)
    assert (told["utterances"], told["hours"], told["words"]) == (4800, 2.0, 9600)


def test_subset(folder: Path) -> None:
    result = lors(folder, "subset", "m.jsonl", "--hours", "0.5", "--seed", "1", "--out", "half.jsonl")
    assert (result.returncode, result.stderr) == (0, "")
    digest = hashlib.sha256((folder / "half.ids").read_bytes()).hexdigest()
    assert result.stdout == (
        f"half.jsonl: 1200 utterances, 0.50 hours, 10 speakers\nids: half.ids, sha256 {digest}\n"
    )
    assert (folder / "half.ids.sha256").read_text() == f"{digest}  half.ids\n"
    more = lors(folder, "subset", "m.jsonl", "--hours", "5", "--out", "five.jsonl")
    assert (more.returncode, more.stderr.count("\n")) == (2, 1)
    assert "5 hours was asked for, and there are 2.00" in more.stderr


def test_split(folder: Path) -> None:
    result = lors(
        folder, "split", "m.jsonl", "--by", "speaker", "--dev", "0.1", "--test", "0.2", "--out", "parts"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "parts/train.jsonl: 3360 utterances, 1.40 hours, 7 speakers",
        "parts/dev.jsonl: 480 utterances, 0.20 hours, 1 speakers",
        "parts/test.jsonl: 960 utterances, 0.40 hours, 2 speakers",
    ]
    assert lors(folder, "split", "m.jsonl", "--out", "parts").returncode == 2


def test_check_on_several_processes(folder: Path) -> None:
    with (folder / "m.jsonl").open("a") as file:
        file.write(line(17) + line(4801, duration=9) + "{\n")
    result = lors(folder, "check", "m.jsonl", "--workers", "2")
    assert result.returncode == 1
    found = [one.split(" ")[0] for one in result.stdout.splitlines()]
    assert found == ["m.jsonl:4801:", "m.jsonl:4802:", "m.jsonl:4803:"]
    assert "the id 'u17' is that of line 18 too." in result.stdout
    assert result.stderr.startswith("Checking: ")  # it is large enough for its progress to be shown


def test_help_is_quick_to_load() -> None:
    imported = "import sys, lors.cli.manifest; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", imported], capture_output=True, text=True, check=True
    ).stdout
    assert not {"numpy", "soundfile", "torch", "lors.speech.manifest"} & set(modules.split())
