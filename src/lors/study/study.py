"""A study: everything that its file declares, trained, merged, decoded and told; done before is not done again."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json, write_json
from lors.base.lock import exclusive
from lors.base.progress import say
from lors.study.collect import collect
from lors.study.jobs.estimate import Pace
from lors.study.jobs.job import Given, Job
from lors.study.jobs.scheduler import Engine, Event, run_jobs
from lors.study.jobs.slurm import sbatch_options
from lors.study.jobs.store import Store
from lors.study.planned_rows import StudyPlan
from lors.study.results import StudyResults
from lors.study.study_data import MISSING, study_data
from lors.study.study_file import Study, StudyFileError, load_study
from lors.study.study_jobs import StudyJobs
from lors.study.study_plan import make_study_plan
from lors.study.tables.parts import Table

_RECORD = "study.json"
_LEAST_BYTES = 2 << 30
_BYTES_PER_PARAMETER = 16
"""Of training in float32: weights, gradients, Adam's two averages."""


@dataclass(frozen=True)
class PlannedStudy:
    """A study that was checked, its data counted, its jobs named.

    Attributes:
        study: the file's content.
        out: its folder.
        plan: rows and jobs.
        store: where results lie.
        absent: manifests and models that are not here; without them it cannot run.
        to_prepare: corpora that it will prepare first.
        base_sha256: of the base's weights.
        parameters: of the base.
    """

    study: Study
    out: Path
    plan: StudyPlan
    store: Store
    absent: tuple[str, ...]
    to_prepare: tuple[str, ...]
    base_sha256: str
    parameters: int

    def missing(self) -> list[Job]:
        """The jobs that are still to be done."""
        return self.store.missing(self.plan.targets())

    def pace(self) -> Pace:
        """What jobs are expected to take, by those that are done."""
        found = Pace(self.parameters, self.study.window)
        for job in self.plan.jobs():
            if self.store.is_done(job):
                found.learn(job, self.store.record(job)["seconds"])
        return found


def plan_study(path: Path, out: Path | None = None, *, prepare: bool = True) -> PlannedStudy:
    """Check a study file, find base and data, and name every job.

    Args:
        path: the study file.
        out: the study's folder; by default its name, in the working directory.
        prepare: make the corpora that the study prepares itself.

    Raises:
        UsageError: the file, a manifest, or the folder is wrong.
        LorsError: base or data cannot be had.
    """
    study = load_study(Path(path))
    out = Path(study.name) if out is None else Path(out)
    _refuse_foreign(out, study)
    data = study_data(study, Path(path), out.absolute(), prepare)
    base, sha256, parameters = _base(study, Path(path), required=prepare)
    jobs = StudyJobs(study, data, base, _fastest_precision())
    try:
        plan = make_study_plan(study, jobs)
    except StudyFileError as mistake:
        raise UsageError(f"{path}: {mistake}") from None
    store = Store(out.absolute() / "jobs")
    absent = [f"{study.base} (base model)"] if base.key == MISSING else []
    return PlannedStudy(
        study,
        out,
        plan,
        store,
        (*absent, *([] if data.to_prepare else data.absent)),
        tuple(data.to_prepare),
        sha256,
        parameters,
    )


def run_study(
    path: Path,
    out: Path | None = None,
    *,
    engine: str = "local",
    address: str | None = None,
    slurm: Sequence[str] = (),
    workers: int | None = None,
    retries: int = 1,
    show: Callable[[Sequence[Table]], None] = lambda tables: None,
) -> StudyResults:
    """Do all that the study asks for and is not done yet, and write tables, figures and report.

    Jobs that are done stand in `OUT/jobs` under what determines them: the same call again does nothing but the
    report, after a change only what depends on it. A job that fails stops only those that need it.

    Args:
        path: the study file.
        out: the study's folder; by default its name, in the working directory.
        engine: "local", "ray" or "slurm".
        address: of the Ray cluster, as "127.0.0.1:6379"; None for one on this machine.
        slurm: options of sbatch, as "partition=gpu".
        workers: jobs at a time; None for one for each GPU, or for each core as far as the memory lasts; with SLURM
            for eight.
        retries: how often a job that failed is tried again.
        show: called with the tables.

    Returns:
        The results; `failures` tells what failed.

    Raises:
        UsageError: the file, a manifest, a setting or the folder is wrong; nothing was begun.
        LorsError: base or data cannot be had, the disk is full.
    """
    if engine not in ("local", "ray", "slurm"):
        raise UsageError(f"engine '{engine}': expected local, ray or slurm.")
    if address is not None and engine != "ray":
        raise UsageError("--address: goes with --engine ray.")
    if slurm and engine != "slurm":
        raise UsageError("--slurm: goes with --engine slurm.")
    options = sbatch_options(slurm)
    if retries < 0:
        raise UsageError(f"retries {retries}: expected zero or more.")
    if workers is not None and workers < 1:
        raise UsageError(f"workers {workers}: expected 1 or more.")
    planned = plan_study(path, out)
    if planned.absent:
        shown = ", ".join(planned.absent[:5]) + (" …" if len(planned.absent) > 5 else "")
        raise UsageError(f"{path}: {len(planned.absent)} inputs are missing: {shown}.")
    planned.out.mkdir(parents=True, exist_ok=True)
    with exclusive(planned.out / "study"):
        write_json(planned.out / _RECORD, {"study": planned.study.name})
        failures = _run(planned, partial(_engine, engine, address, options, workers, planned), retries)
        results = collect(planned.study, planned.plan, planned.store, failures, planned.base_sha256)
        from lors.study.report.report import write_study_report

        show(write_study_report(results, planned.out))
    return results


