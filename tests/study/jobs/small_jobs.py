"""What the tests of several engines share: a small job, whether a worker is at it, and waiting for something."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lors.study.jobs.worker import Order

PATIENCE = 240
LINE = (
    '{"id": "1", "audio_filepath": "1.wav", "duration": 2.0, "text": "uno", "source_lang": "es", '
    '"target_lang": "es"}\n'
)


def until(holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    end = time.monotonic() + patience
    while not (found := holds()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def subset(source: Path, out: Path) -> Order:
    return Order("subset", "subset", {"hours": 0.0001, "seed": 0}, {"source": (str(source),)}, out)


def waits(order: Order) -> bool:
    """Whether a worker has begun the job, and waits for the lock that the test holds."""
    log = order.out.parent / "log.txt"
    return log.exists() and "Waiting for another process" in log.read_text()
