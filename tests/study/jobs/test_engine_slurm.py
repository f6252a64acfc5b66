"""Workers that SLURM starts: by submitit's local executor, and a study on a real SLURM where one is installed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from lors.base.errors import UsageError
from lors.base.lock import exclusive
from lors.study.jobs import engine_slurm
from lors.study.jobs.engine_slurm import SlurmEngine
from lors.study.jobs.job import Given, Job
from lors.study.jobs.scheduler import EngineError, Event, order_for, run_jobs
from lors.study.jobs.slurm import Slurm, sbatch_options
from lors.study.jobs.store import Store
from lors.study.jobs.worker import Order
from lors.study.study import run_study

from .small_jobs import LINE, PATIENCE, subset, until, waits

submitit = pytest.importorskip("submitit", reason="submitit is not installed: pip install 'lors[slurm]'")
pytestmark = pytest.mark.xdist_group("slurm")

_FEW_JOBS = {"settings": ["finetuned", "multilingual-merging"], "methods": {"weight-averaging": None}}


def subset_job(folder: Path) -> Job:
    given = Given(str(folder / "es.jsonl"), "key")
    return Job("subset", "es", {"hours": 0.0001, "seed": 0}, {"source": (given,)})


def takers(shared: Path) -> list[str]:
    """The numbers of the SLURM jobs that are at a job of the study."""
    return [path.suffix[1:] for path in shared.glob(".slurm-*/[0-9]*.[0-9]*") if path.suffix[1:].isdigit()]


class Processes:
    """What stands for SLURM where there is none: each SLURM job is a process, by submitit's local executor."""

    python: str | None = None
    started: ClassVar[list["Processes"]] = []

    def __init__(self, options: Any, folder: Path, bytes_each: int) -> None:
        self._executor = submitit.LocalExecutor(folder, python=self.python)
        self._executor.update_parameters(timeout_min=10)
        self.jobs: dict[str, Any] = {}
        self.started.append(self)

    def submit(self, *call: Any) -> str:
        job = self._executor.submit(*call)
        self.jobs[job.job_id] = job
        return str(job.job_id)

    def states(self) -> dict[str, str]:
        return {number: "RUNNING" for number, job in self.jobs.items() if not job.done()}

    def cancel(self, numbers: Iterable[str]) -> None:
        for number in numbers:
            kill(number)


def kill(number: str) -> None:
    with suppress(psutil.NoSuchProcess):
        controller = psutil.Process(int(number))
        for process in [*controller.children(recursive=True), controller]:
            process.kill()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Processes]]:
    monkeypatch.setattr(engine_slurm, "Slurm", Processes)
    monkeypatch.setattr(engine_slurm, "_SECONDS_BETWEEN_QUERIES", 0.2)
    monkeypatch.setattr(Processes, "started", [])
    yield Processes.started
    for one in Processes.started:
        one.cancel(one.jobs)


@pytest.fixture
def engine(processes: Any, tmp_path: Path) -> Iterator[SlurmEngine]:
    made = SlurmEngine({}, 2, tmp_path / "shared")
    yield made
    made.close()
    assert not list((tmp_path / "shared").iterdir())


def test_jobs_come_back_with_their_costs_and_mistakes_as_themselves(
    engine: SlurmEngine, tmp_path: Path
) -> None:
    (tmp_path / "good.jsonl").write_text(LINE)
    (tmp_path / "torn.jsonl").write_text('{"id": \n')
    done = engine.submit(subset(tmp_path / "good.jsonl", tmp_path / "good" / "output"))
    bad = engine.submit(subset(tmp_path / "torn.jsonl", tmp_path / "torn" / "output"))
    assert set(done.result(PATIENCE)) == {"seconds", "processor_seconds", "energy", "machine"}
    assert (tmp_path / "good" / "output" / "train.jsonl").read_text().count("\n") == 1
    with pytest.raises(UsageError, match=r"torn\.jsonl:1: ") as caught:
        bad.result(PATIENCE)
    assert type(caught.value) is UsageError


def test_a_worker_that_is_killed_is_replaced_and_its_job_tried_again(
    engine: SlurmEngine, tmp_path: Path
) -> None:
    (tmp_path / "es.jsonl").write_text(LINE)
    store = Store(tmp_path / "jobs")
    job = subset_job(tmp_path)
    events: list[Event] = []
    with ExitStack() as held:
        held.enter_context(exclusive(order_for(job, store).out.parent / "job"))

        def tell(event: Event) -> None:
            events.append(event)
            if event.what == "started" and len(events) == 1:
                until(lambda: waits(order_for(job, store)), "the job is not begun")
                [worker] = takers(tmp_path / "shared")
                kill(worker)
            elif event.what == "tried again":
                held.close()

        assert run_jobs([job], store, engine, tell=tell) == {}
    assert [event.what for event in events] == ["started", "tried again", "started", "done"]
    assert "its SLURM job " in events[1].why and " ended before it did" in events[1].why
    assert store.output(job).read_text().count("\n") == 1