def _run(planned: PlannedStudy, make_engine: Callable[[], Engine], retries: int) -> dict[str, str]:
    left = {job.key: job for job in planned.missing()}
    if not left:
        return {}
    counts = Counter(job.kind for job in left.values())
    pace = planned.pace()
    engine = make_engine()

    def remaining() -> str:
        return f"about {duration(pace.time_left(list(left.values()), engine.capacity))}"

    say(
        f"{len(left)} jobs to do ({', '.join(f'{n} {kind}' for kind, n in counts.items())}), "
        f"{engine.capacity} at a time, {remaining()}"
    )

    def tell(event: Event) -> None:
        if event.what == "done":
            del left[event.job.key]
            pace.learn(event.job, event.seconds)
            took = duration(event.seconds)
            say(f"done: {event.job.title} in {took}; {len(left)} jobs left, {remaining()}")
        elif event.what != "started":
            say(f"{event.what}: {event.job.title}: {event.why}")

    return run_jobs(
        planned.plan.targets(), planned.store, engine, retries=retries, seconds=pace.seconds, tell=tell
    )


def _engine(
    name: str, address: str | None, options: Mapping[str, str], workers: int | None, planned: PlannedStudy
) -> Engine:
    bytes_each = _LEAST_BYTES + _BYTES_PER_PARAMETER * planned.parameters
    if name == "local":
        from lors.study.jobs.engine_local import LocalEngine, local_shares

        return LocalEngine(local_shares(workers, bytes_each))
    if name == "slurm":
        from lors.study.jobs.engine_slurm import SlurmEngine

        return SlurmEngine(options, workers, planned.store.directory, bytes_each)
    from lors.study.jobs.engine_ray import RayEngine

    given = {one.path for job in planned.missing() for one in job.given()}
    return RayEngine(address, workers, planned.store.directory, sorted(map(Path, given)), bytes_each)


def _refuse_foreign(out: Path, study: Study) -> None:
    """Raise UsageError where `out` holds something else than this study."""
    record = out / _RECORD
    if record.is_file():
        found = read_json(record).get("study")
        if found != study.name:
            raise UsageError(f"{out}: holds the study '{found}'; name another folder with --out.")
    elif out.is_dir() and any(path.name not in ("data", ".study.lock") for path in out.iterdir()):
        raise UsageError(f"{out}: exists, and is no study's folder; name another with --out.")
    elif out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; name a folder with --out.")


def _base(study: Study, path: Path, required: bool) -> tuple[Given, str, int]:
    from lors.checkpoints.read import open_checkpoint
    from lors.merging.locate import locate

    try:
        directory = locate(study.base, [path.absolute().parent, Path()]).resolve()
    except LorsError:
        if required:
            raise
        return Given(study.base, MISSING), MISSING, 0
    checkpoint = open_checkpoint(directory)
    sha256 = checkpoint.sha256()
    return (
        Given(str(directory), sha256),
        sha256,
        sum(prod(info.shape) for info in checkpoint.tensors.values()),
    )


def _fastest_precision() -> str:
    import torch

    from lors.speech.finetuning_settings import has_fast_bfloat16

    return "bfloat16" if torch.cuda.is_available() or has_fast_bfloat16() else "float32"


def duration(seconds: float) -> str:
    """ "45 s", "12 min", "3 h 5 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
