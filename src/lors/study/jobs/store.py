"""Where the results of a study's jobs lie, and what tells that one is whole."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors.base.files import read_json, write_json
from lors.study.jobs.job import Given, Job, in_order

_RECORD = "job.json"
_OUTPUT = "output"


@dataclass(frozen=True)
class Store:
    """A folder of jobs: `KIND/KEY/` with `output`, `log.txt` and, once the job is done, `job.json`.

    It may lie on a disk that the machines of a cluster share.
    """

    directory: Path

    def folder(self, job: Job) -> Path:
        """Where all of the job's files lie."""
        return self.directory / job.kind / job.key[:24]

    def output(self, one: Job | Given) -> Path:
        """Where the result is, or will be."""
        if isinstance(one, Given):
            return Path(one.path)
        folder = self.folder(one)
        return folder / _OUTPUT / "train.jsonl" if one.kind == "subset" else folder / _OUTPUT

    def work_folder(self, job: Job) -> Path:
        """What the job's function is told to make."""
        return self.folder(job) / _OUTPUT

    def is_done(self, job: Job) -> bool:
        """Whether the job ended well, and its result is still kept."""
        return (self.folder(job) / _RECORD).is_file()

    def record(self, job: Job) -> dict[str, Any]:
        """What a job that is done cost: "seconds", "processor_seconds", "machine"; its name and inputs."""
        return dict(read_json(self.folder(job) / _RECORD))

    def finish(self, job: Job, cost: dict[str, Any]) -> None:
        """Say that the job is done; all its files must be written and synced before."""
        write_json(
            self.folder(job) / _RECORD,
            {
                "name": job.name,
                "kind": job.kind,
                "key": job.key,
                "parameters": dict(job.parameters),
                "inputs": {role: [one.key for one in given] for role, given in job.inputs.items()},
                "amount": job.amount,
                **cost,
            },
        )

    def remove(self, job: Job) -> None:
        """Forget a result: the record first, so that nothing half removed looks whole."""
        folder = self.folder(job)
        (folder / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def missing(self, targets: Iterable[Job]) -> list[Job]:
        """What is to be done for the targets, what is needed first.

        A job that is done counts whether or not what it was made of is still kept.
        """
        targets = list(targets)
        found: dict[str, Job] = {}

        def visit(job: Job) -> None:
            if job.key not in found and not self.is_done(job):
                found[job.key] = job
                for needed in job.needs():
                    visit(needed)

        for target in targets:
            visit(target)
        return [job for job in in_order(targets) if job.key in found]
