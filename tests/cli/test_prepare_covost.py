"""`lors prepare covost` and `lors prepare common-voice`, as a user types them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lors.speech.manifest import read_manifest

COLUMNS = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\n"


def lors(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"})
    assert "Traceback" not in result.stderr
    return result


def one_sentence(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode
    (sentence,) = [line for line in result.stderr.splitlines() if not line.startswith("Reading ")]
    assert sentence.startswith("lors: ")
    return sentence


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """Nine clips of Swedish and of Catalan, with their English; one of the Catalan ones is not in validated.tsv."""
    tone = (0.1 * np.sin(2 * np.pi * 300 * np.arange(16000) / 16000)).astype(np.float32)
    for locale in ("sv-SE", "ca"):
        folder = tmp_path / "cv-corpus-4-2019-12-10" / locale
        (folder / "clips").mkdir(parents=True)
        clips = [f"common_voice_{locale}_{i}.mp3" for i in range(9)]
        for clip in clips:
            soundfile.write(folder / "clips" / clip, tone, 16000, format="MP3")
        rows = [f"s{i}\t{clip}\t{locale} {i}\t2\t0\t\t\t\n" for i, clip in enumerate(clips)]
        for split, start in (("train", 0), ("dev", 1), ("test", 2)):
            (folder / f"{split}.tsv").write_text(COLUMNS + "".join(rows[start::3]))
        (folder / "validated.tsv").write_text(COLUMNS + "".join(rows[: 9 if locale == "sv-SE" else 8]))
        translations = [
            f"{clip}\tEnglish {i}\t{('train', 'dev', 'test')[i % 3]}\n" for i, clip in enumerate(clips)
        ]
        table = "path\ttranslation\tsplit\n" + "".join(translations)
        (tmp_path / f"covost_v2.{locale}_en.tsv").write_text(table)
    return tmp_path


def test_covost(releases: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    command = (
        "prepare",
        "covost",
        "--common-voice",
        releases,
        "--covost",
        releases,
        "-l",
        "sv,ca",
        "--out",
        out,
    )
    result = lors(*command)
    assert result.returncode == 0
    assert "ca-test: 2 of CoVoST-2's 3 clips are in Common Voice" in result.stdout
    assert "sv-test: 3 of CoVoST-2's 3 clips are in Common Voice" in result.stdout
    assert "ca-test, left out: 1 not in validated.tsv" in result.stdout
    assert "sv-train, left out" not in result.stdout
    assert {path.name for path in out.iterdir()} == {"prepare.json", "README.md"} | {
        f"{code}-{task}-{split}.jsonl"
        for code in ("ca", "sv")
        for task in ("transcribe", "translate")
        for split in ("train", "dev", "test")
    }
    assert [u.text for u in read_manifest(out / "ca-translate-test.jsonl")] == ["English 2", "English 5"]
    assert [u.text for u in read_manifest(out / "sv-transcribe-dev.jsonl")] == [
        "sv-SE 1",
        "sv-SE 4",
        "sv-SE 7",
    ]
    assert "the output exists already" in one_sentence(lors(*command))
    assert lors(*command, "--overwrite").returncode == 0


def test_the_command_of_the_card_makes_the_same(releases: Path, tmp_path: Path) -> None:
    tables = [arg for name in ("ca", "sv-SE") for arg in ("--covost", releases / f"covost_v2.{name}_en.tsv")]
    out = tmp_path / "some data"
    options = (
        "--subset",
        "0.0003",
        "--evaluation-hours",
        "0.0005",
        "--seed",
        "7",
        "--no-train-covost",
        "--skip-bad",
    )
    made = lors("prepare", "covost", "--common-voice", releases, *tables, "-l", "ca", *options, "--out", out)
    assert made.returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    card = (out / "README.md").read_text()
    typed = card.rpartition("```sh\n")[2].partition("\n```")[0]
    assert typed.startswith("lors prepare covost ")
    again = subprocess.run(
        f"{sys.executable} -m {typed} --overwrite", shell=True, capture_output=True, text=True, check=True
    )
    assert again.returncode == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_common_voice(releases: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    result = lors("prepare", "common-voice", "--common-voice", releases, "-l", "Catalan", "--out", out)
    assert result.returncode == 0
    assert [u.text for u in read_manifest(out / "ca-transcribe-test.jsonl")] == ["ca 2", "ca 5", "ca 8"]
    (releases / "cv-corpus-4-2019-12-10" / "ca" / "clips" / "common_voice_ca_3.mp3").write_bytes(b"")
    broken = lors("prepare", "common-voice", "--common-voice", releases, "-l", "ca", "--out", tmp_path / "x")
    assert broken.returncode == 1
    assert "ca/train.tsv:3: " in one_sentence(broken)
    assert "is empty (zero bytes); mend it, or pass --skip-bad" in one_sentence(broken)
    skipped = lors(
        "prepare",
        "common-voice",
        "--common-voice",
        releases,
        "-l",
        "ca",
        "--out",
        tmp_path / "x",
        "--skip-bad",
    )
    assert "ca-train, left out: 1 damaged audio" in skipped.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-l", "klingon"), "there are ar, ca, cy"),
        (("-l", "swedsh"), "Did you mean 'swedish'?"),
        (("-l", "fr"), "has no folder 'fr'; it has ca, sv-SE"),
        ((), "no language is named; choose of ar, ca"),
        (("-l", "ca", "--direction", "sideways"), "into-english or from-english was expected"),
        (("-l", "fr", "--direction", "from-english"), "no translations from english of it"),
        (("-l", "ca", "--subset", "paper-hihg"), "Did you mean 'paper-high'?"),
        (("-l", "ca", "--subset", "5"), "hours of the 5 asked for; ask for fewer"),
        (("-l", "ca", "--subset", "paper-low"), "'ca' is none of its languages (id, nl, pt, ru, sv)"),
        (("-l", "ca", "--evaluation-hours", "0"), "a number above 0 was expected"),
        (("-l", "ca", "--maximum-seconds", "31"), "at most 30"),
        (("-l", "ca", "--covost", "nowhere"), "nowhere: no such file or folder; covost_v2.ca_en.tsv"),
    ],
)
def test_mistakes(releases: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    out = tmp_path / "data"
    result = lors(
        "prepare", "covost", "--common-voice", releases, "--covost", releases, "--out", out, *options
    )
    assert result.returncode == 2
    assert said in one_sentence(result)
    assert not out.exists()


def test_tables_that_are_not_there(releases: Path, tmp_path: Path) -> None:
    table = releases / "covost_v2.ca_en.tsv"
    command = (
        "prepare",
        "covost",
        "--common-voice",
        releases,
        "--covost",
        releases,
        "-l",
        "ca",
        "--out",
        tmp_path / "x",
    )
    archive = table.rename(table.with_name(table.name + ".tar.gz"))
    assert f"{archive}: unpack it first (tar -xzf {archive.name})" in one_sentence(lors(*command))
    archive.unlink()
    assert "fetch https://dl.fbaipublicfiles.com/covost/covost_v2.ca_en.tsv.tar.gz" in one_sentence(
        lors(*command)
    )
