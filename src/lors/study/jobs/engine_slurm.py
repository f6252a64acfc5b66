"""Jobs on a SLURM cluster: a few SLURM jobs do the study's, one after another, from a folder that all machines see."""

import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import redirect_stderr
from dataclasses import asdict
from io import StringIO
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any

from lors.base.errors import LorsError, UsageError
from lors.base.files import describe_os_error, read_json, write_json, write_text
from lors.base.progress import say
from lors.study.jobs.scheduler import EngineError
from lors.study.jobs.slurm import ENDED, Slurm
from lors.study.jobs.slurm_worker import ALIVE, BEGUN, SECONDS_BETWEEN_LOOKS, folder_now, work
from lors.study.jobs.worker import Order

_WORKERS = 8
_SECONDS_BETWEEN_QUERIES = 10.0
_SECONDS_IDLE = 300.0
"""A SLURM job that has had nothing to do for so long gives its processor back."""

_SECONDS_OF_SILENCE = 300.0
"""A SLURM job that has heard nothing of this process for so long ends."""

_IN_VAIN = 3


class SlurmEngine:
    """SLURM jobs, of which each does the study's jobs until there are none; one that is lost is replaced."""

    def __init__(
        self, options: Mapping[str, str], workers: int | None, shared: Path, bytes_each: int = 0
    ) -> None:
        """Submit the first of them.

        Args:
            options: for sbatch, as `sbatch_options` gives them.
            workers: SLURM jobs at a time; None for eight.
            shared: folder that all machines must see, in no other study's use.
            bytes_each: memory to ask for, unless an option does.

        Raises:
            UsageError: submitit or SLURM is missing here, or sbatch refuses the job; the message says why.
        """
        for left in shared.glob(".slurm-*"):
            shutil.rmtree(left, ignore_errors=True)  # by which the SLURM jobs of a dead process end, too
        self.capacity = self._most = workers or _WORKERS
        self._folder = shared / f".slurm-{token_hex(8)}"
        self._slurm = Slurm(options, self._folder, bytes_each)
        self._numbers = count()
        self._waiting: dict[str, Future[dict[str, Any]]] = {}
        self._workers: set[str] = set()
        self._in_vain, self._broken = 0, ""
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        try:
            write_text(self._folder / ALIVE, self._folder.name)
            with redirect_stderr(StringIO()):  # where submitit prints what sbatch says
                self._hire()
        except BaseException:
            self.close()
            raise
        self._watcher.start()

    def submit(self, order: Order) -> "Future[dict[str, Any]]":
        """Lay the job out for whichever SLURM job is free; the future has its cost, or a LorsError."""
        name, answer = f"{next(self._numbers):06}", Future[dict[str, Any]]()
        self._waiting[name] = answer
        if self._broken:
            raise EngineError(self._broken)
        write_json(self._folder / f"{name}.order", {**asdict(order), "out": str(order.out)})
        return answer

    def close(self) -> None:
        """Cancel all SLURM jobs."""
        self._closed.set()
        if self._watcher.ident is not None:
            self._watcher.join()
        self._slurm.cancel(self._workers)
        if not self._broken:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _watch(self) -> None:
        asked, well = -math.inf, time.monotonic()
        while not self._closed.wait(SECONDS_BETWEEN_LOOKS):
            try:
                os.utime(self._folder / ALIVE)
                self._pass_on()
                if time.monotonic() > asked + _SECONDS_BETWEEN_QUERIES:
                    asked = time.monotonic()
                    self._replace_lost()
                well = time.monotonic()
            except OSError as error:  # of a network disk: the next look may find it well
                if time.monotonic() > well + _SECONDS_OF_SILENCE or not self._folder.exists():
                    self._give_up(f"--engine slurm: {describe_os_error(error)}")
            except Exception as error:  # the study would wait for a thread that has died
                self._give_up(str(error) or type(error).__name__)

    def _pass_on(self) -> None:
        """Hand over the answers that have come in."""
        for path in folder_now(self._folder).glob("*.answer"):
            found, answer = read_json(path), self._waiting.pop(path.stem, None)
            if answer is not None and "cost" in found:
                answer.set_result(found["cost"])
            elif answer is not None:
                answer.set_exception((UsageError if found["usage"] else LorsError)(found["error"]))
            path.unlink()

    def _replace_lost(self) -> None:
        """Let go of the SLURM jobs that have ended, and submit as many as there is work for."""
        states = self._slurm.states()
        if states is None:
            return
        for worker in [one for one in self._workers if states.get(one, ENDED[0]) in ENDED]:
            self._workers.remove(worker)
            self._in_vain = 0 if (self._folder / f"{worker}.{BEGUN}").exists() else self._in_vain + 1
            self._pass_on()
            for taken in self._folder.glob(f"*.{worker}"):
                if answer := self._waiting.pop(taken.stem, None):
                    state = states.get(worker, "no state known")
                    answer.set_exception(LorsError(f"its SLURM job {worker} ended before it did ({state})."))
        while len(self._workers) < min(self._most, len(self._waiting)) and self._in_vain < _IN_VAIN:
            try:
                self._hire()
            except UsageError as error:
                if not self._workers:
                    raise
                self._most = len(self._workers)
                say(f"{error} The study goes on with {self._most} SLURM jobs.")
        if self._waiting and not self._workers:
            raise EngineError(
                f"--engine slurm: {self._in_vain} SLURM jobs ended before they began; all machines must see "
                f"{self._folder}, where their logs are, and {sys.executable} with LoRS."
            )

    def _hire(self) -> None:
        self._workers.add(self._slurm.submit(work, self._folder, _SECONDS_IDLE, _SECONDS_OF_SILENCE))

    def _give_up(self, why: str) -> None:
        self._broken = why
        while self._waiting:
            self._waiting.popitem()[1].set_exception(EngineError(why))
