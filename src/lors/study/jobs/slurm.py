"""SLURM: jobs submitted by submitit, listed, cancelled."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError, did_you_mean

ENDED = (
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY"),
    *("BOOT_FAIL", "DEADLINE", "REVOKED"),
)
"""SLURM's states of jobs that are over."""

_OPTIONS = (
    *("partition", "time", "account", "qos", "reservation", "constraint", "nodelist", "exclude", "licenses"),
    *("cpus_per_task", "mem", "mem_per_cpu", "mem_per_gpu", "tmp", "hint", "nice", "comment", "wckey"),
    *("gres", "gpus", "gpus_per_node", "gpus_per_task", "cpus_per_gpu", "mail_type", "mail_user"),
)
_SECONDS_TO_ANSWER = 60


class Slurm:
    """The cluster whose sbatch is here."""

    def __init__(self, options: Mapping[str, str], folder: Path, bytes_each: int) -> None:
        """Nothing is submitted yet.

        Args:
            options: see `sbatch_options`; by default a job has one processor.
            folder: for logs, and what submitit sends.
            bytes_each: memory that a job asks for, unless an option does.

        Raises:
            UsageError: submitit, or a command of SLURM, is not here.
        """
        try:
            import submitit
        except ImportError:
            raise UsageError(
                "--engine slurm: submitit is not installed; pip install 'lors[slurm]'."
            ) from None
        for command in ("sbatch", "srun", "squeue", "scancel"):
            if shutil.which(command) is None:
                raise UsageError(
                    f"--engine slurm: there is no command {command} here; run lors where SLURM jobs are submitted, "
                    "on a login node."
                )
        self._asked = dict(options)
        if not any(key.startswith("cpus") for key in options):
            self._asked["cpus_per_task"] = "1"
        if bytes_each and not any(key.startswith("mem") for key in options):
            self._asked["mem"] = f"{-(-bytes_each >> 20)}M"
        self._executor = submitit.SlurmExecutor(folder)
        self._executor.update_parameters(
            job_name="lors",
            time=None,  # not submitit's five minutes, but the partition's
            wckey=None,
            use_srun=False,  # a step of srun gets one processor, whatever the job has
            stderr_to_stdout=True,
            additional_parameters={"no_requeue": True, **self._asked},
        )

    def submit(self, function: Callable[..., object], *arguments: Any) -> str:
        """Submit a job that calls the function; its number.

        Raises:
            UsageError: sbatch refuses it.
        """
        try:
            return str(self._executor.submit(function, *arguments).job_id)
        except RuntimeError as error:
            lines = [line.removeprefix("sbatch: error: ").rstrip(".") for line in str(error).splitlines()]
            asked = " ".join(f"--slurm {key}={value}" for key, value in self._asked.items())
            raise UsageError(
                f"--engine slurm: sbatch refuses a job ({'; '.join(lines) or 'no reason told'}); it was submitted "
                f"as by {asked}."
            ) from None

    def states(self) -> dict[str, str] | None:
        """Number → state, of this user's jobs of the last minutes at least; None where SLURM does not answer."""
        command = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%i %T"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER)
        except subprocess.TimeoutExpired:
            return None
        if answer.returncode:
            return None
        return dict(line.split() for line in answer.stdout.splitlines() if len(line.split()) == 2)

    def cancel(self, jobs: Iterable[str]) -> None:
        """Cancel jobs; of those that have ended, nothing is said."""
        if numbers := sorted(jobs):
            subprocess.run(["scancel", *numbers], capture_output=True)


def sbatch_options(given: Sequence[str]) -> dict[str, str]:
    """Options of sbatch from "KEY=VALUE" each, KEY as sbatch's long option, with - or _ between words.

    Raises:
        UsageError: one is no option that fits here, stands twice, or has no value.
    """
    found: dict[str, str] = {}
    for one in given:
        name, _, value = one.partition("=")
        key = name.strip().removeprefix("--").replace("-", "_")
        if not value.strip() or not value.isprintable():
            raise UsageError(f"--slurm {one!r}: expected KEY=VALUE, as partition=gpu.")
        if key not in _OPTIONS:
            known = did_you_mean(key, _OPTIONS) or f" Expected one of {', '.join(_OPTIONS)}."
            raise UsageError(f"--slurm {one}: {key} is no option of sbatch for a study's jobs.{known}")
        if key in found:
            raise UsageError(f"--slurm {one}: {key} is given twice; keep one.")
        found[key] = value.strip()
    return found
