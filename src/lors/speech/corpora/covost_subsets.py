"""Subsets of a split whose clips are measured only as far as they are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lors.base.errors import UsageError
from lors.base.progress import progress
from lors.speech.corpora.common_voice_layout import LanguageFolder
from lors.speech.corpora.common_voice_rows import Row, UsableRow, usable
from lors.speech.corpora.left_out import LeftOut
from lors.speech.corpora.subsets import in_order


@dataclass(frozen=True)
class Drawing:
    """From what clips are drawn, and how.

    Attributes:
        folder, table: where the clips are, and where their rows stand.
        stated: clip → seconds, as `clip_durations.tsv` has them.
        split: its name.
        seed: of the order in which clips are drawn.
        or_all: take all clips where there are too few.
    """

    folder: LanguageFolder
    table: Path
    stated: Mapping[str, float]
    split: str
    seed: int
    or_all: bool


def drawn(
    drawing: Drawing, rows: Sequence[Row], hours: Sequence[float], left_out: LeftOut, notes: list[str]
) -> dict[str, list[UsableRow]]:
    """Name of each subset → its rows, in the table's order; all usable rows under the split's name without `hours`.

    The clips are those of `subsets.subset` on all that are usable. With several `hours` the names are as
    `train-5h`.

    Args:
        drawing: the settings.
        rows: of the split.
        hours: ascending.
        left_out: told of clips that cannot be used, as far as they were looked at, and of those not drawn.
        notes: a sentence is added where all clips are too few.

    Raises:
        UsageError: all clips are too few.
    """
    by_id = {row.id: row for row in rows}
    order: Sequence[Row] = [by_id[i] for i in in_order(by_id, drawing.seed)] if hours else rows
    taken: list[UsableRow] = []
    ends: list[int] = []
    microseconds = 0
    name = f"{drawing.folder.code}-{drawing.split}"
    before = left_out.counts.total()
    with progress(f"Reading {name}", len(rows), "clips") as advance:
        for found in usable(drawing.folder, drawing.table, order, drawing.stated, left_out):
            advance(1)
            taken.append(found)
            microseconds += round(found.seconds * 1_000_000)
            while len(ends) < len(hours) and microseconds >= round(hours[len(ends)] * 3_600_000_000):
                ends.append(len(taken))
            if hours and len(ends) == len(hours):
                break
    if len(ends) < len(hours):
        there = f"{name} has {microseconds / 3_600_000_000:.2f} hours of the {hours[len(ends)]:g} asked for"
        if not drawing.or_all:
            raise UsageError(f"{there}; ask for fewer.")
        notes.append(f"{there}; all of them are taken.")
        ends += [len(taken)] * (len(hours) - len(ends))
    not_drawn = len(rows) - len(taken) - (left_out.counts.total() - before)
    if not_drawn:
        left_out.counts["not drawn into the subset"] += not_drawn
    if len(hours) <= 1:
        return {drawing.split: sorted(taken, key=lambda found: found.row.line)}
    return {
        f"{drawing.split}-{number:g}h": sorted(taken[:end], key=lambda found: found.row.line)
        for number, end in zip(hours, ends, strict=True)
    }
