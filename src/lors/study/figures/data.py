"""The numbers of Figures 3, 4 and 5, from the rows of a study."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from lors.study.figures.parts import METRICS, LineFigure, Panel, Point, Series
from lors.study.results import Row, StudyResults
from lors.study.significance import Hypotheses
from lors.study.tables.systems import System, find_systems, main_systems, score_of

TASKS = {"transcribe": "ASR", "translate": "ST"}
_FINETUNED = ("finetuned", None)
_WHOLE = ("main", "training-hours")
_ALL = float("inf")
"""Hours of a row that was trained on all there is."""


def number_of_languages(results: StudyResults, language_set: str) -> LineFigure | None:
    """Figure 3: the mean over languages, and over all combinations of as many languages."""
    rows = _rows(results, language_set, "number-of-languages")
    if not rows:
        return None
    main = main_systems(results, language_set)
    systems = _with_finetuned(find_systems(rows, results.methods), main)
    combinations = {tuple(sorted(row.languages)) for row in rows}
    combinations.add(tuple(sorted(results.language_sets[language_set])))
    tasks = _tasks(results, rows)
    metrics = " and ".join(METRICS[task].partition(" ")[0] for task in tasks)
    panels = []
    for task in tasks:
        lines = []
        for key, system in systems.items():
            known = (*system.rows, *(main[key].rows if key in main else ()))
            scores = [(len(one), _of_combination(key, known, task, one)) for one in sorted(combinations)]
            points = _over_combinations((count, value) for count, value in scores if value is not None)
            lines.append(Series(_label(system, systems), style_of(system), points, band=True))
        counts = sorted({point.place for line in lines for point in line.points})
        panels.append(
            _panel(TASKS[task], "number of languages", task, lines, [(n, f"{n:g}") for n in counts])
        )
    return _figure(
        language_set,
        results,
        "figure-3",
        "Figure 3",
        f"{metrics} against the number of languages: means over languages and over all combinations of so many; "
        "each band reaches from the best combination to the worst.",
        panels,
        columns=len(panels),
    )


def training_hours(results: StudyResults, language_set: str, hypotheses: Hypotheses) -> LineFigure | None:
    """Figure 4: the mean over languages against the hours of training data of each."""
    rows = _rows(results, language_set, "training-hours")
    if not rows:
        return None
    main = main_systems(results, language_set)
    systems = _with_finetuned(find_systems(rows, results.methods), main)
    languages = results.language_sets[language_set]
    panels = []
    for task in results.tasks:
        lines = []
        for key, system in systems.items():
            by_hours: dict[float, list[Row]] = {}
            for row in (*system.rows, *(main[key].rows if key in main else ())):
                by_hours.setdefault(_ALL if row.hours is None else row.hours, []).append(row)
            points = _points(
                {hours: System(*key, tuple(found)) for hours, found in by_hours.items()},
                task,
                languages,
                hypotheses,
            )
            lines.append(Series(_label(system, systems), style_of(system), points))
        panels.append(
            _ranked(_panel(TASKS[task], "hours of training data of each language", task, lines, []))
        )
    return _figure(
        language_set,
        results,
        "figure-4",
        "Figure 4",
        "Scores against the hours of training data of each language: means over languages, with 95 % bootstrap "
        "intervals.",
        panels,
        columns=1,
    )


def redundancy(results: StudyResults, language_set: str, hypotheses: Hypotheses) -> LineFigure | None:
    """Figure 5: finetuned models whose task vectors are pruned, by SVP on the left, by MP on the right."""
    rows = [row for row in _rows(results, language_set, "redundancy") if row.ratio is not None]
    if not rows:
        return None
    languages = results.language_sets[language_set]
    main = main_systems(results, language_set)
    finetuned = [
        row
        for row in results.rows
        if row.language_set == language_set
        and row.setting == "finetuned"
        and row.analysis in ("main", "training-hours")
    ]
    pretrained = main.get(("pretrained", None))
    methods = [name for name in ("svp", "mp") if any(row.method == name for row in rows)]
    all_hours = sorted({_hours(row) for row in rows})
    panels = []
    for task in _tasks(results, rows):
        for method in methods:
            lines = []
            for place, hours in enumerate(all_hours):
                by_ratio: dict[float, list[Row]] = {}
                for row in rows:
                    if (row.method, _hours(row)) == (method, hours) and row.ratio is not None:
                        by_ratio.setdefault(row.ratio, []).append(row)
                whole = [row for row in finetuned if _hours(row) == hours]
                if whole and by_ratio:
                    by_ratio.setdefault(1.0, whole)
                systems = {
                    ratio: System("finetuned", method, tuple(found)) for ratio, found in by_ratio.items()
                }
                points = _points(systems, task, languages, hypotheses)
                lines.append(Series(_hours_label(hours), f"hours-{place}", points))
            level = score_of(pretrained, task, languages) if pretrained else None
            title = f"{ {'svp': 'SVP', 'mp': 'MP'}[method] }, {TASKS[task]}"
            across = f"retain ratio {'r' if method == 'svp' else 'p'} (1: unpruned)"
            panel = _panel(
                title, across, task, lines, [], level=(level.value, "pretrained") if level else None
            )
            panels.append(panel)
    return _figure(
        language_set,
        results,
        "figure-5",
        "Figure 5",
        "Finetuned models against the share of their task vectors that is kept, by SVP and by MP (1: all is kept; "
        "λ = 1): means over languages, with 95 % bootstrap intervals.",
        panels,
        columns=len(methods),
    )


def style_of(system: System) -> str:
    """What a system's colour stands for: its method, or how it was trained."""
    if system.method is not None:
        return system.method
    return system.setting if system.setting in ("pretrained", "finetuned") else "training"


