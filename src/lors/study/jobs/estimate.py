"""How long a study will take, from what its jobs took so far."""

from collections.abc import Mapping, Sequence

from lors.study.jobs.job import Job

ROUGH: Mapping[str, float] = {"subset": 0.0, "finetune": 0.7, "tune": 0.25, "merge": 2.0, "evaluate": 0.35}
"""Seconds on one core for each clip that passes through whisper-base at window 400 (a merge: for each expert)."""

_ROUGH_PARAMETERS = 74e6
_ROUGH_WINDOW = 400


class Pace:
    """What a job is expected to take: by the jobs of its kind that are done, or else by a rough rule."""

    def __init__(self, parameters: int, window: int) -> None:
        """`parameters` of the base model, `window` in encoder positions."""
        self._size, self._longer = parameters / _ROUGH_PARAMETERS, window / _ROUGH_WINDOW
        self._seconds: dict[str, float] = {}
        self._amounts: dict[str, float] = {}

    def learn(self, job: Job, seconds: float) -> None:
        """Take a job that is done into account."""
        self._seconds[job.kind] = self._seconds.get(job.kind, 0.0) + (seconds if job.amount else 0.0)
        self._amounts[job.kind] = self._amounts.get(job.kind, 0.0) + job.amount

    def seconds(self, job: Job) -> float:
        """What it is expected to take."""
        if amount := self._amounts.get(job.kind):
            return self._seconds[job.kind] / amount * job.amount
        return ROUGH[job.kind] * self._size * (1.0 if job.kind == "merge" else self._longer) * job.amount

    def time_left(self, missing: Sequence[Job], workers: int) -> float:
        """Seconds until these are done: all work shared evenly, or the longest chain if that takes longer.

        Args:
            missing: what is needed first comes first.
            workers: jobs at a time.
        """
        chain: dict[str, float] = {}
        for job in missing:
            before = max((chain.get(needed.key, 0.0) for needed in job.needs()), default=0.0)
            chain[job.key] = before + self.seconds(job)
        return max([sum(map(self.seconds, missing)) / workers, *chain.values(), 0.0])
