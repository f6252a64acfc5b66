"""A manifest in one format → the same in another; nothing is lost without a word."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from lors.base.errors import UsageError
from lors.base.files import atomic_directory, refuse_existing
from lors.base.progress import progress
from lors.base.visible import visible
from lors.speech.manifest import Utterance, repeated
from lors.speech.manifests.formats import (
    FormatName,
    format_of_input,
    format_of_output,
    reader_of,
    write_format,
)
from lors.speech.manifests.rows import ReadSettings, Rows
from lors.speech.manifests.seen import SeenKeys, temporary_database
from lors.speech.manifests.shards import read_shards

_KEPT = 50
_OURS = ("speaker", "normaliser")


@dataclass
class Converted:
    """What was written, and what was not.

    Attributes:
        source_format, target_format: as given or guessed.
        utterances, seconds: written.
        bad: the first fifty rows that hold no utterance: FILE:LINE, and what is wrong.
        bad_rows: the number of all.
        other_task: utterances of the other task, left out.
        dropped: field → number of rows in which it was left out.
        audio: the folder with the audio of tar shards.
    """

    source_format: FormatName
    target_format: FormatName
    utterances: int = 0
    seconds: float = 0.0
    bad: list[tuple[str, str]] = field(default_factory=list)
    bad_rows: int = 0
    other_task: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    audio: Path | None = None


def convert_manifest(
    source: Path,
    out: Path,
    settings: ReadSettings | None = None,
    *,
    source_format: FormatName | None = None,
    target_format: FormatName | None = None,
    task: Literal["transcribe", "translate"] | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> Converted:
    """Read a manifest in any of `FORMATS` and write it in any, in constant memory, whole or not at all.

    Args:
        source: a file or a folder.
        out: what to write. The audio stays where it is, but for the formats that hold it (folder, webdataset);
            that of tar shards goes to a folder named as `out` with `-audio`.
        settings: what the rows of `source` do not say.
        source_format, target_format: None to see by name and contents.
        task: leave out the utterances of the other.
        skip_bad: leave bad rows out, and count them; else the first is an error.
        overwrite: replace `out`.

    Raises:
        UsageError: a bad row; a field that a format has no place for; `out` exists; no utterance is left.
        LorsError: a file is damaged.
    """
    source, out = Path(source), Path(out)
    settings = settings or ReadSettings()
    done = Converted(
        source_format or format_of_input(source),
        target_format or format_of_output(out),
        dropped=settings.dropped,
    )
    if done.source_format == done.target_format == "lors":
        raise UsageError(f"{source} and {out} are both in the format of `lors`; name another with --to.")
    refuse_existing(out, overwrite)
    with _rows(source, out, settings, done, skip_bad, overwrite) as rows, temporary_database() as database:
        seen = SeenKeys(database)

        def wanted() -> Iterator[Utterance]:
            for one in _good(rows, seen, done, task, skip_bad):
                done.utterances += 1
                done.seconds += one.duration
                yield _without_dropped(one, settings)
            if not done.utterances:
                others = (
                    f"; {done.bad_rows} rows are bad, the first is {': '.join(done.bad[0])}"
                    if done.bad
                    else ""
                )
                raise UsageError(f"{source}: no utterance is left to be written{others}")

        write_format(done.target_format, out, wanted(), settings, overwrite=overwrite)
    return done


def _good(
    rows: Rows, seen: SeenKeys, done: Converted, task: str | None, skip_bad: bool
) -> Iterator[Utterance]:
    """The utterances of `rows` that are of the task, each id once."""
    for path, line, found in rows:
        if isinstance(found, Utterance):
            if task is not None and found.task != task:
                done.other_task += 1
                continue
            first = seen.first_line(found.id.encode(), line)
            if first is None:
                yield found
                continue
            found = (
                repeated(found.id, first)
                if first
                else f"the id '{found.id[:100]}' is that of another clip too."
            )
        place = f"{path}:{line}" if line else str(path)
        place, found = visible(place), visible(found)  # names and texts may be anything
        if not skip_bad:
            raise UsageError(f"{place}: {found} (--skip-bad leaves such rows out and counts them)")
        done.bad_rows += 1
        if len(done.bad) < _KEPT:
            done.bad.append((place, found))


def _without_dropped(one: Utterance, settings: ReadSettings) -> Utterance:
    """The utterance with a plain path, without what `--drop` names."""
    changes: dict[str, object] = {}
    for name in _OURS:
        if name in settings.drop and getattr(one, name) is not None:
            changes[name] = None
            settings.dropped[name] += 1
    if ".." in one.audio_filepath.parts or not one.audio_filepath.is_absolute():
        # resolve() would follow links
        plain = os.path.abspath(one.audio_filepath)  # noqa: PTH100
        changes["audio_filepath"] = Path(plain)
    return replace(one, **changes) if changes else one  # type: ignore[arg-type]


@contextmanager
def _rows(
    source: Path, out: Path, settings: ReadSettings, done: Converted, skip_bad: bool, overwrite: bool
) -> Iterator[Rows]:
    """The rows of `source`; those of tar shards once all of their audio is in its folder."""
    if done.source_format != "webdataset":
        yield _shown(reader_of(done.source_format)(source, settings), _number_of_rows(source))
        return
    done.audio = out.with_name(out.name.partition(".")[0] + "-audio")
    with tempfile.TemporaryDirectory() as scratch:
        spool = Path(scratch) / "rows.jsonl"
        with atomic_directory(done.audio, overwrite) as partial:
            _put(spool, read_shards(source, partial, done.audio.absolute(), settings), skip_bad)
        yield _taken(spool)


def _put(spool: Path, rows: Rows, skip_bad: bool) -> None:
    with spool.open("w", encoding="utf-8") as file:
        for path, line, found in rows:
            if isinstance(found, Utterance):
                value: object = asdict(found) | {"audio_filepath": str(found.audio_filepath)}
            elif skip_bad:
                value = found
            else:
                raise UsageError(f"{path}: {found} (--skip-bad leaves such samples out and counts them)")
            file.write(json.dumps([str(path), line, value]) + "\n")


def _taken(spool: Path) -> Rows:
    with spool.open(encoding="utf-8") as file:
        for text in file:
            path, line, value = json.loads(text)
            if isinstance(value, dict):
                value = Utterance(**value | {"audio_filepath": Path(value["audio_filepath"])})
            yield Path(path), line, value


def _shown(rows: Rows, total: int) -> Rows:
    if not total:
        yield from rows
        return
    with progress("Converting", total, "rows") as advance:
        for row in rows:
            yield row
            advance(1)


def _number_of_rows(source: Path) -> int:
    """Of a file, about; 0 where it is small or has none, and nothing need be shown."""
    if not source.is_file() or source.stat().st_size < 1 << 22 or source.suffix == ".gz":
        return 0
    with source.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
