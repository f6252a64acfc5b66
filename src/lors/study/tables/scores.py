"""Tables of scores: the lines of a layout, filled from the rows of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lors.study.results import Row, StudyResults
from lors.study.significance import Difference, Hypotheses, compare
from lors.study.tables.layouts import Entry, Layout
from lors.study.tables.parts import (
    BETTER,
    BETTER_THAN_TASK_ARITHMETIC,
    MISSING,
    WORSE,
    WORSE_THAN_TASK_ARITHMETIC,
    Cell,
    Column,
    Line,
    Table,
)
from lors.study.tables.systems import (
    System,
    chosen_values,
    main_systems,
    method_title,
    score_of,
    shown_range,
)

RECIPE_KEYS = ("scale", "rank_ratio", "keep_ratio")
METRICS = {"transcribe": "WER ↓", "translate": "BLEU ↑"}
_BARE_METRICS = {"transcribe": "WER", "translate": "BLEU"}


@dataclass(frozen=True)
class _Source:
    """Where the cells of a table come from."""

    systems: Mapping[tuple[str, str | None], System]
    hypotheses: Hypotheses
    languages: Mapping[str, Sequence[str]]
    baseline: str


def layout_table(
    results: StudyResults, language_set: str, number: int, layout: Layout, hypotheses: Hypotheses
) -> Table | None:
    """One of the paper's tables; None where the study has none of its settings, or none of its tasks."""
    languages = results.language_sets[language_set]
    tasks = [task for task in layout.tasks if task in results.tasks]
    systems = main_systems(results, language_set)
    lines = _lines_of(layout.entries, systems)
    if not tasks or not any(entry.competes for entry, _, _ in lines) or not languages:
        return None
    columns = [column for task in tasks for column in _columns(task, languages, layout.means_only)]
    title = f"Table {number}"
    set_name = f" Languages: {language_set}." if len(results.language_sets) > 1 else ""
    joint = ". " if layout.means_only else ", and "
    caption = f"{layout.title}{set_name} Finetuned is the topline {layout.topline}{joint}{layout.averages}"
    return fill_table(
        name=f"table-{number}",
        title=title,
        caption=caption,
        lines=lines,
        columns=columns,
        languages=dict.fromkeys(tasks, languages),
        systems=systems,
        baseline=layout.baseline,
        baseline_title=layout.baseline_title,
        hypotheses=hypotheses,
    )


def fill_table(
    *,
    name: str,
    title: str,
    caption: str,
    lines: Sequence[tuple[Entry, str, System]],
    columns: Sequence[Column],
    languages: Mapping[str, Sequence[str]],
    systems: Mapping[tuple[str, str | None], System],
    baseline: str,
    baseline_title: str,
    hypotheses: Hypotheses,
) -> Table:
    """Scores, intervals, marks and notes of the given lines and columns.

    Args:
        lines: (entry, label, system).
        languages: task → those that its column "mean" averages over.
        systems: to find the baseline and task arithmetic in.
    """
    source = _Source(systems, hypotheses, languages, baseline)
    filled = [[_cell(source, system, column) for column in columns] for _, _, system in lines]
    competing = [place for place, (entry, _, _) in enumerate(lines) if entry.competes]
    for at in range(len(columns)):
        for place in _best([filled[place][at].text for place in competing], columns[at].task):
            filled[competing[place]][at] = replace(filled[competing[place]][at], bold=True)
    scales = [_scale(system, columns) for _, _, system in lines]
    rules = [place == 0 or entry != lines[place - 1][0] for place, (entry, _, _) in enumerate(lines)]
    made = [
        Line(
            system=label,
            setting=system.setting,
            method=system.method or "",
            cells=(*cells, *([Cell(text=scale)] if any(scales) else ())),
            rule=entry.rule and first,
            recipe={
                key: shown_range(values) for key in RECIPE_KEYS if (values := _chosen(system, key, columns))
            },
        )
        for (entry, label, system), cells, scale, first in zip(lines, filled, scales, rules, strict=True)
    ]
    shown = [replace(column, n=_n([line[at] for line in filled])) for at, column in enumerate(columns)]
    if any(scales):
        shown.append(Column(heading="λ"))
    table = Table(
        name=name,
        title=title,
        caption=caption,
        columns=tuple(shown),
        lines=tuple(made),
    )
    reading = _reading(table, [line[0].competes for line in lines], baseline_title)
    return replace(table, caption=f"{caption} {reading}", notes=_notes(lines, filled, columns, made))


def _lines_of(
    entries: Sequence[Entry], systems: Mapping[tuple[str, str | None], System]
) -> list[tuple[Entry, str, System]]:
    return [
        (entry, entry.label.format(method_title(method) if method else ""), system)
        for entry in entries
        for (setting, method), system in systems.items()
        if setting == entry.setting
    ]


def _columns(task: str, languages: Sequence[str], means_only: bool) -> list[Column]:
    if means_only:
        return [Column(heading=f"Avg. {METRICS[task]}", task=task, language="mean")]
    each = [
        Column(group=METRICS[task], heading=language, task=task, language=language) for language in languages
    ]
    return [*each, Column(group=METRICS[task], heading="Avg.", task=task, language="mean")]


