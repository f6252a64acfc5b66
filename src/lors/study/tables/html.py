"""A table as HTML, for the report's page."""

from lors.speech.report_parts import html_text
from lors.study.tables.parts import Cell, Line, Table


def html_table(table: Table) -> str:
    """A figure of its own: caption, table, notes; under each mean stands its interval."""
    bodies = ""
    for place, line in enumerate(table.lines):
        if line.rule and place:
            bodies += "</tbody>\n<tbody>\n"
        bodies += _row(line, len(table.columns))
    notes = "".join(f"<li>{html_text(note)}</li>" for note in table.notes)
    return (
        f'<section class="result" id="{html_text(table.name)}">\n'
        f'<p class="caption"><b>{html_text(table.title)}.</b> {html_text(table.caption)}</p>\n'
        f'<div class="wide"><table>\n<thead>\n{_head(table)}</thead>\n<tbody>\n{bodies}</tbody></table></div>\n'
        + (f'<ul class="note">{notes}</ul>\n' if notes else "")
        + "</section>\n"
    )


def _head(table: Table) -> str:
    rows = ""
    if table.has_groups:
        groups = "".join(
            f'<th scope="colgroup" colspan="{width}" class="group">{html_text(group)}</th>'
            if group
            else f'<td colspan="{width}"></td>'
            for group, width in table.groups
        )
        rows = f"<tr><td></td>{groups}</tr>\n"
    cells = "".join(
        f'<th scope="col">{html_text(column.heading)}'
        + (f"<small>n = {column.n}</small>" if column.n is not None else "")
        + "</th>"
        for column in table.columns
    )
    return f'{rows}<tr><th scope="col">{html_text(table.first)}</th>{cells}</tr>\n'


def _row(line: Line, columns: int) -> str:
    name = html_text(line.system)
    if not line.cells:
        return f'<tr><th scope="rowgroup" colspan="{columns + 1}"><i>{name}</i></th></tr>\n'
    return f'<tr><th scope="row">{name}</th>{"".join(map(_cell, line.cells))}</tr>\n'


def _cell(cell: Cell) -> str:
    text = f"<b>{html_text(cell.text)}</b>" if cell.bold else html_text(cell.text)
    marks = f"<sup>{html_text(cell.marks)}</sup>" if cell.marks else ""
    interval = f"<small>{html_text(cell.interval)}</small>" if cell.interval else ""
    span = f' colspan="{cell.span}" class="span"' if cell.span > 1 else ""
    hint = f' title="{html_text(_hint(cell))}"' if _hint(cell) else ""
    return f"<td{span}{hint}>{text}{marks}{interval}</td>"


def _hint(cell: Cell) -> str:
    """What a pointer over the cell shows."""
    parts = []
    if cell.low is not None and cell.high is not None:
        parts.append(f"95 % interval {cell.low:.1f}–{cell.high:.1f}")
    if cell.deviation is not None:
        parts.append(f"standard deviation over seeds {cell.deviation:.2f}")
    if cell.p_value is not None:
        parts.append(f"p = {cell.p_value:.3f} against the baseline")
    if cell.p_task_arithmetic is not None:
        parts.append(f"p = {cell.p_task_arithmetic:.3f} against task arithmetic")
    return "; ".join(parts)
