"""One job carried out on the machine that it was sent to: logged, measured, its mistakes told in a sentence."""

import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors.base.errors import LorsError
from lors.base.files import describe_os_error
from lors.base.lock import exclusive
from lors.base.progress import say
from lors.study.jobs.energy import EnergyMeter
from lors.study.jobs.kinds import do_job

LOG = "log.txt"


@dataclass(frozen=True)
class Order:
    """A job as it is sent to a worker.

    Attributes:
        title: for people.
        kind, parameters: see `lors.study.jobs.job.Job`.
        inputs: role → where its models and files are.
        out: what to make.
    """

    title: str
    kind: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, tuple[str, ...]]
    out: Path


def carry_out(order: Order) -> dict[str, Any]:
    """Do the job; everything that it prints goes to `log.txt` beside its output.

    Returns:
        What it cost since it was last begun: "seconds", "processor_seconds", "energy" (joules or None),
        "machine".

    Raises:
        LorsError: it failed, for a reason that the message tells.
    """
    folder = order.out.parent
    start, before, meter = time.monotonic(), _processor_seconds(), EnergyMeter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A machine that was given up may still be at the same job for a moment: it ends, or lets go, first.
        with _printing_to(folder / LOG), exclusive(folder / "job"):
            _told(order, folder / LOG)
    except OSError as error:
        raise LorsError(describe_os_error(error)) from None
    used = _processor_seconds() - before
    return {
        "seconds": round(time.monotonic() - start, 3),
        "processor_seconds": round(used, 3),
        "energy": meter.joules(used),
        "machine": platform.node(),
    }


def _told(order: Order, log: Path) -> None:
    """Do the job; print what goes wrong, all of it."""
    try:
        do_job(order.kind, order.parameters, order.inputs, order.out)
    except LorsError as error:
        say(f"failed: {error}")
        raise
    except OSError:
        traceback.print_exc()
        raise
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        raise LorsError(f"{text} (all of it in {log}).") from None


def _processor_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


@contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """Send standard output and error of this process, and of what it starts, to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, file):
            os.close(descriptor)
