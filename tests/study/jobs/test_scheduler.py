"""The order of jobs, retries, and the isolation of failures, with an engine that does nothing by itself."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from lors.base.errors import LorsError, UsageError
from lors.study.jobs.job import Job
from lors.study.jobs.scheduler import Event, run_jobs
from lors.study.jobs.store import Store
from lors.study.jobs.worker import Order


class FakeEngine:
    """Every job has ended as soon as it is begun: `does` makes its result, or raises."""

    def __init__(self, capacity: int, does: Callable[[Order], None] = lambda order: None) -> None:
        self.capacity, self.does = capacity, does
        self.begun: list[str] = []
        self.closed = False

    def submit(self, order: Order) -> "Future[dict[str, Any]]":
        self.begun.append(order.title)
        answer: Future[dict[str, Any]] = Future()
        try:
            self.does(order)
            order.out.mkdir(parents=True, exist_ok=True)
            answer.set_result({"seconds": 1.0, "processor_seconds": 1.0, "machine": "here"})
        except LorsError as error:
            answer.set_exception(error)
        return answer

    def close(self) -> None:
        self.closed = True


def job(name: str, *needs: Job, kind: Any = "finetune", temporary: bool = False, amount: float = 1.0) -> Job:
    return Job(kind, name, {"name": name}, {"needs": needs}, amount=amount, temporary=temporary)


def fails(*titles: str, error: type[LorsError] = LorsError, times: int = 100) -> Callable[[Order], None]:
    left = dict.fromkeys(titles, times)

    def does(order: Order) -> None:
        if left.get(order.title, 0) > 0:
            left[order.title] -= 1
            raise error("it broke.")

    return does


def test_what_is_needed_comes_first_and_the_longest_chain_before_others(tmp_path: Path) -> None:
    short = job("short", amount=5)
    first = job("first", amount=1)
    last = job("last", job("middle", first, amount=10))
    engine = FakeEngine(1)
    assert run_jobs([short, last], Store(tmp_path), engine) == {}
    assert engine.begun == ["finetune first", "finetune middle", "finetune short", "finetune last"]


@pytest.mark.parametrize("capacity", [1, 3, 20])
def test_no_more_than_the_engine_takes(tmp_path: Path, capacity: int) -> None:
    engine, running = FakeEngine(capacity), [0]

    def count(event: Event) -> None:
        running.append(running[-1] + {"started": 1, "done": -1}[event.what])

    assert run_jobs([job(str(number)) for number in range(10)], Store(tmp_path), engine, tell=count) == {}
    assert len(engine.begun) == 10 and max(running) == min(capacity, 10)


def test_a_failure_stops_only_what_needs_it(tmp_path: Path) -> None:
    bad, good = job("bad"), job("good")
    needs_bad = job("b", job("a", bad))
    engine, events = FakeEngine(2, fails("finetune bad")), list[Event]()
    failures = run_jobs([needs_bad, job("c", good)], Store(tmp_path), engine, retries=2, tell=events.append)
    assert failures == {
        "finetune bad": "it broke.",
        "finetune a": "needs finetune bad, which failed.",
        "finetune b": "needs finetune a, which failed.",
    }
    assert engine.begun.count("finetune bad") == 3
    assert [event.what for event in events if event.job is bad] == [
        "started", "tried again", "started", "tried again", "started", "failed",
    ]  # fmt: skip
    assert {"finetune good", "finetune c"} <= set(engine.begun)
    assert not {"finetune a", "finetune b"} & set(engine.begun)


def test_a_job_that_fails_once_is_done_in_the_end(tmp_path: Path) -> None:
    engine = FakeEngine(1, fails("finetune x", times=1))
    assert run_jobs([job("y", job("x"))], Store(tmp_path), engine) == {}
    assert engine.begun == ["finetune x", "finetune x", "finetune y"]


def test_wrong_input_is_not_tried_again(tmp_path: Path) -> None:
    engine = FakeEngine(1, fails("finetune x", error=UsageError))
    assert run_jobs([job("x")], Store(tmp_path), engine, retries=5) == {"finetune x": "it broke."}
    assert engine.begun == ["finetune x"]


def test_temporary_results_go_when_nothing_needs_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    merged = job("all", kind="merge", temporary=True)
    scored = [job(f"on {language}", merged, kind="evaluate") for language in ("es", "fr")]
    there: list[bool] = []
    engine = FakeEngine(1, lambda order: there.append(store.is_done(merged)))
    run_jobs(scored, store, engine)
    assert there == [False, True, True]
    assert not store.folder(merged).exists()
    assert run_jobs(scored, store, FakeEngine(1, fails("merge all"))) == {}
    # One evaluation is lost: its model is made again, and goes again.
    store.remove(scored[0])
    again = FakeEngine(1)
    run_jobs(scored, store, again)
    assert again.begun == ["merge all", "evaluate on es"] and not store.folder(merged).exists()


def test_a_temporary_result_stays_while_its_taker_is_tried_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    merged = job("all", kind="merge", temporary=True)
    engine = FakeEngine(1, fails("evaluate x", times=1))
    assert run_jobs([job("x", merged, kind="evaluate")], store, engine) == {}
    assert engine.begun == ["merge all", "evaluate x", "evaluate x"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interruption_stops_the_engine_and_keeps_what_is_done(tmp_path: Path, error: type) -> None:
    def interrupt(event: Event) -> None:
        if event.what == "done":
            raise error

    store, targets, engine = Store(tmp_path), [job("b", job("a"))], FakeEngine(1)
    with pytest.raises(error):
        run_jobs(targets, store, engine, tell=interrupt)
    assert engine.closed
    again = FakeEngine(1)
    run_jobs(targets, store, again)
    assert again.begun == ["finetune b"]


def test_done_before_is_not_begun_again(tmp_path: Path) -> None:
    targets = [job("b", job("a"))]
    run_jobs(targets, Store(tmp_path), FakeEngine(1))
    engine = FakeEngine(1)
    assert run_jobs(targets, Store(tmp_path), engine) == {} and engine.begun == []
