"""What a table of a study is, before any format."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MISSING = "–"
"""Stands where a job failed, and where there is nothing to show."""

BETTER, WORSE, BETTER_THAN_TASK_ARITHMETIC, WORSE_THAN_TASK_ARITHMETIC = "†", "‡", "§", "¶"
"""Marks of significant differences."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One place of a table.

    Attributes:
        text: as printed, without interval and marks: "19.1".
        value: the score; None where the cell is no score, or is missing.
        low, high: its 95 % interval, where it is known.
        shows_interval: whether formats print it beside the value.
        n: utterances.
        deviation: standard deviation over seeds.
        p_value: against the table's baseline.
        p_task_arithmetic: against task arithmetic in the same setting.
        marks: of the significant ones.
        bold: the best of its column.
        span: columns that it covers.
    """

    text: str = MISSING
    value: float | None = None
    low: float | None = None
    high: float | None = None
    shows_interval: bool = False
    n: int | None = None
    deviation: float | None = None
    p_value: float | None = None
    p_task_arithmetic: float | None = None
    marks: str = ""
    bold: bool = False
    span: int = 1

    @property
    def interval(self) -> str:
        """ "18.1–19.6", or nothing where it is not to be printed."""
        if not self.shows_interval or self.low is None or self.high is None:
            return ""
        return f"{self.low:.1f}–{self.high:.1f}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column, but for the first, which names the systems.

    Attributes:
        group: what it shares with its neighbours: "WER ↓".
        heading: "ca".
        task: of its scores; "" where it holds none.
        language: of its scores; "mean" for the plain mean over languages.
        n: utterances of each system; None where they differ.
    """

    group: str = ""
    heading: str
    task: str = ""
    language: str = ""
    n: int | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: a system, or a heading where there are no cells.

    Attributes:
        system: as printed.
        setting, method: of its rows; "" where it has none.
        cells: as many as columns, spans counted.
        rule: whether a line is drawn above.
        recipe: recipe key → values that were chosen, as printed.
    """

    system: str
    setting: str = ""
    method: str = ""
    cells: tuple[Cell, ...] = ()
    rule: bool = False
    recipe: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        name: of its files: "table-4".
        title: "Table 4".
        caption: what it shows, and how to read it.
        first: heading of the first column.
        notes: what else there is to know: seeds, what is missing.
    """

    name: str
    title: str
    caption: str
    first: str = "System"
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> list[tuple[str, int]]:
        """(group, how many columns) from left to right."""
        found: list[tuple[str, int]] = []
        for column in self.columns:
            if found and found[-1][0] == column.group:
                found[-1] = (column.group, found[-1][1] + 1)
            else:
                found.append((column.group, 1))
        return found

    @property
    def has_groups(self) -> bool:
        return any(column.group for column in self.columns)
