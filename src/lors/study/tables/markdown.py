"""A table as Markdown."""

from collections.abc import Sequence

from lors.study.tables.parts import Cell, Column, Table


def markdown_table(table: Table) -> str:
    """The table with its caption above and its notes below."""
    lines = [[table.first, *_headings(table.columns)], ["---", *("--:" for _ in table.columns)]]
    if any(column.n is not None for column in table.columns):
        lines.append(["*n*", *("" if column.n is None else str(column.n) for column in table.columns)])
    for line in table.lines:
        texts = [text for cell in line.cells for text in (_text(cell), *[""] * (cell.span - 1))]
        system = _escape(line.system) if line.cells else f"*{_escape(line.system)}*"
        lines.append([system, *texts, *[""] * (len(table.columns) - len(texts))])
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "".join(f"\n- {_escape(note)}" for note in table.notes)
    return f"**{_escape(table.title)}**: {_escape(table.caption)}\n\n{rows}\n" + (
        f"{notes}\n" if notes else ""
    )


def _headings(columns: Sequence[Column]) -> list[str]:
    """A group's name stands before the first of its columns."""
    before = [None, *(column.group for column in columns)]
    return [
        _escape(f"{column.group} {column.heading}".strip() if column.group != last else column.heading)
        for column, last in zip(columns, before, strict=False)
    ]


def _text(cell: Cell) -> str:
    value = f"**{_escape(cell.text)}**" if cell.bold else _escape(cell.text)
    interval = f" ({cell.interval})" if cell.interval else ""
    return f"{value}{cell.marks}{interval}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", r"\|").replace("*", r"\*").replace("<", "&lt;")
