"""Read the files of a Debian package or a tar file into memory, without any system tool."""

import io
import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from lors.base.errors import LorsError

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


def read_deb(path: Path) -> dict[str, bytes]:
    """Return name → content of every regular file in a Debian package (deb(5): an ar of two tar files).

    Raises:
        LorsError: the file is damaged, no Debian package, or one of its names points outside it.
    """
    data = Path(path).read_bytes()
    if not data.startswith(_AR_MAGIC):
        raise LorsError(f"{path}: not a Debian package; remove it, to have it fetched anew.")
    position = len(_AR_MAGIC)
    while position + _AR_HEADER <= len(data):
        header = data[position : position + _AR_HEADER]
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58].strip()
        if header[58:] != b"`\n" or not size.isdigit():
            break
        start = position + _AR_HEADER
        if start + int(size) > len(data):
            break
        if name.startswith("data.tar"):
            return _read_tar(path, data[start : start + int(size)])
        position = start + int(size) + int(size) % 2  # members begin at even places
    raise LorsError(
        f"{path}: a damaged Debian package (it ends too early); remove it, to have it fetched anew."
    )


def read_tar(path: Path) -> dict[str, bytes]:
    """Return name → content of every regular file in a tar file, plain or compressed (gz, bz2, xz).

    Raises:
        LorsError: the file is damaged, no tar file, or one of its names points outside it.
    """
    return _read_tar(path, Path(path).read_bytes())


def _read_tar(path: Path, data: bytes) -> dict[str, bytes]:
    files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise LorsError(
                        f"{path}: '{member.name}' points outside the archive; do not use this file."
                    )
                content = archive.extractfile(member) if member.isreg() else None  # links and devices: never
                if content is not None:
                    files[str(name)] = content.read()
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        what = str(error).partition("\n")[0].rstrip(":- ") or "it ends too early"
        raise LorsError(f"{path}: a damaged archive ({what}); remove it, to have it fetched anew.") from None
    return files
