"""The lines of a text file, numbered, however long and however badly encoded they are."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from lors.base.errors import UsageError

LONGEST_LINE = 1 << 20
"""Bytes that a line may have: a manifest's has some hundred."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BadLineError(UsageError):
    """What is wrong with one line, without its place."""


def require_file(path: Path, expected: str) -> None:
    """Raise UsageError unless `path` is a file that can be opened.

    Args:
        path: what the user named.
        expected: what it should have been: "a manifest (JSON Lines)".
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; {expected} was expected.")
    if not path.exists():
        raise UsageError(f"{path}: no such file; {expected} was expected.")
    if not path.is_file():
        raise UsageError(f"{path}: is a device or a pipe; {expected}, a file, was expected.")


def numbered_lines(path: Path, expected: str) -> Iterator[tuple[int, bytes | None]]:
    """Yield (number from 1, line without its end) for every line that is not blank.

    Lines end at LF or CRLF only, so that U+2028 may stand in a text; a byte order mark is left out. A line of
    more than `LONGEST_LINE` bytes comes as None: it is never whole in memory. A name in .gz is decompressed.

    Args:
        path: the file.
        expected: what it should be, for the sentence if it is not there: "a manifest (JSON Lines)".

    Raises:
        UsageError: `path` is no file, or what it holds is no gzip.
    """
    for number, line in raw_lines(path, expected):
        if line is None or line.strip():
            yield number, line and line.removesuffix(b"\n").removesuffix(b"\r")


def raw_lines(path: Path, expected: str) -> Iterator[tuple[int, bytes | None]]:
    """`numbered_lines` with blank lines, and with the ends of all."""
    require_file(path, expected)
    if path.suffix.lower() != ".gz":
        with path.open("rb") as file:
            yield from lines_of(file, 1)
        return
    with gzip.open(path) as compressed:
        try:
            yield from lines_of(cast(BinaryIO, compressed), 1)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UsageError(f"{path}: damaged, or not gzip ({error}); make it anew.") from None


def lines_of(file: BinaryIO, number: int, end: int | None = None) -> Iterator[tuple[int, bytes | None]]:
    """`raw_lines` from where the file stands, whose line is `number`, to the byte `end`."""
    while end is None or file.tell() < end:
        line = file.readline(LONGEST_LINE + 2)
        if not line:
            return
        if not line.endswith(b"\n") and len(line) > LONGEST_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE)
            yield number, None
        else:
            yield number, line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        number += 1


def decoded(line: bytes | None) -> str:
    """The line as text.

    Raises:
        BadLineError: it is longer than `LONGEST_LINE`, or not UTF-8.
    """
    if line is None:
        raise BadLineError("the line is longer than 1 MiB; a line for each clip was expected.")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadLineError(f"not UTF-8 (byte {error.start + 1}); save the file as UTF-8.") from None
