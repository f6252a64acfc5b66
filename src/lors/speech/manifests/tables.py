"""Tables: CSV with quotes, TSV without, a header in the first line, a column for each field."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from lors.base.errors import UsageError, did_you_mean
from lors.speech.manifest import OPTIONAL, REQUIRED, Utterance
from lors.speech.manifests.lines import BadLineError, decoded, numbered_lines, raw_lines
from lors.speech.manifests.rows import ReadSettings, Rows, number, require_columns, utterance_of

FIELDS = (*REQUIRED, *OPTIONAL)
_NUMBERS = ("duration", "offset")


def read_csv(path: Path, settings: ReadSettings) -> Rows:
    """Yield the utterances of a table with commas: cells may be quoted, and hold line breaks if they are.

    Raises:
        UsageError: no such file, a header that does not fit, or a quote that is never closed.
    """
    return _rows(path, settings, _csv_records(path))


def read_tsv(path: Path, settings: ReadSettings) -> Rows:
    """Yield the utterances of a table with tabs, in which a quotation mark is a character like any other.

    Raises:
        UsageError: no such file, or a header that does not fit.
    """
    return _rows(path, settings, _tsv_records(path))


def csv_lines(utterances: Iterable[Utterance]) -> Iterator[str]:
    """The lines of a table with commas; what needs quotes has them."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")  # so that either character in a cell has quotes

    def line(cells: Iterable[str]) -> str:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(cells)
        return buffer.getvalue().removesuffix("\r\n") + "\n"

    yield line(FIELDS)
    for utterance in utterances:
        yield line(_cells(utterance))


def tsv_lines(utterances: Iterable[Utterance]) -> Iterator[str]:
    """The lines of a table with tabs.

    Raises:
        UsageError: a cell holds a tab or a line break.
    """
    yield "\t".join(FIELDS) + "\n"
    for utterance in utterances:
        cells = _cells(utterance)
        for name, cell in zip(FIELDS, cells, strict=True):
            if any(character in cell for character in "\t\n\r"):
                raise UsageError(
                    f"the utterance {utterance.id!r} has a tab or a line break in '{name}', which a TSV file cannot "
                    "hold; write CSV, or mend it."
                )
        yield "\t".join(cells) + "\n"


def _cells(utterance: Utterance) -> list[str]:
    values = (getattr(utterance, name) for name in FIELDS)
    return [
        "" if value is None else repr(value) if isinstance(value, float) else str(value) for value in values
    ]


_Record = tuple[int, list[str] | BadLineError]


def _tsv_records(path: Path) -> Iterator[_Record]:
    for line_number, line in numbered_lines(path, "a table"):
        try:
            yield line_number, decoded(line).split("\t")
        except BadLineError as error:
            yield line_number, error


def _csv_records(path: Path) -> Iterator[_Record]:
    """Records and the lines where they begin."""
    begun = last = 0
    bad: BadLineError | None = None

    def texts() -> Iterator[str]:
        nonlocal begun, last, bad
        for last, line in raw_lines(path, "a table"):
            begun = begun or last
            try:
                yield decoded(line)
            except BadLineError as error:
                bad = bad or error
                yield (line or b"\n").decode(errors="replace")  # so that the reader keeps its place

    reader = csv.reader(texts(), strict=True)
    while True:
        begun, bad = 0, None
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UsageError(
                f"{path}:{begun or last}: not CSV ({str(error).split(' - ')[0]}); a cell that holds a quotation mark, "
                "a comma or a line break stands in quotes, with its own quotation marks doubled."
            ) from None
        if bad or any(record):
            yield begun, bad or record


def _rows(path: Path, settings: ReadSettings, records: Iterator[_Record]) -> Rows:
    require_columns(settings.columns)
    root = settings.root(path.absolute().parent)
    line, header = next(records, (1, []))
    if isinstance(header, BadLineError):
        raise UsageError(f"{path}:{line}: {header}")
    places = _places(path, line, header, settings)
    unused = [column for column in header if header.index(column) not in places.values()]
    for line, record in records:
        try:
            if isinstance(record, BadLineError):
                raise record
            if len(record) != len(header):
                raise BadLineError(f"{len(record)} cells; {len(header)} were expected, as in the header.")
            fields: dict[str, object] = {}
            for name, place in places.items():
                cell = record[place]
                fields[name] = (number(name, cell) if name in _NUMBERS else cell) if cell else None
            if fields["text"] is None:
                raise BadLineError("'text' is empty.")
            for column in unused:
                settings.dropped[column] += bool(record[header.index(column)])
            yield path, line, utterance_of(fields, root, settings)
        except BadLineError as error:
            yield path, line, str(error)


def _places(path: Path, line: int, header: list[str], settings: ReadSettings) -> dict[str, int]:
    """Our field → the number of its column."""
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UsageError(f"{path}:{line}: the column {twice!r} is there twice; rename one.")
    places = {}
    for name in FIELDS:
        column = settings.columns.get(name, name)
        if column in header:
            places[name] = header.index(column)
        elif name in settings.columns:
            raise UsageError(
                f"{path}:{line}: no column {column!r}; there are {', '.join(header)}.{did_you_mean(column, header)}"
            )
    for name in ("id", "audio_filepath", "text"):
        if name not in places:
            raise UsageError(
                f"{path}:{line}: no column '{name}'; name the one that holds it with --column {name}=NAME; there are "
                f"{', '.join(header) or 'none'}."
            )
    refused = [
        column
        for place, column in enumerate(header)
        if place not in places.values() and column not in settings.drop
    ]
    if refused:
        raise UsageError(
            f"{path}:{line}: {', '.join(refused)}: columns that a manifest has no place for; name what they are with "
            f"--column FIELD=NAME, or leave them out with --drop {','.join(refused)}."
        )
    return places
