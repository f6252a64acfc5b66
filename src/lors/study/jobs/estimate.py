"""How long a study will take, from what its jobs took so far."""

from collections.abc import Callable, Iterable, Mapping

from lors.study.jobs.job import Job, in_order
from lors.study.jobs.store import Store

ROUGH: Mapping[str, float] = {"subset": 0.0, "finetune": 0.7, "tune": 0.25, "merge": 2.0, "evaluate": 0.35}
"""Seconds on one core for each clip that passes through whisper-base at window 400 (a merge: for each expert)."""

_ROUGH_PARAMETERS = 74e6
_ROUGH_WINDOW = 400


def expected_seconds(
    jobs: Iterable[Job], store: Store, parameters: int, window: int
) -> Callable[[Job], float]:
    """What a job is expected to take: by the jobs of its kind that are done, or else by a rough rule.

    Args:
        parameters: of the base model.
        window: encoder positions.
    """
    seconds: dict[str, float] = {}
    amounts: dict[str, float] = {}
    for job in jobs:
        if job.amount and store.is_done(job):
            seconds[job.kind] = seconds.get(job.kind, 0.0) + store.record(job)["seconds"]
            amounts[job.kind] = amounts.get(job.kind, 0.0) + job.amount
    size = parameters / _ROUGH_PARAMETERS
    rates = {}
    for kind, rough in ROUGH.items():
        longer = 1.0 if kind == "merge" else window / _ROUGH_WINDOW
        rates[kind] = seconds[kind] / amounts[kind] if amounts.get(kind) else rough * size * longer
    return lambda job: rates[job.kind] * job.amount


def time_left(targets: Iterable[Job], store: Store, seconds: Callable[[Job], float], workers: int) -> float:
    """Seconds until the targets are done: all work shared evenly, or the longest chain if that takes longer."""
    missing = store.missing(targets)
    chain: dict[str, float] = {}
    for job in in_order(missing):
        before = max((chain.get(needed.key, 0.0) for needed in job.needs()), default=0.0)
        chain[job.key] = before + (seconds(job) if job in missing else 0.0)
    return max([sum(map(seconds, missing)) / workers, *chain.values(), 0.0])
