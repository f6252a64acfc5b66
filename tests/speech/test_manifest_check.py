"""Large manifests, in pieces and in several processes, and what is wrong with them by construction."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from lors.base.errors import UsageError
from lors.speech.manifest import Utterance, stream_manifest, write_manifest
from lors.speech.manifests import blocks as blocks_module
from lors.speech.manifests.blocks import Contents
from lors.speech.manifests.check import check_manifest


def line(identifier: str, **more: Any) -> str:
    fields = {"id": identifier, "audio_filepath": "a.wav", "duration": 1.0, "text": "hola", "source_lang": "es",
              "target_lang": "en"}  # fmt: skip
    return json.dumps(fields | more)


@pytest.fixture
def ugly(tmp_path: Path) -> tuple[Path, dict[int, str]]:
    """3000 lines, and the line numbers and first words of what is wrong."""
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    lines, wrong = [], {}
    for number in range(1, 3001):
        if number % 500 == 0:
            lines.append("")
        elif number % 501 == 0:
            lines.append("{")
            wrong[number] = "not JSON"
        elif number % 333 == 0:
            lines.append(line("u7"))
            wrong[number] = "the id 'u7' is that of line 7 too."
        elif number % 777 == 0:
            lines.append(line(f"u{number}", duration=2.0))
            wrong[number] = f"{tmp_path / 'a.wav'}: lasts 1.00 s"
        elif number == 1500 + 1:
            lines.append(line(f"u{number}", text="x" * 1_100_000))
            wrong[number] = "the line is longer than 1 MiB"
        elif number == 2600:
            lines.append(line(f"u{number}", text="x" * 10_000_000))
            wrong[number] = "the line is longer than 1 MiB"
        else:
            lines.append(line(f"u{number}", text="x" * (number % 97 + 1)))
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    return path, wrong


def test_all_that_is_wrong_is_found_in_order_and_nothing_else(
    ugly: tuple[Path, dict[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, wrong = ugly
    for chunk, workers in ((1 << 18, 1), (1 << 12, 1), (1 << 18, 2)):
        monkeypatch.setattr(blocks_module, "BLOCK_BYTES", chunk)
        contents = Contents()
        found = list(check_manifest(path, workers=workers, contents=contents))
        assert [number for number, _ in found] == list(wrong)
        assert all(what.startswith(wrong[number]) for number, what in found)
        assert contents.lines == 3000 - 6
        assert contents.tasks == {("es", "en")}


def test_what_good_lines_hold(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("".join(line(f"u{n}", duration=0.5 + n) + "\n" for n in range(4)))
    contents = Contents()
    assert list(check_manifest(path, check_audio=False, contents=contents)) == []
    assert (contents.lines, contents.utterances, contents.seconds) == (4, 4, 8.0)


def test_ids_that_differ_in_one_bit_are_different(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    ids = ["e\u0301", "é", "a", "A", "a ", "a\x00", "a\x00b", "1", "1.0", "01"]
    path.write_text("".join(line(one) + "\n" for one in ids), encoding="utf-8")
    assert list(check_manifest(path, check_audio=False)) == []


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("none", "no such file"), ("", "is a folder"), ("pipe", "is a device or a pipe")):
        with pytest.raises(UsageError, match=what):
            list(check_manifest(tmp_path / name))


def test_an_interrupt_ends_all_processes_and_says_no_traceback(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    path = tmp_path / "m.jsonl"
    with path.open("w") as file:
        for number in range(200_000):
            file.write(line(f"u{number}") + "\n")
    command = [sys.executable, "-m", "lors", "manifest", "check", str(path), "--workers", "2"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, LORS_CACHE=str(tmp_path / "cache")),
        start_new_session=True,
        # A test that runs in the background ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while (
        len(children.read_text().split()) < 3 and time.monotonic() < deadline
    ):  # two, and one that counts them
        time.sleep(0.05)
    started = children.read_text().split()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "Traceback" not in out + err
    assert len(started) >= 2
    while any(Path(f"/proc/{one}").exists() for one in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{one}").exists() for one in started)


def test_a_manifest_is_written_as_utterances_come(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    one = Utterance(
        id="x", audio_filepath=tmp_path / "a.wav", duration=1.0, text="t" * 1000, source_lang="es", target_lang="es"
    )  # fmt: skip
    sizes = []

    def clips() -> Any:
        for _ in range(1000):
            sizes.append(sum(partial.stat().st_size for partial in tmp_path.glob(".m.jsonl.partial*")))
            yield one

    write_manifest(path, clips())
    assert sizes[500] > 400_000  # half of it is on the disk when half of it was given
    assert not path.with_suffix(".partial").exists()


def test_a_manifest_that_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("old")

    def clips() -> Any:
        yield Utterance(
            id="x", audio_filepath=tmp_path / "a.wav", duration=1.0, text="t", source_lang="es", target_lang="es"
        )  # fmt: skip
        raise UsageError("no more")

    with pytest.raises(UsageError, match="no more"):
        write_manifest(path, clips())
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["m.jsonl"]


def test_streaming_stops_at_the_first_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f"{line('a')}\n\n{{\n{line('a')}\n")
    utterances = stream_manifest(path)
    assert next(utterances).id == "a"
    with pytest.raises(UsageError, match=rf"^{path}:3: not JSON .*`lors manifest check {path}` lists all"):
        next(utterances)
