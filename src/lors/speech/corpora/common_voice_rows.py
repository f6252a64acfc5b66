"""The rows of Common Voice's tables, and which of them have a clip that can be used."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path

from lors.base.errors import LorsError
from lors.speech.audio import TOLERANCE_SECONDS
from lors.speech.corpora.common_voice_layout import LanguageFolder, measured
from lors.speech.corpora.inside import OutsideError
from lors.speech.corpora.left_out import LeftOut
from lors.speech.corpora.tsv import read_rows
from lors.speech.manifest import Utterance


@dataclass(frozen=True, slots=True)
class Row:
    """One clip as a table has it.

    Attributes:
        line: of the table, from 1.
        clip: the name of its file.
        sentence: what was to be read, as it stands there.
        speaker: the client's id, "" where none is told.
    """

    line: int
    clip: str
    sentence: str
    speaker: str

    @property
    def id(self) -> str:
        """The utterance's id: the name of the file without ".mp3", as in fairseq."""
        return self.clip.removesuffix(".mp3")


@dataclass(frozen=True, slots=True)
class UsableRow:
    """A row whose clip is there: the file, from `clips/`, and its length."""

    row: Row
    audio: str
    seconds: float


def table_rows(table: Path, left_out: LeftOut) -> Iterator[tuple[Row, str]]:
    """Yield every row of a table, with its column `locale`, "" before release 5."""
    columns = ("path", "sentence", "client_id")
    for line, (clip, sentence, speaker, locale) in read_rows(table, columns, left_out, optional=("locale",)):
        yield Row(line, clip, sentence, sys.intern(speaker)), locale  # one speaker has many clips


def is_of_this_language(
    folder: LanguageFolder, table: Path, row: Row, locale: str, left_out: LeftOut
) -> bool:
    """Whether neither the clip's name nor its locale contradicts the folder; if one does, the row is bad."""
    contradiction = folder.contradiction(row.clip, locale)
    if contradiction:
        left_out.bad(f"{table}:{row.line}", "another language", contradiction)
    return contradiction is None


def usable(
    folder: LanguageFolder, table: Path, rows: Iterable[Row], stated: Mapping[str, float], left_out: LeftOut
) -> Iterator[UsableRow]:
    """Yield the rows, in order, whose clip is there and not too long.

    Args:
        folder: where the clips are.
        table: where the rows stand, for messages.
        rows: read once, some hundred ahead.
        stated: clip → seconds, from `clip_durations.tsv`; the headers of other clips are read.
        left_out: told of clips that are missing, damaged, outside the corpus, or too long.
    """
    rows, ahead = tee(rows)
    for row, found in zip(rows, measured(folder, (row.clip for row in ahead), stated), strict=False):
        if isinstance(found, LorsError):
            left_out.bad(f"{table}:{row.line}", _reason(folder, row, found), str(found))
        elif found[1] > left_out.maximum_seconds + TOLERANCE_SECONDS / 2:
            left_out.counts[f"longer than {left_out.maximum_seconds:g} s"] += 1
        else:
            yield UsableRow(row, *found)


def utterance(
    folder: LanguageFolder, found: UsableRow, text: str | None = None, target: str | None = None
) -> Utterance:
    """The utterance of a clip: its sentence, or a text in another language; NFC, otherwise as it stands."""
    return Utterance(
        id=found.row.id,
        audio_filepath=folder.path / "clips" / found.audio,
        duration=round(found.seconds, 6),
        text=unicodedata.normalize("NFC", found.row.sentence if text is None else text),
        source_lang=folder.code,
        target_lang=target or folder.code,
        speaker=found.row.speaker or None,
    )


def counting(rules: LeftOut, left_out: dict[str, Counter[str]], name: str) -> LeftOut:
    """The same rules, counting under `name`."""
    return replace(rules, counts=left_out.setdefault(name, Counter()))


def _reason(folder: LanguageFolder, row: Row, error: LorsError) -> str:
    if isinstance(error, OutsideError):
        return "path outside the corpus"
    try:
        there = (folder.path / "clips" / row.clip).exists()
    except OSError:  # the name is too long
        there = False
    return "damaged audio" if there else "no audio file"
