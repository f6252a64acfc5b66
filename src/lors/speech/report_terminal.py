"""The report in a terminal: alignments in colour, with letters that say the same without it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lors.base.visible import visible
from lors.speech.aligned_words import AlignedWord
from lors.speech.confusions import most_frequent
from lors.speech.evaluation_report import Report, Section
from lors.speech.evaluation_table import rich_table, table_notes
from lors.speech.side_by_side_terminal import STYLES, print_side_by_side
from lors.speech.worst import count_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_LABELS = ("REF ", "HYP ", "    ")
_CONFUSIONS = 8


def print_report(report: Report, console: "Console") -> None:
    """Print the table, then of every model and language the confusions and the worst utterances."""
    console.print(rich_table(report.evaluation))
    for note in table_notes(report.evaluation):
        console.print(note, markup=False, soft_wrap=True)
    if report.retention:
        languages = visible(", ".join(report.unseen))
        console.print(f"No model was trained on {languages}; mean WER there:", markup=False, soft_wrap=True)
    for mean in report.retention:
        against = "" if mean.difference is None else f"  {mean.difference:+.1f}, p = {mean.p_value:.3f}"
        console.print(
            f"{mean.value:7.1f} ({mean.low:.1f}–{mean.high:.1f}){against}  {visible(mean.model)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        "In alignments S is substituted, D deleted, I inserted; * stands for no word.", soft_wrap=True
    )
    print_side_by_side(report.compared, console)
    for section in report.sections:
        _print_section(section, console)


def alignment_lines(words: Sequence[AlignedWord], width: int) -> list["Text"]:
    """The alignment in groups of three lines: reference, hypothesis, and a letter below every error.

    Each pair of words shares a column; a word that is not there is stars. No line is wider than `width`
    cells, unless a single word is.
    """
    from rich.cells import cell_len
    from rich.text import Text

    lines: list[Text] = []
    used = width
    for word in words:
        shown = [None if w is None else visible(w) for w in (word.reference, word.hypothesis)]
        size = max(cell_len(w) for w in shown if w is not None)
        if used + size > width:
            lines += [Text.assemble((label, "dim")) for label in _LABELS]
            used = len(_LABELS[0])
        mark = " " if word.step == "C" else word.step
        for line, cell in zip(lines[-3:], (*shown, mark), strict=True):
            cell = "*" * size if cell is None else cell
            line.append(cell, style=STYLES[word.step])
            line.append(" " * (size - cell_len(cell) + 1))
        used += size + 1
    for line in lines:
        line.rstrip()
    return lines


def _print_section(section: Section, console: "Console") -> None:
    score = section.score
    console.print()
    console.rule(visible(f"{score.model} · {score.source_lang}").replace("[", r"\["), align="left")
    console.print(
        f"WER {score.value:.1f} ({score.low:.1f}–{score.high:.1f}), {section.wrong} of {score.n} utterances "
        "with errors",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    confusions = section.confusions
    substituted = {f"{said} → {heard}": n for (said, heard), n in confusions.substituted.items()}
    for name, counts in (
        ("substituted", substituted),
        ("deleted", confusions.deleted),
        ("inserted", confusions.inserted),
    ):
        if counts:
            found = [f"{visible(word)} {times}×" for word, times in most_frequent(counts, _CONFUSIONS)]
            console.print(f"{name}: {', '.join(found)}", markup=False, highlight=False, soft_wrap=True)
    for utterance in section.worst:
        errors = utterance.errors
        looped = ", looped" if utterance.looped else ""
        console.print()
        console.print(
            f"{visible(utterance.data_set)} {visible(utterance.id)}: {count_of(errors.errors, 'error')} in "
            f"{count_of(errors.words, 'word')} ({errors.substitutions} S, "
            f"{errors.deletions} D, {errors.insertions} I{looped})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        for line in alignment_lines(utterance.words, console.width):
            console.print(line, soft_wrap=True)
