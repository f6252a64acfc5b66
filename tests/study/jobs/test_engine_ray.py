"""The study on a real Ray cluster of two nodes on this machine, one of which is killed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lors.base.errors import UsageError
from lors.study.jobs.engine_ray import RayEngine, demand
from lors.study.jobs.machine import one_core
from lors.study.jobs.worker import Order

from .small_jobs import PATIENCE, until

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'lors[ray]'")
pytestmark = pytest.mark.xdist_group("ray")


class Cluster:
    """Ray nodes that were started here, on 127.0.0.1, one processor each."""

    def __init__(self) -> None:
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._folder = Path(tempfile.mkdtemp(prefix="lors-ray-", dir="/tmp"))  # sockets' paths must be short
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        program = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
        where = (
            [f"--address={self.address}"]
            if self._nodes
            else ["--head", f"--port={self.address.partition(':')[2]}", "--include-dashboard=false"]
        )
        options = ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--object-store-memory=80000000", "--block"]
        if not self._nodes:
            options.append(f"--temp-dir={self._folder}")
        with (self._folder / f"{len(self._nodes)}.log").open("wb") as log:
            node = subprocess.Popen(
                [sys.executable, "-c", program, "start", *where, *options],
                stdout=log,
                stderr=log,
                env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", **environment},
            )
        self._nodes.append(node)
        until(lambda: self.count() == len(self._nodes), "the node did not come up")
        return node

    def count(self) -> int:
        """Nodes that are alive, as another process sees them."""
        program = (
            "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); "
            "print(sum(node['Alive'] for node in ray.nodes()))"
        )
        answer = subprocess.run(
            [sys.executable, "-c", program, self.address], capture_output=True, text=True, timeout=PATIENCE
        )
        return int(answer.stdout.split()[-1]) if answer.returncode == 0 and answer.stdout.strip() else 0

    @staticmethod
    def tasks(node: "subprocess.Popen[bytes]") -> list[psutil.Process]:
        """The node's processes that carry out a job at this moment."""
        found = []
        for process in psutil.Process(node.pid).children(recursive=True):
            try:
                if "_carry_out" in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill(self, node: "subprocess.Popen[bytes]") -> None:
        """SIGKILL to the raylet first, then to whatever it had started."""
        family = psutil.Process(node.pid).children(recursive=True)
        family.sort(key=lambda process: "raylet" not in process.name())
        for process in [*family, psutil.Process(node.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()
        self._nodes.remove(node)

    def stop(self) -> None:
        for node in reversed(self._nodes[:]):
            if node.poll() is None:
                self.kill(node)
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def second(cluster: Cluster) -> "subprocess.Popen[bytes]":
    return cluster.start()


@pytest.fixture
def engine(cluster: Cluster, second: Any, tmp_path: Path) -> Iterator[RayEngine]:
    made = RayEngine(cluster.address, None, tmp_path / "shared", [tmp_path])
    yield made
    made.close()


def subset(source: Path, out: Path, hours: float = 0.0001) -> Order:
    return Order("subset", "subset", {"hours": hours, "seed": 0}, {"source": (str(source),)}, out)


def test_jobs_come_back_with_their_costs_and_mistakes_as_themselves(
    engine: RayEngine, tmp_path: Path, toy: Any
) -> None:
    toy.write_data(tmp_path / "data")
    (tmp_path / "torn.jsonl").write_text('{"id": \n')
    sources = [tmp_path / "data" / f"{name}-transcribe-train.jsonl" for name in ("es", "fr")]
    good = [engine.submit(subset(source, tmp_path / source.stem / "output")) for source in sources]
    bad = engine.submit(subset(tmp_path / "torn.jsonl", tmp_path / "torn" / "output"))
    assert engine.capacity == 2
    for source, answer in zip(sources, good, strict=True):
        assert answer.result(PATIENCE)["seconds"] >= 0
        made = (tmp_path / source.stem / "output" / "train.jsonl").read_text().splitlines()
        assert len(made) == 1 and f'"{source.stem[:2]}-train-' in made[0]
    with pytest.raises(UsageError, match=r"torn\.jsonl:1: ") as caught:
        bad.result(PATIENCE)
    assert type(caught.value) is UsageError
    assert "torn.jsonl:1" in (tmp_path / "torn" / "log.txt").read_text()


def test_a_job_whose_node_does_not_see_the_data(engine: RayEngine, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("lors.study.jobs.engine_ray.SECONDS_UNTIL_SEEN", 0)
    with pytest.raises(
        UsageError, match=r"^the Ray node \S+ \(.*\) does not see .*/elsewhere/base; all machines "
    ):
        RayEngine("auto", None, tmp_path / "shared", [tmp_path / "elsewhere" / "base"])


def test_local_ray_and_ray_with_a_dead_node_give_the_same_tables(
    cluster: Cluster,
    second: "subprocess.Popen[bytes]",
    make_toy: Callable[..., Path],
    toy: Any,
    tmp_path: Path,
) -> None:
    study = make_toy(tmp_path)
    runs: dict[str, subprocess.Popen[str]] = {}

    def start(out: str, *options: str) -> None:
        command = [sys.executable, "-m", "lors", "study", "study.yaml", "--out", out, *options]
        runs[out] = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )

    def finish(out: str) -> str:
        printed, errors = runs[out].communicate(timeout=PATIENCE)
        assert runs[out].returncode == 0, errors
        assert "raylet" not in printed + errors and "WARNING" not in errors
        return printed.replace(f"{out}/report.html", "")

    start("unbroken", "--engine", "ray", "--address", cluster.address)
    printed = finish("unbroken")
    start("broken", "--engine", "ray", "--address", cluster.address)
    until(lambda: cluster.tasks(second) or runs["broken"].poll() is not None, "no job on the second node")
    assert runs["broken"].poll() is None
    cluster.kill(second)
    assert finish("broken") == printed
    start("local")
    assert finish("local") == printed
    tables = toy.told(tmp_path / "local")
    assert any(name.endswith(".csv") for name in tables)
    for out in ("unbroken", "broken"):
        assert toy.told(tmp_path / out) == tables
        assert toy.scores(study, tmp_path / out) == toy.scores(study, tmp_path / "local")


def test_a_node_with_another_version(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "lors").mkdir()
    (tmp_path / "lors" / "__init__.py").touch()
    (tmp_path / "lors" / "version.py").write_text('__version__ = "0.0.0"\n')
    node = cluster.start(PYTHONPATH=str(tmp_path))
    try:
        with pytest.raises(UsageError, match=r"^the Ray node .* has lors 0\.0\.0, and this machine "):
            RayEngine(cluster.address, None, tmp_path / "shared")
    finally:
        cluster.kill(node)
    assert not list((tmp_path / "shared").iterdir())


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nowhere", "expected HOST:PORT"),
        ("ray://127.0.0.1:10001", "expected HOST:PORT"),
        ("127.0.0.1:1", "no Ray cluster answers there"),
    ],
)
def test_addresses_that_are_wrong(tmp_path: Path, address: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"^--address {address}: {told}"):
        RayEngine(address, None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_job_asks_for() -> None:
    small, large = {"CPU": 4.0, "memory": 8e9}, {"CPU": 16.0, "memory": 64e9}
    assert demand([small, large, {"memory": 1e9}], 4 << 30) == ({"num_cpus": 1, "memory": 4 << 30}, 1 + 14)
    assert demand([small], 20 << 30) == ({"num_cpus": 1, "memory": 8_000_000_000}, 1)
    assert demand([small, large], 0) == ({"num_cpus": 1}, 20)
    assert demand([small, {"CPU": 8.0, "GPU": 2.0}], 4 << 30) == ({"num_cpus": 1, "num_gpus": 1}, 2)
    assert demand([{"memory": 8e9}], 1)[1] == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a core")
def test_jobs_of_one_machine_get_different_cores() -> None:
    program = (
        "import os, sys; from lors.study.jobs.machine import one_core\n"
        "with one_core():\n    print(*os.sched_getaffinity(0), flush=True); sys.stdin.read()"
    )
    allowed = os.sched_getaffinity(0)
    others = []
    try:
        cores = []
        for _ in range(len(allowed) - 1):
            other = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            others.append(other)
            assert other.stdout is not None
            cores.append(int(other.stdout.readline()))
        with one_core():
            cores += os.sched_getaffinity(0)
            with one_core():  # none is left
                assert len(os.sched_getaffinity(0)) == 1
        assert sorted(cores) == sorted(allowed)
        assert os.sched_getaffinity(0) == allowed
    finally:
        for other in others:
            os.kill(other.pid, signal.SIGKILL)
            other.wait()
