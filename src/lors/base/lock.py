"""One process at a time, where several may want the same file of the cache folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lors.base.progress import say

try:
    import fcntl
except ImportError:  # no such locks on this system; two processes may then do the same work twice
    fcntl = None  # type: ignore[assignment]


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock that goes with `path` (`.NAME.lock` beside it); wait while another process holds it.

    The system releases it when its holder ends, however that happens. The empty lock file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.parent / f".{path.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _acquire(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"Waiting for another process that is making {path.name}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:  # some network disks know no locks
        return
