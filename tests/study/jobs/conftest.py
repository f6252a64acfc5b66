"""A SLURM cluster of this machine alone, for tests of the study on a real one."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
_CONFIGURATION = """
ClusterName=lors
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{second}] CPUs={cores} RealMemory=6000
PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP
"""


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """The environment in which SLURM's commands reach a cluster of two nodes, which ends with the tests."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    absent = [command for command in _COMMANDS if shutil.which(command, path=path) is None]
    if absent:
        pytest.skip(
            f"no SLURM is installed here (without {', '.join(absent)}): apt-get install slurm-wlm munge"
        )
    if os.getuid() != 0:
        pytest.skip("a SLURM of this machine alone is started by root only")
    folder = Path(tempfile.mkdtemp(prefix="lors-slurm-", dir="/tmp"))  # sockets' paths must be short
    (folder / "state").mkdir()
    folder.chmod(0o755)
    ports = _free_ports()
    (folder / "slurm.conf").write_text(
        _CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname(),
            controller=ports,
            first=ports + 1,
            second=ports + 2,
            cores=os.cpu_count(),
        )
    )
    (folder / "munge.key").write_bytes(os.urandom(64))
    (folder / "munge.key").chmod(0o600)
    environment = {**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    daemons = [
        [
            "munged",
            "--foreground",
            "--force",
            *(f"--{flag}={folder}/munge.{end}" for flag, end in munge.items()),
        ],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", "n1"],
        ["slurmd", "-D", "-N", "n2"],
    ]
    running = []
    try:
        for number, command in enumerate(daemons):
            with (folder / f"{number}.log").open("wb") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
            if command[0] == "munged":
                _until(lambda: (folder / "munge.socket").exists(), running, folder)
        _until(lambda: _idle(environment) == 2, running, folder)
        yield environment
    finally:
        for daemon in reversed(running):
            daemon.terminate()
            daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _idle(environment: dict[str, str]) -> int:
    shown = subprocess.run(
        ["sinfo", "--noheader", "--states=idle", "--format=%D"],
        capture_output=True,
        text=True,
        env=environment,
    )
    return int(shown.stdout or 0) if shown.returncode == 0 else 0


def _until(holds: Callable[[], bool], daemons: "list[subprocess.Popen[bytes]]", folder: Path) -> None:
    end = time.monotonic() + 60
    while not holds():
        if time.monotonic() > end or any(daemon.poll() is not None for daemon in daemons):
            told = "\n".join(path.read_text()[-300:] for path in sorted(folder.glob("*.log")))
            pytest.skip(f"SLURM is installed here, and cannot be started: {told}")
        time.sleep(0.2)


def _free_ports() -> int:
    """The first of three that are free."""
    while True:
        with socket.socket() as first, socket.socket() as second, socket.socket() as third:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
                third.bind(("127.0.0.1", port + 2))
            except (OSError, OverflowError):
                continue
            return port
