"""WebDataset's tar files, written here, and members that are not what they should be."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lors.speech.manifests.convert import convert_manifest

from .conversion import put, read, refusal


def shard(path: Path, *members: tuple[str, bytes | tarfile.TarInfo], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            if isinstance(content, bytes):
                about = tarfile.TarInfo(name)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
            else:
                content.name = name
                archive.addfile(content)
    return path


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    about = tarfile.TarInfo()
    about.type, about.linkname = kind, target
    return about


def test_shards(folder: Path) -> None:
    wav = (folder / "a.wav").read_bytes()
    (folder / "shards").mkdir()
    shard(
        folder / "shards" / "1.tar",
        ("./d/x.wav", wav),
        ("./d/x.txt", b"uno"),
        ("y.wav", wav),
        ("y.json", b'{"text": "dos", "id": "Y"}'),
    )
    shard(folder / "shards" / "2.tar.gz", ("y.json", b'{"text": "tres"}'), ("y.wav", wav), mode="w:gz")
    found, done = read(folder / "shards", source_lang="es", target_lang="es")
    assert done.source_format == "webdataset"
    assert [(one.id, one.text, one.duration) for one in found] == [
        ("d/x", "uno", 2.0),
        ("Y", "dos", 2.0),
        ("y", "tres", 2.0),
    ]
    assert all(one.audio_filepath.read_bytes() == wav for one in found)
    assert all(one.audio_filepath.is_relative_to(folder / "read-audio") for one in found)


@pytest.mark.parametrize("name", ["../x.wav", "/tmp/x.wav", "a/../../x.wav", "..\\x.wav"])
def test_members_that_climb_out(folder: Path, name: str) -> None:
    source = shard(folder / "in.tar", (name, (folder / "a.wav").read_bytes()), ("x.txt", b"x"))
    assert "leads out of the archive" in refusal(source, source_lang="es", target_lang="es")
    assert sorted(path.name for path in folder.iterdir()) == ["a.wav", "b.wav", "in.tar"]


def test_bad_shards(folder: Path) -> None:
    wav = (folder / "a.wav").read_bytes()
    bad: list[tuple[list[tuple[str, Any]], str]] = [
        ([("x.wav", wav)], "the sample 'x': no 'x.txt' is beside it"),
        ([("x.txt", b"x")], "no audio file is beside it"),
        ([("x.wav", wav), ("x.flac", wav), ("x.txt", b"x")], "'x' has two audio files"),
        ([("x.wav", b"noise"), ("x.txt", b"x")], "it says no duration, and"),
        (
            [("x.wav", wav), ("x.cls", b"1"), ("x.txt", b"x")],
            "no place for '.cls'; leave it out with --drop .cls",
        ),
        ([("x.wav", link(tarfile.SYMTYPE, "/etc/passwd")), ("x.txt", b"x")], "is a link or a device"),
        ([("x.wav", link(tarfile.LNKTYPE, "../a.wav")), ("x.txt", b"x")], "is a link or a device"),
        ([("x.wav", link(tarfile.CHRTYPE, "")), ("x.txt", b"x")], "is a link or a device"),
        ([("x.wav", wav), ("x.txt", b"x" * 2_000_000)], "larger than 1 MiB"),
    ]
    for members, what in bad:
        message = refusal(shard(folder / "in.tar", *members), source_lang="es", target_lang="es")
        assert what in message
        assert not (folder / "read-audio").exists()
    whole = shard(folder / "in.tar", ("x.wav", wav), ("x.txt", b"x")).read_bytes()
    (folder / "in.tar").write_bytes(whole[:20_000])
    assert "a damaged tar file" in refusal(folder / "in.tar", source_lang="es", target_lang="es")


def test_many_shards_are_written_when_one_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lors.speech.manifests.shards._SHARD_BYTES", 100_000)
    lines = [
        {
            "id": f"u{n}",
            "audio_filepath": "a.wav",
            "duration": 2.0,
            "text": "x",
            "source_lang": "es",
            "target_lang": "es",
        }
        for n in range(4)
    ]
    convert_manifest(put(folder / "m.jsonl", *lines), folder / "shards", target_format="webdataset")
    names = {}
    for path in sorted((folder / "shards").iterdir()):
        with tarfile.open(path) as archive:
            names[path.name] = archive.getnames()
    assert names == {
        f"{place:06d}.tar": [
            f"u{n}.{suffix}" for n in (2 * place, 2 * place + 1) for suffix in ("wav", "txt", "json")
        ]
        for place in (0, 1)
    }
