"""A study on the terminal: its plan, where it stands, its tables."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from lors.base.progress import say
from lors.merging.workers import default_workers
from lors.study.results import StudyResults
from lors.study.study import PlannedStudy, duration, plan_study
from lors.study.tables.parts import Table
from lors.study.tables.terminal import print_tables

_ANY_WIDTH = 100_000


def print_plan(path: Path, out: Path | None, workers: int) -> None:
    """Print every job with what it needs and whether it is done, then counts and the time it will take."""
    planned = plan_study(path, out, prepare=False)
    jobs = planned.plan.jobs()
    missing, seconds = {job.key for job in planned.missing()}, planned.pace().seconds
    table = Grid("job", "state", "expected", "needs", box=None, header_style="bold")
    for job in jobs:
        needs = ", ".join(dict.fromkeys(needed.title for needed in job.needs()))
        done = planned.store.is_done(job)
        state = "done" if done else "to do" if job.key in missing else "not needed again"
        table.add_row(job.title, state, "" if job.key not in missing else duration(seconds(job)), needs)
    _print_lines(table)
    _print_counts(planned, workers or default_workers())


def print_status(path: Path, out: Path | None) -> None:
    """Print how many jobs of each kind are done, and the time that the others will take."""
    _print_counts(plan_study(path, out, prepare=False), default_workers())


def show_tables(tables: Sequence[Table]) -> None:
    """Print the tables of a study."""
    print_tables(tables, _console())


def print_end(results: StudyResults, out: Path) -> None:
    """Print what failed, and where the report is."""
    for title, why in results.failures.items():
        say(f"failed: {title}: {why}")
    _console().print(out / "report.html")


def _print_counts(planned: PlannedStudy, workers: int) -> None:
    jobs = planned.plan.jobs()
    to_do, pace = planned.missing(), planned.pace()
    missing = Counter(job.kind for job in to_do)
    table = Grid("kind", "jobs", "to do", "expected", box=None, header_style="bold")
    for kind, count in Counter(job.kind for job in jobs).items():
        expected = sum(pace.seconds(job) for job in to_do if job.kind == kind)
        table.add_row(kind, str(count), str(missing[kind]), duration(expected) if missing[kind] else "")
    console = _console()
    console.print(table)
    rows = Counter(row.analysis for row in planned.plan.rows)
    console.print(", ".join(f"{count} rows of {analysis}" for analysis, count in rows.items()))
    for corpus in planned.to_prepare:
        console.print(f"will be prepared first: {corpus}; until then no times are known")
    for absent in planned.absent:
        console.print(f"missing: {absent}")
    left = pace.time_left(to_do, workers)
    if not missing:
        console.print("all is done")
    elif left and not planned.to_prepare and not planned.absent:
        console.print(f"about {duration(left)} left with {workers} jobs at a time")


def _print_lines(table: Grid) -> None:
    """Print a table: on a terminal within its width, in a file or pipe each row on one line, however long."""
    console = _console()
    if console.is_terminal:
        console.print(table)
        return
    console.width = _ANY_WIDTH
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        console.print(line.rstrip())


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True, markup=False)
