"""Work spread over threads, each of which computes on one core."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")

# More threads than this wait for memory rather than compute.
_MOST_WORKERS = 16


def default_workers() -> int:
    """The number of processors that this process may use, at most 16."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(_MOST_WORKERS, usable or 1)


@contextmanager
def one_core_each() -> Iterator[None]:
    """Let numpy, scipy and torch use one thread for each call, and restore their settings afterwards.

    Two pools of BLAS threads on the same cores slow each other down tenfold; and the last digits of a matrix
    product depend on the number of threads, so one thread makes results the same everywhere.
    """
    threads = torch.get_num_threads()
    with threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def run(work: Callable[[Item], object], items: Iterable[Item], workers: int) -> None:
    """Call `work` for every item, in order of start, on `workers` threads.

    The first exception stops what has not started and is raised; so does an interrupt from the keyboard.
    """
    with one_core_each():
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
        try:
            futures = [pool.submit(work, item) for item in items]
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
