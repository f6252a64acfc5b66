"""Comparisons of models in the HTML report: a row for each model, a column for each word."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lors.base.visible import visible
from lors.speech.manifest import Utterance
from lors.speech.report_parts import STEPS, html_language, html_text, legend, player
from lors.speech.side_by_side import Cell, Column, Comparison
from lors.speech.worst import count_of

_WIDTH = 104  # of a table, in letters; a Han character counts as two, a cell's margins as three
_MARGINS = 3
_RIGHT_TO_LEFT = {"ar", "fa", "he", "ps", "sd", "ur", "yi"}


def html_side_by_side(
    comparisons: Sequence[Comparison], clips: Mapping[tuple[str, str], Utterance], folder: Path
) -> str:
    """The section of the page, for a page in `folder`."""
    parts = [
        "<h2>Side by side</h2>\n<p>What each model wrote stands below the reference, after the normaliser. "
        f"{legend()}; a star stands for a word that is missing.</p>\n"
    ]
    for comparison in comparisons:
        clip = comparison.first
        parts.append(
            f'<article>\n<p class="facts"><bdi>{html_text(clip.data_set)}</bdi> · <bdi>{html_text(clip.id)}</bdi>'
            f" · {clip.duration:.1f} s · {count_of(clip.errors.words, 'word')}</p>\n"
            + "".join(_table(comparison, group) for group in _groups(comparison.columns))
            + player(clips.get((clip.data_set, clip.id)), folder)
            + "</article>\n"
        )
    return "".join(parts)


def _table(comparison: Comparison, columns: Sequence[Column]) -> str:
    language = comparison.first.language
    direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
    said = "".join(f"<td>{'' if c.reference is None else html_text(c.reference)}</td>" for c in columns)
    rows = [f'<tr class="said"><th scope="row">reference</th>{said}</tr>\n']
    for place, (model, utterance) in enumerate(comparison.utterances.items()):
        errors = count_of(utterance.errors.errors, "error") + (", looped" if utterance.looped else "")
        cells = "".join(_cell(column.cells[place]) for column in columns)
        rows.append(
            f'<tr><th scope="row"><bdi>{html_text(model)}</bdi> <small>{errors}</small></th>{cells}</tr>\n'
        )
    return (
        f'<div class="wide"><table class="side" dir="{direction}" lang="{html_language(language)}">\n'
        f"<tbody>\n{''.join(rows)}</tbody></table></div>\n"
    )


def _cell(cell: Cell) -> str:
    if cell.step in ("", "C"):
        return f"<td>{html_text(cell.text)}</td>"
    text = html_text(cell.text) or "*"
    return f'<td class="{cell.step}"><span class="h">{text}</span><b title="{STEPS[cell.step]}">{cell.step}</b></td>'


def _groups(columns: Sequence[Column]) -> Iterator[list[Column]]:
    """The columns in as few tables as hold them, of about the same width: no word stands alone in the last."""
    from rich.cells import cell_len

    sizes = [
        max(cell_len(visible(text)) for text in (column.reference or "", *(c.text for c in column.cells)))
        + _MARGINS
        for column in columns
    ]
    tables = -(-sum(sizes) // _WIDTH)
    limit = min(_WIDTH, sum(sizes) / max(tables, 1) + max(sizes, default=0))
    group: list[Column] = []
    used = 0
    for column, size in zip(columns, sizes, strict=True):
        if group and used + size > limit:
            yield group
            group, used = [], 0
        group.append(column)
        used += size
    if group:
        yield group
