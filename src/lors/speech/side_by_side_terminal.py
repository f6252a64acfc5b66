"""Comparisons of models in a terminal: colours, and letters that say the same without them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lors.base.visible import visible
from lors.speech.side_by_side import Column, Comparison
from lors.speech.worst import count_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STYLES = {"": "", "C": "", "S": "bold yellow", "D": "bold red", "I": "bold cyan"}
_REFERENCE = "REF"


def print_side_by_side(comparisons: Sequence[Comparison], console: "Console") -> None:
    """Print each clip: what it is, then all models below the reference."""
    for comparison in comparisons:
        clip = comparison.first
        console.print()
        console.rule(visible(f"{clip.data_set} {clip.id}").replace("[", r"\["), align="left")
        found = [
            f"{visible(model)} {count_of(utterance.errors.errors, 'error')}"
            + (", looped" if utterance.looped else "")
            for model, utterance in comparison.utterances.items()
        ]
        console.print(
            f"{clip.duration:.1f} s, {count_of(clip.errors.words, 'word')}: {'; '.join(found)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        for line in comparison_lines(comparison, console.width):
            console.print(line, soft_wrap=True)


def comparison_lines(comparison: Comparison, width: int) -> list["Text"]:
    """Groups of lines: the reference, and of every model its words and, where it has errors, their letters.

    What stands at one place shares a column; stars stand for a word that is not there. No line is wider than
    `width` cells, unless a single word and a model's name are.
    """
    from rich.cells import cell_len
    from rich.text import Text

    labels = [_REFERENCE, *map(visible, comparison.utterances)]
    indent = max(map(cell_len, labels)) + 1
    lines: list[Text] = []
    for group in _groups(comparison.columns, width - indent):
        rows = [Text.assemble((label + " " * (indent - cell_len(label)), "dim")) for label in labels]
        marks = [Text(" " * indent) for _ in labels]
        for column in group:
            size = _size(column)
            said = "*" * size if column.reference is None else visible(column.reference)
            rows[0].append(said + " " * (size - cell_len(said) + 1))
            for place, cell in enumerate(column.cells, start=1):
                # A column of insertions stays empty for the models that inserted nothing there.
                text = "*" * size if cell.step == "D" else visible(cell.text)
                rows[place].append(text, style=STYLES[cell.step])
                rows[place].append(" " * (size - cell_len(text) + 1))
                marks[place].append(
                    ("" if cell.step == "C" else cell.step).ljust(size + 1), STYLES[cell.step]
                )
        for row, mark in zip(rows, marks, strict=True):
            lines += [row, mark] if mark.plain.strip() else [row]
    for line in lines:
        line.rstrip()
    return lines


def _groups(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns, broken where the next would not fit."""
    groups: list[list[Column]] = []
    used = width
    for column in columns:
        size = _size(column)
        if used + size > width or not groups:
            groups.append([])
            used = 0
        groups[-1].append(column)
        used += size + 1
    return groups


def _size(column: Column) -> int:
    from rich.cells import cell_len

    texts = [column.reference or "", *(cell.text for cell in column.cells)]
    return max(cell_len(visible(text)) for text in texts)
