"""A study's jobs in an order that what they need allows, as many at once as the engine takes."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

from lors.base.errors import LorsError, UsageError
from lors.study.jobs.job import Job, in_order
from lors.study.jobs.store import Store
from lors.study.jobs.worker import Order


class Engine(Protocol):
    """What carries out jobs: this machine, or a cluster."""

    capacity: int

    def submit(self, order: Order) -> "Future[dict[str, Any]]":
        """Begin a job; the future has its cost, or a LorsError, of which an EngineError ends the study."""

    def close(self) -> None:
        """Stop at once."""


class EngineError(LorsError):
    """The engine can do no job any more."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    Attributes:
        what: "started", "done", "failed" or "tried again".
        why: the reason of a failure.
        seconds: how long it took, of one that is done.
    """

    what: str
    job: Job
    why: str = ""
    seconds: float = 0.0


def order_for(job: Job, store: Store) -> Order:
    """The job as a worker is told it."""
    inputs = {role: tuple(str(store.output(one)) for one in given) for role, given in job.inputs.items()}
    return Order(job.title, job.kind, dict(job.parameters), inputs, store.work_folder(job))


def run_jobs(
    targets: Iterable[Job],
    store: Store,
    engine: Engine,
    *,
    retries: int = 1,
    seconds: Callable[[Job], float] = lambda job: job.amount,
    tell: Callable[[Event], None] = lambda event: None,
) -> dict[str, str]:
    """Do whatever the targets lack, and close the engine; one job's failure stops only those that need it.

    Args:
        retries: how often a job that failed is tried again; not where its input was wrong (UsageError).
        seconds: what a job is expected to take; what begins the longest chain is begun first.
        tell: called with every event, in this thread.

    Returns:
        Title of each job that failed, or that lacks one that did → why.

    Raises:
        EngineError: the engine can do no job any more.
    """
    targets = list(targets)
    everything = in_order(targets)
    waiting = {job.key: job for job in store.missing(targets)}
    urgency = _urgency(everything, seconds)
    tries: dict[str, int] = {}
    failures: dict[str, str] = {}
    failed: set[str] = set()
    running: dict[Future[dict[str, Any]], Job] = {}
    try:
        while waiting or running:
            _give_up(waiting, failed, failures)
            busy = {job.key for job in running.values()}
            ready = [
                job
                for job in waiting.values()
                if not any(needed.key in waiting or needed.key in busy for needed in job.needs())
            ]
            ready.sort(key=lambda job: (not _uses_temporary(job), -urgency[job.key]))
            for job in ready[: engine.capacity - len(running)]:
                del waiting[job.key]
                running[engine.submit(order_for(job, store))] = job
                tell(Event("started", job))
            if not running:
                continue
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                try:
                    cost = future.result()
                except EngineError:
                    raise
                except LorsError as error:
                    tries[job.key] = tries.get(job.key, 0) + 1
                    if tries[job.key] <= retries and not isinstance(error, UsageError):
                        waiting[job.key] = job
                        tell(Event("tried again", job, str(error)))
                    else:
                        failed.add(job.key)
                        failures[job.title] = str(error)
                        tell(Event("failed", job, str(error)))
                    continue
                store.finish(job, cost)
                tell(Event("done", job, seconds=cost["seconds"]))
            _tidy(everything, store, {job.key for job in (*waiting.values(), *running.values())})
    finally:
        engine.close()
    return failures


def _give_up(waiting: dict[str, Job], failed: set[str], failures: dict[str, str]) -> None:
    """Take out what cannot be done any more; `waiting` is in an order in which needs come first."""
    for key, job in list(waiting.items()):
        lost = next((needed for needed in job.needs() if needed.key in failed), None)
        if lost is not None:
            del waiting[key]
            failed.add(key)
            failures[job.title] = f"needs {lost.title}, which failed."


def _tidy(everything: Iterable[Job], store: Store, unfinished: set[str]) -> None:
    """Remove temporary results that no unfinished job takes."""
    jobs = list(everything)
    needed = {one.key for job in jobs if job.key in unfinished for one in job.needs()}
    for job in jobs:
        if job.temporary and job.key not in needed and job.key not in unfinished and store.is_done(job):
            store.remove(job)


def _uses_temporary(job: Job) -> bool:
    return any(needed.temporary for needed in job.needs())


def _urgency(jobs: list[Job], seconds: Callable[[Job], float]) -> Mapping[str, float]:
    """Each job's expected seconds with those of the longest chain of jobs that wait for it."""
    longest: dict[str, float] = {job.key: 0.0 for job in jobs}
    for job in reversed(jobs):
        longest[job.key] += seconds(job)
        for needed in job.needs():
            longest[needed.key] = max(longest[needed.key], longest[job.key])
    return longest