def _cell(source: _Source, system: System, column: Column) -> Cell:
    mean = column.language == "mean"
    languages = source.languages[column.task] if mean else (column.language,)
    score = score_of(system, column.task, languages, source.hypotheses)
    if score is None:
        return Cell()
    cells = [(language, column.task) for language in languages]
    against = _against(source, source.baseline, None, system, cells)
    arithmetic = None
    if system.method == "lors":
        arithmetic = _against(source, system.setting, "task-arithmetic", system, cells)
    marks = _mark(against, BETTER, WORSE)
    marks += _mark(arithmetic, BETTER_THAN_TASK_ARITHMETIC, WORSE_THAN_TASK_ARITHMETIC)
    return Cell(
        text=f"{score.value:.2f}" if mean else f"{score.value:.1f}",
        value=score.value,
        low=score.low,
        high=score.high,
        shows_interval=mean,
        n=score.n,
        deviation=score.deviation,
        p_value=against.p_value if against else None,
        p_task_arithmetic=arithmetic.p_value if arithmetic else None,
        marks=marks,
    )


def _against(
    source: _Source, setting: str, method: str | None, system: System, cells: Sequence[tuple[str, str]]
) -> Difference | None:
    first = source.systems.get((setting, method))
    if first is None or first is system or not _complete(first.rows, cells):
        return None
    return compare(first.rows, system.rows, cells, source.hypotheses)


def _complete(rows: Sequence[Row], cells: Sequence[tuple[str, str]]) -> bool:
    return all(any(cell in row.cells for row in rows) for cell in cells)


def _mark(difference: Difference | None, better: str, worse: str) -> str:
    if difference is None or not difference.shown:
        return ""
    return better if difference.gain > 0 else worse


def _best(texts: Sequence[str], task: str) -> list[int]:
    """Places of the best as they are printed: what looks the same in print is equally good."""
    values = {place: float(text) for place, text in enumerate(texts) if text != MISSING}
    if len(values) < 2:
        return []
    best = (min if task == "transcribe" else max)(values.values())
    return [place for place, value in values.items() if value == best]


def _n(cells: Sequence[Cell]) -> int | None:
    numbers = {cell.n for cell in cells if cell.n is not None}
    return numbers.pop() if len(numbers) == 1 else None


def _chosen(system: System, key: str, columns: Sequence[Column]) -> tuple[object, ...]:
    if system.method is None:
        return ()
    tasks = list(dict.fromkeys(column.task for column in columns))
    return chosen_values(system, key, tasks if len(tasks) == 1 else ())


def _scale(system: System, columns: Sequence[Column]) -> str:
    return shown_range(_chosen(system, "scale", columns))


def _reading(table: Table, competes: Sequence[bool], baseline: str) -> str:
    """How to read the table, as far as it shows it."""
    cells = [cell for line in table.lines for cell in line.cells]
    parts = []
    if any(cell.bold for cell in cells):
        apart = [line.system for line, one in zip(table.lines, competes, strict=True) if not one]
        stand = "stands" if len(apart) == 1 else "stand"
        outside = f"; {_listed(apart)} {stand} outside" if apart else ""
        parts.append(f"Bold: the best of its column{outside}.")
    if any(cell.interval for cell in cells):
        parts.append("Beside each mean: its 95 % bootstrap interval.")
    if any(cell.p_value is not None for cell in cells):
        parts.append(
            f"{BETTER} better, {WORSE} worse than {baseline} "
            "(paired bootstrap over the same utterances: p < 0.05 and a 95 % interval on one side of zero; not "
            "corrected for the number of comparisons)."
        )
    if any(cell.p_task_arithmetic is not None for cell in cells):
        parts.append(
            f"{BETTER_THAN_TASK_ARITHMETIC} better, {WORSE_THAN_TASK_ARITHMETIC} worse than task arithmetic in the "
            "same setting, likewise."
        )
    if any(line.recipe.get("scale") for line in table.lines):
        parts.append("λ: chosen on development data.")
    return " ".join(parts)


def _notes(
    lines: Sequence[tuple[Entry, str, System]],
    filled: Sequence[Sequence[Cell]],
    columns: Sequence[Column],
    made: Sequence[Line],
) -> tuple[str, ...]:
    notes = []
    seeds = sorted({row.seed for _, _, system in lines for row in system.rows})
    if len(seeds) > 1:
        notes.append(
            f"Means over training seeds {', '.join(map(str, seeds))}; intervals and p are over utterances."
            + "".join(_spread(made, filled, columns, task) for task in _BARE_METRICS)
        )
    if any(cell.value is None for cells in filled for cell in cells):
        notes.append(
            f"{MISSING}: a job failed or has not run; a mean stands only where all of its languages do."
        )
    if len(lines) > 1 and not any(cell.p_value is not None for cells in filled for cell in cells):
        notes.append("No significance is marked: the baseline, or the hypotheses to compare, are not there.")
    return tuple(notes)


def _spread(
    made: Sequence[Line], filled: Sequence[Sequence[Cell]], columns: Sequence[Column], task: str
) -> str:
    """How far the mean of each system moves from seed to seed; the CSV has each."""
    found = [
        (cell.deviation, line.system)
        for line, cells in zip(made, filled, strict=True)
        for cell, column in zip(cells, columns, strict=True)
        if (column.task, column.language) == (task, "mean") and cell.deviation is not None
    ]
    if not found:
        return ""
    (low, least), (high, most) = min(found), max(found)
    several = f"{low:.2f} ({least}) to {high:.2f} ({most})" if len(found) > 1 else f"{low:.2f} ({least})"
    return f" Standard deviation of the mean {_BARE_METRICS[task]} over seeds: {several}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
