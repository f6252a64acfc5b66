"""A table as CSV: a line for each score with all that is known of it, or the grid as it is printed."""

import csv
import io
from collections.abc import Iterator

from lors.study.tables.parts import Cell, Column, Line, Table

_HEAD = (
    "table", "system", "setting", "method", "task", "language", "value", "low", "high", "n", "deviation",
    "scale", "rank_ratio", "keep_ratio", "p_baseline", "p_task_arithmetic", "marks", "best",
)  # fmt: skip


def csv_table(table: Table) -> str:
    """Comma-separated, with one line of headings; numbers have a point and four places."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    if any(column.task for column in table.columns):
        writer.writerow(_HEAD)
        writer.writerows(_scores(table))
    else:
        writer.writerow([table.first, "parameter", *(column.heading for column in table.columns)])
        system = ""
        for line in table.lines:
            if line.cells:
                texts = [text for cell in line.cells for text in [cell.text] * cell.span]
                writer.writerow([system, line.system, *texts])
            else:
                system = line.system
    return file.getvalue()


def _scores(table: Table) -> Iterator[list[object]]:
    for line in table.lines:
        for column, cell in zip(table.columns, line.cells, strict=True):
            if column.task:
                yield _score(table, line, column, cell)


def _score(table: Table, line: Line, column: Column, cell: Cell) -> list[object]:
    return [
        table.name, line.system, line.setting, line.method, column.task, column.language,
        *map(_number, (cell.value, cell.low, cell.high)), "" if cell.n is None else cell.n, _number(cell.deviation),
        *(line.recipe.get(key, "") for key in ("scale", "rank_ratio", "keep_ratio")),
        _number(cell.p_value), _number(cell.p_task_arithmetic), cell.marks, "best" if cell.bold else "",
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
