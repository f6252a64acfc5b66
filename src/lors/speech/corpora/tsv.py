"""Tab-separated tables as CoVoST's own script reads them, a row at a time: no quoting, `\\` escapes, no NA."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from lors.base.errors import UsageError, did_you_mean
from lors.base.visible import visible
from lors.speech.corpora.left_out import LeftOut

LONGEST_ROW = 1 << 20
"""Bytes that a row may have."""

_SPECIAL = re.compile(r"\\(.)|\t", re.DOTALL)


def read_rows(
    path: Path, columns: Sequence[str], left_out: LeftOut, optional: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number from 1, fields) for each row after the header, in constant memory.

    Quotes are characters like others, a backslash makes the next character one of the text (also a tab or a
    line's end), fields are text whatever they look like, and rows may end early, as with
    `pandas.read_csv(sep="\\t", quoting=QUOTE_NONE, escapechar="\\\\", na_filter=False)`, which is what
    CoVoST's and fairseq's scripts use. A byte order mark, CRLF and blank lines are accepted.

    Args:
        path: the table, UTF-8, its first line the names of the columns.
        columns: names of the columns to return.
        left_out: told of rows that are too long, have more fields than the header, lack one of `columns`, are
            not UTF-8, or hold a carriage return.
        optional: further columns, whose fields are "" where the table or the row has none.

    Raises:
        UsageError: there is no such file, it is empty, or it lacks one of `columns`.
        LorsError: a row is bad and none may be.
    """
    with _opened(path) as file:
        lines = _logical_lines(file)
        header = _header(path, next(lines, (1, b""))[1])
        places = [_place(path, header, name) for name in columns]
        last_needed = max(places)
        for number, line in lines:
            try:
                fields = _fields(line)
                if len(fields) > len(header):
                    raise _MalformedError(
                        f"{len(fields)} fields where the header has {len(header)} (a tab in a text is written \\<tab>)"
                    )
                if 0 < len(fields) <= last_needed:
                    missing = next(
                        name for name, at in zip(columns, places, strict=True) if at >= len(fields)
                    )
                    raise _MalformedError(f"the row ends before the column '{missing}'")
            except _MalformedError as error:
                left_out.bad(f"{path}:{number}", "malformed row", str(error))
            else:
                if fields:
                    yield (
                        number,
                        [fields[at] for at in places]
                        + [_optional(header, fields, name) for name in optional],
                    )


class _MalformedError(Exception):
    """What is wrong with a row."""


def _opened(path: Path) -> IO[bytes]:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise UsageError(f"{path}: {what}; a table with tabs between its columns was expected.")
    return path.open("rb")


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Yield line numbers and lines, None for a line that is too long."""
    number = 0
    while line := file.readline(LONGEST_ROW + 1):
        number += 1
        if len(line) <= LONGEST_ROW or line.endswith(b"\n"):
            yield number, line
        else:
            while (rest := file.readline(LONGEST_ROW)) and not rest.endswith(b"\n"):
                pass
            yield number, None


def _logical_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """The same, a line whose end is escaped together with the next."""
    pieces: list[bytes] = []
    first, size = 0, 0
    for number, line in _lines(file):
        first = first or number
        size += LONGEST_ROW + 2 if line is None else len(line)
        if line is not None and size <= LONGEST_ROW + 1:
            pieces.append(line)
        if line is None or not _ends_escaped(line):
            yield first, b"".join(pieces) if size <= LONGEST_ROW + 1 else None
            pieces, first, size = [], 0, 0
    if first:
        yield first, b"".join(pieces) if size <= LONGEST_ROW + 1 else None


def _ends_escaped(line: bytes) -> bool:
    return line.endswith(b"\\\n") and (len(line) - 1 - len(line[:-1].rstrip(b"\\"))) % 2 == 1


def _fields(line: bytes | None) -> list[str]:
    """The fields of a line; none of a blank one."""
    if line is None:
        raise _MalformedError(f"the row is longer than {LONGEST_ROW} bytes")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _MalformedError(f"not UTF-8 (byte {error.start + 1})") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if "\r" in text:
        raise _MalformedError("a carriage return stands in the middle of the row")
    if not text.strip(" "):
        return []
    if "\\" not in text:
        return text.split("\t")
    fields: list[str] = []
    pieces: list[str] = []
    at = 0
    for special in _SPECIAL.finditer(text):
        pieces.append(text[at : special.start()])
        at = special.end()
        if special[0] == "\t":
            fields.append("".join(pieces))
            pieces = []
        else:
            pieces.append(special[1])
    return [*fields, "".join(pieces) + text[at:]]


def _header(path: Path, line: bytes | None) -> list[str]:
    try:
        header = _fields(line.removeprefix(b"\xef\xbb\xbf") if line else line)
    except _MalformedError as error:
        raise UsageError(f"{path}:1: {error}; a table with tabs between its columns was expected.") from None
    if not header:
        raise UsageError(
            f"{path}: is empty; a table with the names of its columns in the first line was expected."
        )
    return header


def _place(path: Path, header: list[str], name: str) -> int:
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise UsageError(f"{path}:1: there are {header.count(name)} columns '{name}'; one was expected.")
    found = visible(", ".join(header))[:200]
    raise UsageError(
        f"{path}:1: the column '{name}' is missing; there are: {found}.{did_you_mean(name, header)}"
    )


def _optional(header: list[str], fields: list[str], name: str) -> str:
    at = header.index(name) if name in header else len(fields)
    return fields[at] if at < len(fields) else ""
