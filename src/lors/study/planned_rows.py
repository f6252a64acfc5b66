"""The rows of a study before there are scores: which evaluation gives each, and which jobs that takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lors.study.jobs.job import Job, in_order
from lors.study.results import CellScore, Row, RowLabels
from lors.study.study_jobs import Cell


@dataclass(frozen=True, kw_only=True)
class PlannedRow(RowLabels):
    """A row as `lors.study.results.Row`, with jobs in place of scores.

    Attributes:
        cells: (language, task) → the evaluation that gives its score.
        models: name → the training or merge whose settings the row tells.
    """

    cells: Mapping[Cell, Job]
    models: Mapping[str, Job] = field(default_factory=dict)

    def told(self, cells: Mapping[Cell, CellScore], chosen: Mapping[str, Mapping[str, Any]]) -> Row:
        """The row with its scores."""
        labels = {label.name: getattr(self, label.name) for label in fields(RowLabels)}
        return Row(**labels, cells=cells, chosen=chosen)


@dataclass(frozen=True)
class StudyPlan:
    """All rows, and all jobs, what is needed first."""

    rows: tuple[PlannedRow, ...]

    def jobs(self) -> list[Job]:
        """Every job of every row, each once, what is needed first."""
        return in_order(self.targets())

    def targets(self) -> list[Job]:
        """The jobs whose results are told: all evaluations, and what the merges' settings are read from."""
        found: dict[str, Job] = {}
        for row in self.rows:
            for job in (
                *row.cells.values(),
                *(one for model in row.models.values() for one in searches(model)),
            ):
                found[job.key] = job
        return list(found.values())


def searches(merge: Job) -> list[Job]:
    """The search that a merge takes its settings from, in a list; none where there was no choice."""
    return [job for job in merge.inputs.get("search", ()) if isinstance(job, Job)]