def of_set(results: StudyResults, language_set: str, name: str) -> str:
    """The name of a figure's files: of any set but the first its own."""
    return name if language_set == next(iter(results.language_sets)) else f"{name}-{language_set}"


def _rows(results: StudyResults, language_set: str, analysis: str) -> list[Row]:
    return [row for row in results.rows if (row.language_set, row.analysis) == (language_set, analysis)]


def _tasks(results: StudyResults, rows: Sequence[Row]) -> list[str]:
    """Those that the analysis was made for."""
    return [task for task in results.tasks if any(task == cell[1] for row in rows for cell in row.cells)]


def _with_finetuned(
    systems: dict[tuple[str, str | None], System], main: dict[tuple[str, str | None], System]
) -> dict[tuple[str, str | None], System]:
    if _FINETUNED in systems or _FINETUNED not in main:
        return systems
    return {_FINETUNED: System(*_FINETUNED, ()), **systems}


def _of_combination(
    key: tuple[str, str | None], rows: Sequence[Row], task: str, languages: tuple[str, ...]
) -> float | None:
    """The mean over the languages; finetuned models serve any combination, as each has one language."""
    own = tuple(row for row in rows if tuple(sorted(row.languages)) == languages)
    if not own and key == _FINETUNED:
        own = tuple(rows)
    score = score_of(System(*key, own), task, languages) if own else None
    return None if score is None else score.value


def _over_combinations(scores: Iterable[tuple[int, float]]) -> tuple[Point, ...]:
    by_count: dict[int, list[float]] = {}
    for count, value in scores:
        by_count.setdefault(count, []).append(value)
    return tuple(
        Point(count, fmean(values), min(values), max(values)) for count, values in sorted(by_count.items())
    )


def _points(
    systems: dict[float, System], task: str, languages: Sequence[str], hypotheses: Hypotheses
) -> tuple[Point, ...]:
    found = [(place, score_of(systems[place], task, languages, hypotheses)) for place in sorted(systems)]
    return tuple(
        Point(place, score.value, score.low, score.high) for place, score in found if score is not None
    )


def _label(system: System, systems: dict[tuple[str, str | None], System]) -> str:
    """Without the setting where all merges of the figure have the same."""
    merges = {setting for setting, method in systems if method is not None}
    if system.method is None or len(merges) > 1:
        return system.title
    return system.title.removeprefix("ML ") if system.setting == "multilingual-merging" else system.title


def _hours(row: Row) -> float:
    return _ALL if row.hours is None else row.hours


def _hours_label(hours: float) -> str:
    return "all data" if hours == _ALL else f"{hours:g} h"


def _panel(
    title: str,
    across: str,
    task: str,
    lines: Sequence[Series],
    ticks: Sequence[tuple[float, str]],
    level: tuple[float, str] | None = None,
) -> Panel:
    drawn = tuple(line for line in lines if line.points)
    return Panel(title=title, across=across, up=METRICS[task], series=drawn, ticks=tuple(ticks), level=level)


def _ranked(panel: Panel) -> Panel:
    """Hours side by side, whatever their distance: what is trained on everything stands last."""
    hours = sorted({point.place for line in panel.series for point in line.points})
    series = tuple(
        Series(
            line.label,
            line.style,
            tuple(Point(hours.index(p.place), p.value, p.low, p.high) for p in line.points),
            line.band,
        )
        for line in panel.series
    )
    ticks = tuple((place, _hours_label(one)) for place, one in enumerate(hours))
    return Panel(title=panel.title, across=panel.across, up=panel.up, series=series, ticks=ticks)


def _figure(
    language_set: str,
    results: StudyResults,
    name: str,
    title: str,
    caption: str,
    panels: Sequence[Panel],
    *,
    columns: int,
) -> LineFigure | None:
    drawn = tuple(panel for panel in panels if panel.series)
    if not drawn:
        return None
    of = f" Languages: {language_set}." if len(results.language_sets) > 1 else ""
    return LineFigure(
        name=of_set(results, language_set, name),
        title=title,
        caption=caption + of,
        panels=drawn,
        columns=min(columns, len(drawn)),
    )
