"""A table for the terminal, by Rich."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from lors.study.tables.parts import Cell, Column, Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text
_ANY_WIDTH = 10_000


def print_tables(tables: Iterable[Table], console: "Console") -> None:
    """Print every table with its caption above and its notes below."""
    for table in tables:
        console.print()
        console.print(f"{table.title}: {table.caption}", markup=False, highlight=False)
        for part in _parts(table, console):
            console.print(terminal_table(part))
        for note in table.notes:
            console.print(note, markup=False, highlight=False)


def _parts(table: Table, console: "Console") -> list[Table]:
    """The table, or where the terminal is too narrow for it one for each group of columns: none loses a number."""
    groups = [group for group, _ in table.groups if group]
    wide = console.options.update(width=_ANY_WIDTH)
    if len(groups) < 2 or console.measure(terminal_table(table), options=wide).maximum <= console.width:
        return [table]
    found = []
    for group in groups:
        kept = [at for at, column in enumerate(table.columns) if column.group in (group, "")]
        lines = [replace(line, cells=tuple(line.cells[at] for at in kept)) for line in table.lines]
        found.append(replace(table, columns=tuple(table.columns[at] for at in kept), lines=tuple(lines)))
    return found


def terminal_table(table: Table) -> "RichTable":
    """The table alone; under each mean stands its interval."""
    from rich.box import HORIZONTALS
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(pad_edge=False, padding=(0, 1, 0, 0), box=HORIZONTALS)
    made.add_column(table.first, no_wrap=True)
    before = None
    for column in table.columns:
        heading = _heading(column, table.has_groups, new_group=column.group != before)
        made.add_column(Text(heading), justify="right", no_wrap=True)
        before = column.group
    for place, line in enumerate(table.lines):
        if line.rule and place:
            made.add_section()
        cells = [text for cell in line.cells for text in (_text(cell), *[Text()] * (cell.span - 1))]
        made.add_row(Text(line.system, style="" if line.cells else "italic"), *cells)
    return made


def _heading(column: Column, grouped: bool, new_group: bool) -> str:
    group = [column.group if new_group else ""] if grouped else []
    return "\n".join([*group, column.heading, f"n={column.n}" if column.n is not None else ""])


def _text(cell: Cell) -> "Text":
    from rich.text import Text

    text = Text.assemble((cell.text, "bold" if cell.bold else ""), cell.marks)
    if cell.interval:
        text.append(f"\n{cell.interval}", style="dim")
    return text
