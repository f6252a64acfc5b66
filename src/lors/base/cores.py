"""The processor cores that this process may use."""

import os


def usable_cores() -> int:
    """How many: as the scheduler or a container allows, else all of the machine; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
