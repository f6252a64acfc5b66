"""From the jobs of a study that are done to its results."""

import hashlib
import json
from collections.abc import Mapping

from lors.base.files import read_json
from lors.speech.evaluation_results import read_evaluation
from lors.study.jobs.job import Job, in_order
from lors.study.jobs.kinds import MODEL, merged_settings
from lors.study.jobs.store import Store
from lors.study.planned_rows import PlannedRow, StudyPlan, searches
from lors.study.results import CellScore, JobCost, Row, StudyResults
from lors.study.study_file import Study
from lors.version import __version__


def collect(
    study: Study, plan: StudyPlan, store: Store, failures: Mapping[str, str], base_sha256: str
) -> StudyResults:
    """The scores of every row as far as they are there, and what they cost.

    Raises:
        LorsError: a result was damaged.
    """
    rows = tuple(_row(planned, store) for planned in plan.rows)
    costs = [
        JobCost(
            job.title,
            job.kind,
            record["seconds"],
            record["processor_seconds"],
            record["machine"],
            record.get("energy"),
        )
        for job in in_order(plan.targets())
        if store.is_done(job)
        for record in [store.record(job)]
    ]
    data = sorted({given.key for job in plan.jobs() for given in job.inputs.get("data", ())})
    digest = hashlib.sha256(
        json.dumps([study.model_dump(mode="json"), base_sha256, data]).encode()
    ).hexdigest()
    return StudyResults(
        name=study.name,
        base=study.base,
        language_sets={name: tuple(group.languages) for name, group in study.language_sets().items()},
        tasks=tuple(study.tasks),
        methods=tuple(study.methods),
        held_out=tuple(dict.fromkeys(one.partition("-")[0] for one in study.held_out)),
        rows=tuple(row for row in rows if row.cells),
        costs=tuple(costs),
        failures=dict(failures),
        signature=f"lors:{__version__}|study:{digest[:12]}|base:{base_sha256[:12]}|window:{study.window}",
    )


def _row(planned: PlannedRow, store: Store) -> Row:
    cells = {cell: _score(job, cell, store) for cell, job in planned.cells.items() if store.is_done(job)}
    chosen = {
        name: _chosen(model, store)
        for name, model in planned.models.items()
        if all(store.is_done(job) for job in (searches(model) if model.kind == "merge" else [model]))
    }
    return planned.told(cells, chosen)


def _chosen(model: Job, store: Store) -> Mapping[str, object]:
    """Of a merge, the recipe's settings; of a training, the learning rate, which it may have chosen itself."""
    if model.kind == "finetune":
        from lors.speech.finetuning_files import RECORD

        return {"learning_rate": read_json(store.output(model) / RECORD)["job"]["settings"]["learning_rate"]}
    inputs = {role: [store.output(one) for one in given] for role, given in model.inputs.items()}
    return merged_settings(model.parameters, inputs)


def _score(job: Job, cell: tuple[str, str], store: Store) -> CellScore:
    folder = store.output(job)
    score = read_evaluation(folder).score(MODEL, cell[1], cell[0])
    return CellScore(
        metric=score.metric,
        value=score.value,
        low=score.low,
        high=score.high,
        n=score.n,
        loops=score.loops,
        signature=score.signature,
        evaluation=folder,
        seconds=score.seconds,
    )
