"""Jobs on this machine: a process for each share of its cores, or for each GPU."""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from lors.base.child_process import depend_on_parent
from lors.base.cores import usable_cores
from lors.base.errors import LorsError
from lors.study.jobs.worker import Order, carry_out


@dataclass(frozen=True)
class Share:
    """What one worker process may use.

    Attributes:
        cores: numbers of processors; none to leave that to the system.
        gpu: the GPU that it sees, as CUDA_VISIBLE_DEVICES names it; None to leave all as they are.
    """

    cores: tuple[int, ...] = ()
    gpu: str | None = None


class LocalEngine:
    """Workers on this machine. A worker that dies takes its job with it, and is replaced."""

    def __init__(self, shares: Sequence[Share]) -> None:
        self.capacity = len(shares)
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        self._workers = [_Worker(share) for share in shares]
        for worker in self._workers:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(self.capacity)

    def submit(self, order: Order) -> "Future[dict[str, Any]]":
        """Carry out a job as soon as a worker is free; the future has its cost, or a LorsError."""
        return self._threads.submit(self._run, order)

    def close(self) -> None:
        """Stop all workers at once, whatever they do."""
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.join()

    def _run(self, order: Order) -> dict[str, Any]:
        worker = self._free.get()
        try:
            return worker.run(order)
        finally:
            self._free.put(worker)


class _Worker:
    """A process that carries out one job after another, started when first needed."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._process: Any = None
        self._connection: Connection | None = None
        self._closed = False

    def run(self, order: Order) -> dict[str, Any]:
        connection = self._start()
        try:
            connection.send(order)
            done, answer = connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code, self._process = self._process.exitcode, None
            ended = f"was killed by signal {-code}" if code and code < 0 else f"ended with status {code}"
            raise LorsError(f"its process {ended}; a machine without enough memory does that, too.") from None
        if not done:
            raise answer
        return dict(answer)

    def kill(self) -> None:
        self._closed = True
        if self._process is not None:
            self._process.kill()

    def join(self) -> None:
        if self._process is not None:
            self._process.join()

    def _start(self) -> Connection:
        if self._closed:
            raise LorsError("the study was stopped.")
        if self._process is None:
            # Not forked: threads and GPU contexts of this process do not survive that.
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self._share))
            self._process.start()
            theirs.close()
        assert self._connection is not None
        return self._connection


def _serve(connection: Connection, share: Share) -> None:
    """Carry out jobs until the other end is closed."""
    depend_on_parent()
    if share.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = share.gpu
    if share.cores:
        os.environ["OMP_NUM_THREADS"] = str(len(share.cores))
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, share.cores)
    while True:
        try:
            order = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[bool, object] = True, carry_out(order)
        except LorsError as error:
            answer = False, error
        connection.send(answer)


def local_shares(workers: int | None, bytes_each: int) -> list[Share]:
    """The shares of this machine: a GPU each, or else equal numbers of cores.

    Args:
        workers: how many; None for one for each GPU, or one for each core as far as the memory lasts.
        bytes_each: what a worker may need.
    """
    gpus = _gpus()
    if gpus:
        return [Share(gpu=gpus[place % len(gpus)]) for place in range(workers or len(gpus))]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    count = usable_cores()
    if workers is None:
        from lors.speech.decoding.available import default_memory

        workers = max(1, min(count, 2 * default_memory() // bytes_each))
    if not cores or workers > count:
        return [Share()] * workers
    each = count // workers
    return [Share(cores=tuple(cores[place * each : (place + 1) * each])) for place in range(workers)]


def _gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [one for one in visible.split(",") if one.strip()]
    import torch

    return [str(place) for place in range(torch.cuda.device_count())]
