"""The energy that a job used, where the processor counts it (RAPL, on Linux)."""

import os
from pathlib import Path

_POWERCAP, _STAT = Path("/sys/class/powercap"), Path("/proc/stat")
_WAITING = (3, 4)
"""Columns of /proc/stat: idle, and waiting for a disk."""
_GUESTS = 8
"""Columns from here on are counted in others already."""


class EnergyMeter:
    """Counts from its making. Of what the whole machine used, a job has the share of its processor seconds."""

    def __init__(self, powercap: Path = _POWERCAP, stat: Path = _STAT) -> None:
        self._powercap, self._stat = powercap, stat
        self._before, self._busy = _counters(powercap), _busy_seconds(stat)

    def joules(self, processor_seconds: float) -> float | None:
        """The energy of so many processor seconds since the start; None where the machine does not tell.

        Graphics processors and other parts of the machine are not in it.
        """
        after, busy = _counters(self._powercap), _busy_seconds(self._stat)
        if not self._before or self._before.keys() != after.keys() or busy is None or self._busy is None:
            return None
        used = sum((count - self._before[name][0]) % wraps for name, (count, wraps) in after.items()) / 1e6
        share = min(1.0, processor_seconds / max(busy - self._busy, processor_seconds, 1e-9))
        return round(used * share, 1)


def _counters(powercap: Path) -> dict[str, tuple[int, int]]:
    """Of each processor package: microjoules so far, and where the count starts again."""
    found = {}
    for package in sorted(powercap.glob("intel-rapl:[0-9]*")):
        if package.name.count(":") > 1:  # a part of a package, counted in it
            continue
        try:
            count, most = (int((package / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
        except (OSError, ValueError):  # readable by root alone on many systems
            return {}
        found[package.name] = count, most + 1
    return found


def _busy_seconds(stat: Path) -> float | None:
    """Processor seconds that all programs together have used."""
    try:
        columns = [int(text) for text in stat.read_text().split("\n", 1)[0].split()[1:]]
    except (OSError, ValueError):
        return None
    busy = sum(count for place, count in enumerate(columns[:_GUESTS]) if place not in _WAITING)
    return busy / float(os.sysconf("SC_CLK_TCK"))
