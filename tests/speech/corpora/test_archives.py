import io
import lzma
import tarfile
from pathlib import Path

import pytest

from lors.base.errors import LorsError
from lors.speech.corpora.archives import read_deb, read_tar

FILES = {"usr/share/sounds/a.g722": bytes(range(256)) * 33, "usr/share/doc/odd": b"odd", "empty": b""}


def tar_of(files: dict[str, bytes], mode: str, *extra: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in extra:
            archive.addfile(member)
    return buffer.getvalue()


def ar_of(members: dict[str, bytes]) -> bytes:
    """The ar format, as deb(5) describes it."""
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def deb_of(data: bytes, name: str = "data.tar.xz") -> bytes:
    return ar_of({"debian-binary": b"2.0\n", "control.tar.xz": lzma.compress(b"odd length"), name: data})


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_read_tar(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of(FILES, mode))
    assert read_tar(path) == FILES


@pytest.mark.parametrize(
    ("mode", "name"), [("w:xz", "data.tar.xz"), ("w:gz", "data.tar.gz/"), ("w", "data.tar")]
)
def test_read_deb(tmp_path: Path, mode: str, name: str) -> None:
    path = tmp_path / "a.deb"
    path.write_bytes(deb_of(tar_of(FILES, mode), name))
    assert read_deb(path) == FILES


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil"])
def test_a_name_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tar_of(FILES, "w:gz", tarfile.TarInfo(name)))
    with pytest.raises(LorsError, match=r"a.tar.gz: '.*evil' points outside the archive"):
        read_tar(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_only_regular_files_are_read(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = kind, "/etc/passwd"
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tar_of(FILES, "w:gz", member))
    assert read_tar(path) == FILES


@pytest.mark.parametrize("size", [0, 4, 70, 150, 300, -10])
def test_a_truncated_deb_is_named(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.deb"
    path.write_bytes(deb_of(tar_of(FILES, "w:xz"))[:size])
    with pytest.raises(LorsError, match=r"a.deb: (not a|a damaged) .*; remove it"):
        read_deb(path)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_truncated_tar_is_named(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tar_of(FILES, mode)[:-60])
    with pytest.raises(LorsError, match=r"a.tar.gz: a damaged archive"):
        read_tar(path)
    path.write_text("<html>404</html>")
    with pytest.raises(LorsError, match=r"a.tar.gz: a damaged archive"):
        read_tar(path)
