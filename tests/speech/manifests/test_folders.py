"""Folders of `x.wav` and `x.txt`, and links that lead out of them."""

from pathlib import Path

import pytest

from .conversion import read, refusal


def test_a_folder_of_wav_and_txt(folder: Path) -> None:
    (folder / "in" / "ana").mkdir(parents=True)
    for name in ("b", "a"):
        (folder / f"{name}.wav").rename(folder / "in" / "ana" / f"{name}.WAV")
        (folder / "in" / "ana" / f"{name}.txt").write_bytes(b"\xef\xbb\xbfhola\r\n")
    (folder / "in" / "README.txt").write_text("about")
    (first, second), done = read(folder / "in", source_lang="es", target_lang="es")
    assert done.source_format == "folder"
    assert (first.id, first.text, first.duration) == ("ana/a", "hola", 2.0)
    assert second.audio_filepath == folder / "in" / "ana" / "b.WAV"
    assert done.dropped == {"(files that are no clip's)": 1}


def test_links_out_of_a_folder(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "a.wav").symlink_to(folder / "a.wav")
    (folder / "in" / "a.txt").write_text("x")
    assert "leads out of" in refusal(folder / "in", source_lang="es", target_lang="es")
    ((one,), _) = read(folder / "in", source_lang="es", target_lang="es", audio_anywhere=True)
    assert one.duration == 2.0
    (folder / "read.jsonl").unlink()
    (folder / "in" / "a.wav").unlink()
    (folder / "in" / "a.txt").unlink()
    (folder / "a.wav").rename(folder / "in" / "a.wav")
    (folder / "secret").write_text("password")
    (folder / "in" / "a.txt").symlink_to(folder / "secret")
    message = refusal(folder / "in", source_lang="es", target_lang="es")
    assert "'a.txt' leads out of" in message and "password" not in message


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({}, "no 'a.txt' is beside it"),
        ({"a.txt": b""}, "'text' is empty"),
        ({"a.txt": b"\xff"}, "not UTF-8"),
        ({"a.txt": b"x" * 2_000_000}, "larger than 1 MiB"),
        ({"a.txt": b"x", "a.json": b'{"text": "y"}'}, "have different texts"),
        ({"a.txt": b"x", "a.json": b"[]"}, "a JSON object was expected"),
        ({"a.txt": b"x", "a.json": b'{"mood": 1}'}, "no place for 'mood'"),
    ],
)
def test_bad_folders(folder: Path, files: dict[str, bytes], what: str) -> None:
    (folder / "in").mkdir()
    (folder / "a.wav").rename(folder / "in" / "a.wav")
    for name, content in files.items():
        (folder / "in" / name).write_bytes(content)
    message = refusal(folder / "in", "folder", source_lang="es", target_lang="es")
    assert message.startswith(f"{folder}/in/a.wav: ")
    assert what in message
