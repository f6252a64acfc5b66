"""What every machine of a cluster must have and see before it does a job, and the one core that a job gets there."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lors.version import __version__

SECONDS_UNTIL_SEEN = 20
"""How long a network disk may hide from one machine what another has just written."""

Look = Callable[[Path, str, Sequence[str], float], tuple[str | None, str | None]]


def look_around() -> Look:
    """A function that is sent as a whole: a machine without LoRS can carry it out and say so."""

    def look(
        token: Path, secret: str, needed: Sequence[str], patience: float
    ) -> tuple[str | None, str | None]:
        """The version of LoRS here, and the first path that this machine does not see; None for neither."""
        import importlib
        import time

        try:
            version = str(importlib.import_module("lors.version").__version__)
        except ImportError:
            version = None
        end = time.monotonic() + patience
        while True:
            missing = next((path for path in needed if not os.path.exists(path)), None)  # noqa: PTH110
            try:
                if token.read_text(encoding="utf-8") != secret:
                    missing = str(token.parent)
            except OSError:
                missing = str(token.parent)
            if missing is None or time.monotonic() > end:
                return version, missing
            time.sleep(0.2)

    return look


def lacking(name: str, version: str | None, missing: str | None) -> str | None:
    """What the machine called `name` lacks for doing jobs, in a sentence; of what `look_around` found there."""
    if version is None:
        return f"{name} has no LoRS; install lors {__version__} there, in the Python that runs its jobs."
    if version != __version__:
        return f"{name} has lors {version}, and this machine {__version__}; install the same on all."
    if missing is not None:
        return (
            f"{name} does not see {missing}; all machines of the cluster must see the study's folder, its data and "
            "its base model at the same paths."
        )
    return None


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread, and those that it starts, on one core that no other job of this machine has.

    Programs size their thread pools by the cores that they may use, and Ray and some SLURM clusters limit none.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = sorted(os.sched_getaffinity(0))
    with ExitStack() as held:
        chosen = allowed[os.getpid() % len(allowed)]  # where all are taken
        for core in allowed:
            # A name without a file, which is free again when its process ends, however that happens.
            mark = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            try:
                mark.bind(f"\0lors core {core}")
            except OSError:
                continue
            chosen = core
            break
        os.sched_setaffinity(0, {chosen})
        try:
            yield
        finally:
            os.sched_setaffinity(0, allowed)
