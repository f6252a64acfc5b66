"""Tables 5 and 6: the learning rates of training, and what the search chose for every merge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lors.study.results import StudyResults
from lors.study.tables.parts import Cell, Column, Line, Table
from lors.study.tables.systems import System, main_systems, method_title, shown, shown_range

KEYS = {
    "learning_rate": "learning rate",
    "scale": "scaling factor λ",
    "rank_ratio": "SVP ratio r",
    "keep_ratio": "MP ratio p",
}
"""Recipe key → what the paper calls it."""

_TASKS = {"transcribe": "ASR", "translate": "ST"}
_SYSTEMS = (
    ("finetuned", "Finetuned"),
    ("multilingual-training", "Multi-lingual training"),
    ("multilingual-merging", "{}"),
)
_SHARES = ("rank_ratio", "keep_ratio")


@dataclass(frozen=True)
class _Column:
    """The models of which a language's column tells."""

    language: str
    task: str
    language_set: str

    @property
    def own(self) -> tuple[str, ...]:
        return f"{self.language}-{self.task}", self.language

    @property
    def shared(self) -> tuple[str, ...]:
        return self.task, f"{self.language_set}-{self.task}", "all", self.language_set


def recipe_table(results: StudyResults, language_set: str, number: int, task: str) -> Table | None:
    """What was chosen for one task of a set of languages; None where nothing was.

    What is the same for all languages stands once, across their columns.
    """
    languages = results.language_sets[language_set]
    columns = [_Column(language, task, language_set) for language in languages]
    systems = main_systems(results, language_set)
    lines = [
        line
        for setting, label in _SYSTEMS
        for (found, method), system in systems.items()
        if found == setting
        for line in _lines(system, label.format(method_title(method or "")), columns)
    ]
    if not lines:
        return None
    name = f" Languages: {language_set}." if len(results.language_sets) > 1 else ""
    return Table(
        name=f"table-{number}",
        title=f"Table {number}",
        caption=f"{_TASKS[task]} hyper-parameters, chosen on development data.{name}",
        columns=tuple(Column(group=_TASKS[task], heading=language) for language in languages),
        lines=tuple(lines),
    )


def _lines(system: System, title: str, columns: Sequence[_Column]) -> list[Line]:
    names = {name for column in columns for name in (*column.own, *column.shared)}
    keys = {key for row in system.rows for name in names for key in row.chosen.get(name, {})}
    ordered = [*(key for key in KEYS if key in keys), *sorted(keys - KEYS.keys())]
    found = [line for key in ordered if (line := _line(system, key, columns))]
    return [Line(system=title, rule=True), *found] if found else []


def _line(system: System, key: str, columns: Sequence[_Column]) -> Line | None:
    values = [_values(system, key, column) for column in columns]
    texts = [_text(key, found) for found, _ in values]
    if not any(found for found, _ in values):
        return None
    label = KEYS.get(key, key.replace("_", " "))
    if all(shared for _, shared in values) and len(set(texts)) == 1:
        cells: tuple[Cell, ...] = (Cell(text=texts[0], span=len(columns)),)
    else:
        cells = tuple(Cell(text=text) if text else Cell() for text in texts)
    return Line(system=label, setting=system.setting, method=system.method or "", cells=cells)


def _values(system: System, key: str, column: _Column) -> tuple[list[object], bool]:
    """What the seeds chose for a language, each value once; and whether it is one value of all languages."""
    found: dict[str, object] = {}
    shared = True
    for row in system.rows:
        for name in (*column.own, *column.shared):
            if key in row.chosen.get(name, {}):
                value: object = row.chosen[name][key]
                shared = shared and name in column.shared and not isinstance(value, Mapping)
                if isinstance(value, Mapping):  # of every expert its own
                    value = next((value[one] for one in column.own if one in value), None)
                if value is not None:
                    found[repr(value)] = value
                break
    return list(found.values()), shared


def _text(key: str, values: Sequence[object]) -> str:
    if key in _SHARES and all(isinstance(value, int | float) for value in values):
        return ", ".join(f"{100 * float(str(value)):g}%" for value in values)
    if key == "learning_rate":
        return ", ".join(map(_rate, values))
    return shown_range(values)


def _rate(value: object) -> str:
    if not isinstance(value, float):
        return shown(value)
    digits, _, power = f"{value:e}".partition("e")
    return f"{float(digits):g}e{int(power)}"
