"""MuST-C's lists of segments: YAML of many megabytes, read entry by entry."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from lors.base.errors import LorsError, UsageError
from lors.base.visible import visible


def read_segments(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, key → value as it is written) for each entry of a list of flat mappings.

    libyaml's events are read as they come, so that memory does not grow with the file. Anchors and
    aliases, nested values and a key that is there twice are errors.

    Raises:
        UsageError: no such file.
        LorsError: it is no YAML, or no list of flat mappings.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file, which this corpus has; unpack all of it.")
    with path.open("rb") as file:
        try:
            yield from _entries(path, yaml.parse(file, Loader=yaml.CSafeLoader))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f"{path}:{mark.line + 1}" if mark else str(path)
            problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
            raise LorsError(f"{place}: no YAML ({visible(problem)}); unpack the corpus anew.") from None


def _entries(path: Path, events: Iterator[yaml.Event]) -> Iterator[tuple[int, dict[str, str]]]:
    for expected in (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.SequenceStartEvent):
        _expect(path, next(events), expected)
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
        _expect(path, event, yaml.MappingStartEvent)
        line = _line(event)
        entry: dict[str, str] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = _scalar(path, event)
            if key in entry:
                raise LorsError(f"{path}:{line}: the key '{visible(key[:60])}' is there twice.")
            entry[key] = _scalar(path, next(events))
        yield line, entry


def _scalar(path: Path, event: yaml.Event) -> str:
    _expect(path, event, yaml.ScalarEvent)
    assert isinstance(event, yaml.ScalarEvent)
    return event.value


def _expect(path: Path, event: yaml.Event, kind: type[yaml.Event]) -> None:
    if not isinstance(event, kind) or getattr(event, "anchor", None):
        raise LorsError(
            f"{path}:{_line(event)}: a list of segments, each with plain values (`- {{duration: 3.5, offset: 16.08, "
            "speaker_id: spk.767, wav: ted_767.wav}`), was expected."
        )


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
