"""Workers of this machine: jobs side by side, a worker that is killed, a parent that is killed, a disk that is full."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from lors.base.errors import LorsError, UsageError
from lors.base.lock import exclusive
from lors.study.jobs.engine_local import LocalEngine, Share, local_shares
from lors.study.jobs.job import Given, Job
from lors.study.jobs.scheduler import Event, order_for, run_jobs
from lors.study.jobs.store import Store
from lors.study.jobs.worker import Order

from .small_jobs import LINE, subset, waits
from .small_jobs import until as until_within

_PATIENCE = 120
until = partial(until_within, patience=_PATIENCE)


def hold(order: Order) -> AbstractContextManager[None]:
    """Keep a job from going on."""
    return exclusive(order.out.parent / "job")


def workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # one that has just ended
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    made = LocalEngine([Share(), Share()])
    yield made
    made.close()
    assert not workers()


def test_jobs_run_side_by_side_and_their_mistakes_come_back(engine: LocalEngine, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text(LINE)
    (tmp_path / "torn.jsonl").write_text('{"id": \n')
    done = engine.submit(subset(tmp_path / "good.jsonl", tmp_path / "good" / "output"))
    bad = engine.submit(subset(tmp_path / "torn.jsonl", tmp_path / "torn" / "output"))
    assert set(done.result(_PATIENCE)) == {"seconds", "processor_seconds", "energy", "machine"}
    assert (tmp_path / "good" / "output" / "train.jsonl").read_text().count("\n") == 1
    with pytest.raises(UsageError, match=r"torn\.jsonl:1: "):
        bad.result(_PATIENCE)
    orders = [subset(tmp_path / "good.jsonl", tmp_path / str(number) / "output") for number in range(2)]
    with hold(orders[0]), hold(orders[1]):
        answers = [engine.submit(order) for order in orders]
        until(lambda: all(map(waits, orders)), "the jobs do not run at the same time")
    for answer in answers:
        answer.result(_PATIENCE)


def test_a_worker_that_is_killed_is_replaced_and_its_job_tried_again(
    engine: LocalEngine, tmp_path: Path
) -> None:
    (tmp_path / "es.jsonl").write_text(LINE)
    store = Store(tmp_path / "jobs")
    job = Job(
        "subset", "es", {"hours": 0.0001, "seed": 0}, {"source": (Given(str(tmp_path / "es.jsonl"), "key"),)}
    )
    events: list[Event] = []
    with ExitStack() as held:
        held.enter_context(hold(order_for(job, store)))

        def tell(event: Event) -> None:
            events.append(event)
            if event.what == "started" and len(events) == 1:
                until(lambda: waits(order_for(job, store)), "the job is not begun")
                for worker in workers():
                    worker.kill()
            elif event.what == "tried again":
                held.close()

        assert run_jobs([job], store, engine, tell=tell) == {}
    assert [event.what for event in events] == ["started", "tried again", "started", "done"]
    assert "was killed by signal 9" in events[1].why
    assert store.output(job).read_text().count("\n") == 1


def test_of_a_parent_that_is_killed_no_worker_stays(tmp_path: Path) -> None:
    (tmp_path / "es.jsonl").write_text(LINE)
    order = subset(tmp_path / "es.jsonl", tmp_path / "made" / "output")
    program = (
        "import pickle, sys\n"
        "from lors.study.jobs.engine_local import LocalEngine, Share\n"
        "LocalEngine([Share()]).submit(pickle.load(sys.stdin.buffer)).result()\n"
    )
    with hold(order):
        parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
        assert parent.stdin is not None
        with parent.stdin:
            parent.stdin.write(pickle.dumps(order))
        until(lambda: waits(order), "the job is not begun")
        children = psutil.Process(parent.pid).children(recursive=True)
        assert children
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        _, alive = psutil.wait_procs(children, timeout=_PATIENCE)
        assert not alive
    assert not order.out.exists()


def test_closing_stops_a_job_at_once(tmp_path: Path) -> None:
    (tmp_path / "es.jsonl").write_text(LINE)
    order = subset(tmp_path / "es.jsonl", tmp_path / "made" / "output")
    engine = LocalEngine([Share()])
    with hold(order):
        answer = engine.submit(order)
        until(lambda: waits(order), "the job is not begun")
        engine.close()
        with pytest.raises(LorsError):
            answer.result(_PATIENCE)
    assert not workers() and not order.out.exists()


@pytest.mark.parametrize("free", [0, 8])
def test_a_full_disk_is_told(engine: LocalEngine, tmp_path: Path, free: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        source = tmp_path / "source.jsonl"
        source.write_text("".join(LINE.replace('"1"', f'"{number}"', 1) for number in range(2000)))
        (disk / "job").mkdir()
        (disk / "full").write_bytes(bytes((64 - free - 4) << 10))
        order = Order(
            "s", "subset", {"hours": 1.0, "seed": 0}, {"source": (str(source),)}, disk / "job" / "output"
        )
        with pytest.raises(LorsError, match="no space left on the disk"):
            engine.submit(order).result(_PATIENCE)
        assert not order.out.exists()
        # With room, the same worker does it.
        (tmp_path / "good.jsonl").write_text(LINE)
        engine.submit(subset(tmp_path / "good.jsonl", tmp_path / "good" / "output")).result(_PATIENCE)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process to a core")
def test_shares_part_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4})
    assert [share.cores for share in local_shares(2, 1)] == [(0, 1), (2, 3)]
    assert [share.cores for share in local_shares(9, 1)] == [()] * 9
    assert len(local_shares(None, 1)) == 5
    assert len(local_shares(None, 1 << 60)) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert [share.gpu for share in local_shares(None, 1)] == ["3", "5"]
