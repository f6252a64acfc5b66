"""What runs in a SLURM job: a study's jobs from a folder, one after another."""

import os
import platform
import signal
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json, write_json
from lors.study.jobs.machine import SECONDS_UNTIL_SEEN, lacking, look_around, one_core
from lors.study.jobs.worker import Order, carry_out

ALIVE = "alive"
"""File that the study touches as long as it lives; it holds its folder's name."""

BEGUN = "begun"
SECONDS_BETWEEN_LOOKS = 1.0


def work(folder: Path, idle: float, silence: float) -> None:
    """Do whatever is laid out in the folder: `NUMBER.order` becomes `NUMBER.WORKER`, then `NUMBER.answer`.

    Args:
        folder: the study's, for this call of it.
        idle: seconds without work after which this ends.
        silence: seconds without a sign of the study after which this process ends, whatever it does.
    """
    import submitit

    # submitit ignores what SLURM sends first, which kills half a minute later.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_study, args=(folder / ALIVE, silence), daemon=True).start()
    me = submitit.JobEnvironment().job_id
    (folder / f"{me}.{BEGUN}").touch()
    rested = time.monotonic()
    while time.monotonic() < rested + idle:
        taken = _take(folder, me)
        if taken is None:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            continue
        write_json(taken.with_suffix(".answer"), _carry_out(taken, folder))
        taken.unlink()
        rested = time.monotonic()


def folder_now(folder: Path) -> Path:
    """The folder, made to be read anew: a network disk may show it as it was a minute ago unless it is written to."""
    with suppress(PermissionError):
        folder.chmod(folder.stat().st_mode)
    return folder


def _take(folder: Path, me: str) -> Path | None:
    """Make an order one's own by its name, which only one can; None where there is none."""
    for path in sorted(folder_now(folder).glob("*.order")):
        taken = path.with_suffix(f".{me}")
        with suppress(FileNotFoundError):  # NFS may also say so of what it did
            path.rename(taken)
        if taken.exists():
            return taken
    return None


def _carry_out(taken: Path, folder: Path) -> dict[str, Any]:
    """Do the job: {"cost": …}, or {"error": why, "usage": whether it is of no use to try again}."""
    found = read_json(taken)
    inputs = {role: tuple(paths) for role, paths in found["inputs"].items()}
    order = Order(**{**found, "inputs": inputs, "out": Path(found["out"])})
    needed = [path for paths in inputs.values() for path in paths]
    seen = look_around()(folder / ALIVE, folder.name, needed, SECONDS_UNTIL_SEEN)
    if lack := lacking(f"the SLURM node {platform.node()}", *seen):
        return {"error": lack, "usage": False}
    several = os.environ.get("CUDA_VISIBLE_DEVICES") or os.environ.get("SLURM_CPUS_PER_TASK", "1") != "1"
    try:
        with nullcontext() if several else one_core():
            return {"cost": carry_out(order)}
    except LorsError as error:
        return {"error": str(error), "usage": isinstance(error, UsageError)}


def _end_with_study(alive: Path, silence: float) -> None:
    seen, since = 0, time.monotonic()
    while time.monotonic() < since + silence:
        try:
            touched = alive.stat().st_mtime_ns
        except FileNotFoundError:
            break
        except OSError:  # of a network disk
            touched = seen
        if touched != seen:
            seen, since = touched, time.monotonic()
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)
