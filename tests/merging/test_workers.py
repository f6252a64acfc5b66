import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from lors.merging.workers import default_workers, one_core_each, run


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_each_call_computes_on_one_core_and_the_settings_return() -> None:
    seen = []
    with threadpool_limits(limits=2, user_api="blas"):
        torch_before, before = torch.get_num_threads(), blas_threads()
        run(lambda _: seen.append((blas_threads(), torch.get_num_threads())), range(4), workers=2)
        assert seen == [({1}, 1)] * 4
        assert (torch.get_num_threads(), blas_threads()) == (torch_before, before)
        with pytest.raises(KeyError), one_core_each():
            raise KeyError
        assert (torch.get_num_threads(), blas_threads()) == (torch_before, before)


def test_every_item_is_done_once_and_begun_in_order() -> None:
    begun = []
    run(begun.append, range(50), workers=1)
    assert begun == list(range(50))
    done = []
    run(done.append, range(50), workers=4)
    assert sorted(done) == begun


def test_the_first_exception_stops_the_rest() -> None:
    begun = []
    gate = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            gate.set()
            raise ValueError("item 1")
        gate.wait(10)
        time.sleep(0.05)

    with pytest.raises(ValueError, match="item 1"):
        run(work, range(1000), workers=2)
    assert len(begun) < 100


def test_there_is_at_least_one_worker() -> None:
    assert 1 <= default_workers() <= 16


def test_every_library_computes_on_one_core_from_the_start() -> None:
    """Those that a merge uses, where it loads scipy's before it starts workers."""
    program = """
import numpy as np
from threadpoolctl import threadpool_info
from lors.merging.lapack import load
from lors.merging.low_rank import decompose
from lors.merging.workers import run

def work(_):
    decompose(np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32), 3)
    print(sorted({library["num_threads"] for library in threadpool_info()}), len(threadpool_info()))

load()
run(work, [0], 1)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    shown = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    threads, libraries = shown.stdout.rsplit(maxsplit=1)
    assert threads == "[1]" and int(libraries) >= 2
