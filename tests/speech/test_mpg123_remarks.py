"""libmpg123's own lines: that it writes them at all, that they are kept off, and that nothing else is."""

import ctypes
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lors.base.errors import LorsError
from lors.speech.audio import audio_duration, load_audio
from lors.speech.mpg123_remarks import without_mpg123_remarks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs GNU's C library")

GOOD = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48000) / 16000)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """An mp3 with which nothing is wrong."""
    soundfile.write(tmp_path / "good.mp3", GOOD, 16000)
    return tmp_path / "good.mp3"


@pytest.fixture
def bad(good: Path) -> list[Path]:
    """Cut off; with noise in the middle; after a tag; no mp3 at all; one frame; two files as one."""
    whole = good.read_bytes()
    noise = np.random.default_rng(0).bytes(3000)
    half = len(whole) // 2
    contents = {
        "cut": whole[:half],
        "noise": whole[:half] + noise + whole[half:],
        "tag": whole + b"TAG" + bytes(125),
        "text": b"no sound " * 2000,
        "riff": b"RIF" + noise,
        "frame": whole[: whole.find(whole[:2], 10)],
        "two": whole + whole,
        "zeros": bytes(70_000) + whole,
    }
    for name, content in contents.items():
        good.with_name(f"{name}.mp3").write_bytes(content)
    return [good.with_name(f"{name}.mp3") for name in contents]


def read(path: Path) -> None:
    for function in (audio_duration, load_audio):
        try:
            function(path)
        except LorsError as error:
            assert str(path) in str(error)


def test_libmpg123_remarks_on_a_good_file_and_we_do_not(
    good: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with soundfile.SoundFile(str(good)) as file:
        file.seek(file.frames - 1)
        file.read(1)
    assert "libmpg123" in capfd.readouterr().err, "else this module is not needed any more"
    assert audio_duration(good) == 3.0
    assert len(load_audio(good)) == 48000
    assert capfd.readouterr() == ("", "")


def test_bad_files_are_said_by_our_sentence_alone(bad: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    for path in bad:
        with suppress(soundfile.LibsndfileError):
            soundfile.read(str(path))
    assert capfd.readouterr().err.count("\n") > len(bad)
    for path in bad:
        read(path)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(LorsError, match=r"text\.mp3: truncated or not audio"):
        audio_duration(next(path for path in bad if path.name == "text.mp3"))


def say(text: bytes) -> None:
    """As a library written in C does."""
    libc = ctypes.CDLL(None)
    libc.fputs(text, ctypes.c_void_p.in_dll(libc, "stderr"))


def test_other_lines_pass_in_their_order(capfd: pytest.CaptureFixture[str]) -> None:
    with without_mpg123_remarks():
        say(b"one\n\nNote: two\n[src/libmpg123/parse.c:x():1] error: y\nWarning: three\nno end")
        say(b"[src/libmpg123/parse.c:x():1] error: y\nNote: Trying to resync...\n\nfour")
    say(b", five\n[src/libmpg123/parse.c:x():1] outside\n")
    assert capfd.readouterr().err == (
        "one\n\nNote: two\nWarning: three\nno end\nfour, five\n[src/libmpg123/parse.c:x():1] outside\n"
    )


def test_an_error_within_leaves_standard_error_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="mine"), without_mpg123_remarks(), without_mpg123_remarks():
        say(b"said\n")
        raise ValueError("mine")
    say(b"[src/libmpg123/parse.c:x():1] outside\n")
    assert capfd.readouterr().err == "said\n[src/libmpg123/parse.c:x():1] outside\n"


def test_many_threads_lose_no_line(bad: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    def work(number: int) -> None:
        for turn in range(40):
            os.write(2, f"{number} {turn} outside\n".encode())
            with without_mpg123_remarks():
                os.write(2, f"{number} {turn} inside\n".encode())
                read(bad[(number + turn) % len(bad)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines) == sorted(
        f"{number} {turn} {where}"
        for number in range(6)
        for turn in range(40)
        for where in ("inside", "outside")
    )


def test_a_closed_standard_error(good: Path) -> None:
    code = f"from lors.speech.audio import *; from pathlib import Path; print(audio_duration(Path({str(good)!r})))"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code], stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout) == (0, "3.0\n")


def test_a_manifest_of_mp3_is_checked_without_a_remark(good: Path, bad: list[Path]) -> None:
    line = {"duration": 3.0, "text": "x", "source_lang": "es", "target_lang": "es"}
    lines = [line | {"id": path.stem, "audio_filepath": path.name} for path in (good, bad[0], bad[3])]
    manifest = good.with_name("m.jsonl")
    manifest.write_text("".join(json.dumps(one) + "\n" for one in lines))
    command = [sys.executable, "-m", "lors", "manifest", "check", str(manifest)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    said = (done.stdout + done.stderr).splitlines()
    assert [one.partition(": ")[0] for one in said[:2]] == [f"{manifest}:2", f"{manifest}:3"]
    assert "mpg123" not in done.stderr and "Note:" not in done.stderr and "Xing" not in done.stderr
