"""How much memory is free here: of the machine, within a container's limit, of the GPU."""

import os
from pathlib import Path

_LEAST = 1 << 28


def default_memory(gpu: bool = False) -> int:
    """Half of the memory that is free, in bytes, rounded down to a power of two; at least 256 MiB.

    The other half is for the weights and for everyone else. Rounded, it seldom differs between two runs: the
    same memory gives the same batches.
    """
    free = _free_on_gpu() if gpu else _free()
    return max(_LEAST, 1 << (max(free // 2, 1).bit_length() - 1))


def _free() -> int:
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    for line in _lines(Path("/proc/self/cgroup")):
        if line.startswith("0::"):  # version 2, the only one that systems of today have
            free += _free_in_group(Path("/sys/fs/cgroup") / line[3:].strip().lstrip("/"))
    return min(free)


def _free_in_group(group: Path) -> list[int]:
    limit, used = ("".join(_lines(group / f"memory.{name}")).strip() for name in ("max", "current"))
    if not (limit.isdigit() and used.isdigit()):
        return []
    cached = [
        int(line.split()[1]) for line in _lines(group / "memory.stat") if line.startswith("inactive_file ")
    ]
    return [max(0, int(limit) - int(used) + sum(cached))]


def _free_on_gpu() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else _free()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
