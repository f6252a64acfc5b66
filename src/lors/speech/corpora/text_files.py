"""The lists and tables of published corpora: UTF-8, a line a record, fields parted by tabs and never quoted."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from lors.base.errors import LorsError, UsageError
from lors.base.visible import visible
from lors.speech.corpora.left_out import LeftOut

Record = TypeVar("Record")

_MALFORMED = "malformed row"


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line without its end) for every line; a byte order mark and CRLF are accepted.

    Lines end at line feeds alone: U+2028 and the like are characters of a text.

    Raises:
        UsageError: there is no such file.
        LorsError: a line is not UTF-8.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file, which this corpus has; unpack all of it.")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            try:
                yield number, line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
            except UnicodeDecodeError as error:
                raise LorsError(
                    f"{path}:{number}: not UTF-8 (byte {error.start + 1}); unpack the corpus anew."
                ) from None


def count_lines(path: Path) -> int:
    """The number of lines, quickly; 0 for what is no file."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def table_rows(
    path: Path, columns: Sequence[str], left_out: LeftOut, *, header: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, column → field) for every row of a table with tabs; quotes are characters like others.

    Args:
        path: the table.
        columns: with a header, those that it must have, among others; without, all, in their order.
        left_out: told of rows with too few or too many fields.
        header: whether the first line names the columns.

    Raises:
        UsageError: no such file.
        LorsError: a column is missing or there twice, a line is not UTF-8, or a row is bad and none may be.
    """
    names = list(columns)
    for number, line in numbered_lines(path):
        if header and number == 1:
            names = _header(path, line, columns)
            continue
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != len(names):
            what = f"{len(fields)} fields with tabs between them, {len(names)} were expected ({', '.join(names)})"
            left_out.bad(f"{path}:{number}", _MALFORMED, what)
            continue
        yield number, dict(zip(names, fields, strict=True))


def _header(path: Path, line: str, columns: Sequence[str]) -> list[str]:
    names = line.split("\t")
    for name in names:
        if names.count(name) > 1:
            raise LorsError(f"{path}:1: the column '{visible(name)}' is there twice; unpack the corpus anew.")
    for name in columns:
        if name not in names:
            found = ", ".join(visible(n[:40]) for n in names[:20])
            raise LorsError(f"{path}:1: the column '{name}' is missing; the header names {found}.")
    return names


def side_by_side(
    listing: Path, records: Iterable[tuple[int, Record]], texts: Sequence[Path]
) -> Iterator[tuple[int, Record, list[str]]]:
    """Yield (line number in the listing, record, its line in each text file), which have as many lines each.

    Args:
        listing: for messages, where the records come from.
        records: with the lines on which they stand.
        texts: files whose nth line belongs to the nth record.

    Raises:
        UsageError: no such file.
        LorsError: the numbers of records and of lines differ.
    """
    records = iter(records)
    lines = zip_longest(*(numbered_lines(path) for path in texts))
    for done, (record, beside) in enumerate(zip_longest(records, lines), start=1):
        if record is None or beside is None or None in beside:
            # One of them has ended: the others are counted to their ends.
            counts = [
                done - (record is None),
                *(done - (line is None) for line in beside or [None] * len(texts)),
            ]
            counts[0] += sum(1 for _ in records) if record else 0
            for rest in lines:
                counts[1:] = [n + (line is not None) for n, line in zip(counts[1:], rest, strict=True)]
            said = ", ".join(f"{path.name} {n}" for path, n in zip((listing, *texts), counts, strict=True))
            raise LorsError(
                f"{listing}: the files beside each other must have as many entries as each other, and have: "
                f"{said}; unpack the corpus anew."
            )
        yield record[0], record[1], [text for _, text in beside]