def test_a_worker_without_work_ends_and_another_comes_for_the_next_job(
    processes: list[Processes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_slurm, "_SECONDS_IDLE", 0.1)
    (tmp_path / "es.jsonl").write_text(LINE)
    engine = SlurmEngine({}, 2, tmp_path / "shared")
    try:
        for number in range(2):
            until(lambda: not processes[0].states(), "the worker does not end")
            answer = engine.submit(subset(tmp_path / "es.jsonl", tmp_path / str(number) / "output"))
            assert answer.result(PATIENCE)["seconds"] >= 0
    finally:
        engine.close()
    assert len(processes[0].jobs) >= 2


def test_workers_that_never_begin(
    processes: list[Processes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Processes, "python", "false")
    (tmp_path / "es.jsonl").write_text(LINE)
    engine = SlurmEngine({}, 2, tmp_path / "shared")
    told = r"^--engine slurm: \d SLURM jobs ended before they began; all machines must see .*/shared/\.slurm-"
    events: list[Event] = []
    with pytest.raises(EngineError, match=told):
        run_jobs([subset_job(tmp_path)], Store(tmp_path / "jobs"), engine, tell=events.append)
    assert [event.what for event in events] == ["started"]
    with pytest.raises(EngineError, match=told):
        engine.submit(subset(tmp_path / "es.jsonl", tmp_path / "made" / "output"))
    assert len(processes[0].jobs) <= 4
    assert list((tmp_path / "shared").glob(".slurm-*/*_log.out"))
    again = SlurmEngine({}, 1, tmp_path / "shared")  # whose folder takes the place of the other
    assert len(list((tmp_path / "shared").iterdir())) == 1
    again.close()


@pytest.mark.parametrize("how", ["silent", "gone"])
def test_of_a_study_that_is_gone_no_worker_stays(tmp_path: Path, how: str) -> None:
    (tmp_path / "es.jsonl").write_text(LINE)
    out, folder = tmp_path / "made" / "output", tmp_path / "study"
    folder.mkdir()
    (folder / "alive").write_text("study")
    inputs = f'{{"source": ["{tmp_path / "es.jsonl"}"]}}'
    (folder / "000000.order").write_text(
        f'{{"title": "subset", "kind": "subset", "parameters": {{"hours": 1, "seed": 0}}, "inputs": {inputs}, '
        f'"out": "{out}"}}'
    )
    program = (
        "import sys; from pathlib import Path; from lors.study.jobs.slurm_worker import work\n"
        "work(Path(sys.argv[1]), 600, float(sys.argv[2]))"
    )
    order = subset(tmp_path / "es.jsonl", out)
    with exclusive(out.parent / "job"):
        worker = subprocess.Popen(
            [sys.executable, "-c", program, folder, "600" if how == "gone" else "8"],
            env={**os.environ, "SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "7"},
        )
        until(lambda: waits(order) or worker.poll() is not None, "the job is not begun")
        assert worker.poll() is None and (folder / "000000.7").exists() and (folder / "7.begun").exists()
        if how == "gone":
            (folder / "alive").unlink()
        assert worker.wait(PATIENCE) == 1
    assert not out.exists() and not list(folder.glob("*.answer"))


def test_options_of_sbatch() -> None:
    given = ["partition=gpu", "--cpus-per-task=4", "time=1-02:00:00", "comment=a = b"]
    assert sbatch_options(given) == {
        "partition": "gpu",
        "cpus_per_task": "4",
        "time": "1-02:00:00",
        "comment": "a = b",
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["partiton=gpu"], r"--slurm partiton=gpu: partiton is no option .* Did you mean 'partition'\?$"),
        (["zz=1"], r"--slurm zz=1: zz is no option .* Expected one of partition, time, .*\.$"),
        (["array=0-9"], r"array is no option of sbatch for a study's jobs"),
        (["partition"], r"--slurm 'partition': expected KEY=VALUE"),
        (["time="], r"--slurm 'time=': expected KEY=VALUE"),
        (["comment=a\nrm b"], r"--slurm 'comment=a\\nrm b': expected KEY=VALUE"),
        (["mem=1G", "mem=2G"], r"--slurm mem=2G: mem is given twice"),
    ],
)
def test_options_that_are_wrong(given: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        sbatch_options(given)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands that stand for SLURM's; sbatch, too, is to be written there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("srun", "squeue", "scancel"):
        (folder / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def write_sbatch(commands: Path, script: str) -> None:
    (commands / "sbatch").write_text(f"#!/bin/sh\n{script}\n")
    (commands / "sbatch").chmod(0o755)


def test_what_sbatch_is_asked_for(commands: Path, tmp_path: Path) -> None:
    write_sbatch(commands, "echo Submitted batch job 17")
    for name, options in (("a", {"partition": "gpu", "time": "4:00:00"}), ("b", {"mem_per_cpu": "9G"})):
        assert Slurm(options, tmp_path / name, (2 << 30) + 1).submit(print) == "17"
    first, second = (
        {
            line
            for line in (tmp_path / name / "17_submission.sh").read_text().splitlines()
            if "#SBATCH" in line
        }
        for name in "ab"
    )
    assert {
        f"#SBATCH --{flag}"
        for flag in ("partition=gpu", "time=4:00:00", "mem=2049M", "cpus-per-task=1", "no-requeue", "nodes=1")
    } <= first
    assert "#SBATCH --mem-per-cpu=9G" in second
    assert not any(
        line.startswith(("#SBATCH --time", "#SBATCH --mem=", "#SBATCH --wckey")) for line in second
    )


def test_a_refusal_is_one_sentence(commands: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_sbatch(commands, "echo 'sbatch: error: Batch job submission failed: No.' >&2; exit 1")
    told = (
        r"^--engine slurm: sbatch refuses a job \(Batch job submission failed: No\); it was submitted as by "
        r"--slurm partition=x --slurm cpus_per_task=1\.$"
    )
    with pytest.raises(UsageError, match=told):
        SlurmEngine({"partition": "x"}, 1, tmp_path / "shared")
    assert not list((tmp_path / "shared").iterdir())
    assert capfd.readouterr() == ("", "")


def start(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "lors", "study", "study.yaml", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        # A test that runs in the background ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.fixture(scope="module")
def local(make_toy: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that the local engine did, in `local`."""
    folder = tmp_path_factory.mktemp("study")
    make_toy(folder, _FEW_JOBS)
    process = start(folder, "--out", "local")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return folder


def test_without_sbatch(make_toy: Callable[..., Path], tmp_path: Path) -> None:
    make_toy(tmp_path, _FEW_JOBS)
    process = start(tmp_path, "--engine", "slurm", PATH="/nowhere")
    printed, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, printed) == (2, "")
    assert errors == (
        "lors: --engine slurm: there is no command sbatch here; run lors where SLURM jobs are submitted, on a login "
        "node.\n"
    )


def same_tables(folder: Path, out: str, toy: Any) -> None:
    assert len(toy.told(folder / "local")) >= 3
    assert toy.told(folder / out) == toy.told(folder / "local")
    study = folder / "study.yaml"
    assert toy.scores(study, folder / out) == toy.scores(study, folder / "local")


def has_slurm(request: pytest.FixtureRequest) -> bool:
    try:
        return bool(request.getfixturevalue("slurm"))
    except pytest.skip.Exception:
        return False


def test_processes_of_which_one_is_killed_give_the_same_tables_as_local(
    request: pytest.FixtureRequest, toy: Any, processes: list[Processes], monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_slurm(request):
        pytest.skip("the real SLURM of this machine does the same below")
    local: Path = request.getfixturevalue("local")
    killed: list[str] = []
    submit = SlurmEngine.submit

    def submit_and_kill(self: SlurmEngine, order: Order) -> Any:
        answer = submit(self, order)
        if order.kind == "finetune" and not killed:
            killed.extend(until(lambda: takers(local / "slurm" / "jobs"), "no job is begun"))
            kill(killed[0])
        return answer

    monkeypatch.setattr(SlurmEngine, "submit", submit_and_kill)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    results = run_study(local / "study.yaml", local / "slurm", engine="slurm", workers=2)
    assert killed and not results.failures
    assert len(processes[0].jobs) == 3
    same_tables(local, "slurm", toy)


def running(slurm: dict[str, str]) -> list[str]:
    """The numbers of jobs in SLURM's queue."""
    shown = subprocess.run(
        ["squeue", "--noheader", "--format=%i"], capture_output=True, text=True, check=True, env=slurm
    )
    return shown.stdout.split()


def test_a_real_slurm_of_which_a_job_is_cancelled_gives_the_same_tables_as_local(
    slurm: dict[str, str], local: Path, toy: Any
) -> None:
    process = start(
        local, "--out", "real", "--engine", "slurm", "--workers", "2", "--slurm", "time=30", **slurm
    )
    shared = local / "real" / "jobs"
    until(lambda: takers(shared) or process.poll() is not None, "no job is begun")
    lost = takers(shared)[0]
    assert lost in running(slurm)
    subprocess.run(["scancel", lost], check=True, env=slurm)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert f"its SLURM job {lost} ended before it did (CANCELLED)." in errors
    assert errors.count("tried again: ") == 1 and "Traceback" not in errors
    same_tables(local, "real", toy)
    until(lambda: not running(slurm), "SLURM jobs stay")


def test_ctrl_c_cancels_what_is_in_slurm(slurm: dict[str, str], local: Path) -> None:
    process = start(local, "--out", "broken", "--engine", "slurm", "--workers", "2", **slurm)
    shared = local / "broken" / "jobs"
    until(lambda: takers(shared) or process.poll() is not None, "no job is begun")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "Traceback" not in errors
    until(lambda: not running(slurm), "SLURM jobs stay")
    assert not list(shared.glob(".slurm-*"))


def test_a_wrong_partition_is_one_sentence(slurm: dict[str, str], local: Path) -> None:
    process = start(local, "--out", "wrong", "--engine", "slurm", "--slurm", "partition=nope", **slurm)
    printed, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, printed) == (2, "")
    assert errors.count("\n") == 1 and "Invalid partition name specified" in errors
