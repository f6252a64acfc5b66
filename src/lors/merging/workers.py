"""Work spread over threads, each of which computes on one core."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from lors.base.cores import usable_cores

Item = TypeVar("Item")

# More threads than this wait for memory rather than compute.
_MOST_WORKERS = 16


def default_workers() -> int:
    """The number of processors that this process may use, at most 16."""
    return min(_MOST_WORKERS, usable_cores())


@contextmanager
def one_core_each() -> Iterator[None]:
    """Let numpy, scipy and torch, where loaded, use one thread for each call; restore their settings afterwards.

    Two pools of BLAS threads on the same cores slow each other down tenfold; and the last digits of a matrix
    product depend on the number of threads, so one thread makes results the same everywhere.
    """
    torch = _torch()
    threads = torch and torch.get_num_threads()
    with threadpool_limits(limits=1):
        _use_one_thread()
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(threads)


def _torch() -> Any:
    """PyTorch where it has been loaded: what does without it does not wait for it."""
    return sys.modules.get("torch")


def _use_one_thread() -> None:
    if (torch := _torch()) is not None:
        torch.set_num_threads(1)


class _Budget:
    """Bytes that may be held at once; what needs more than all of them waits until it is alone."""

    def __init__(self, size: int) -> None:
        self._size, self._held = size, 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + size <= self._size)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()


def run(
    work: Callable[[Item], object],
    items: Iterable[Item],
    workers: int,
    needs: Callable[[Item], int] = lambda item: 0,
    budget: int = 0,
) -> None:
    """Call `work` for every item, in order of start, on `workers` threads.

    The first exception stops what has not started and is raised; so does an interrupt from the keyboard.

    Args:
        work: called with each item.
        items: what to work on.
        workers: threads.
        needs: bytes that the work on an item holds.
        budget: bytes that all of them may hold at once; an item that needs more runs alone.
    """
    held = _Budget(budget)

    def within_budget(item: Item) -> None:
        with held.hold(needs(item)):
            work(item)

    with one_core_each():
        pool = ThreadPoolExecutor(workers, initializer=_use_one_thread)
        try:
            futures = [pool.submit(within_budget, item) for item in items]
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
