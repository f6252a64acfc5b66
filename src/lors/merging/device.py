"""Where decompositions are computed: on the processor, or on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lors.base.errors import UsageError

if TYPE_CHECKING:
    import torch

_gpu: "torch.device | None" = None


def check_device(name: str) -> "torch.device | None":
    """The GPU called `name`, "cuda" or "cuda:1"; None for "cpu", the processor.

    Raises:
        UsageError: another kind of device, or one that this machine does not have.
    """
    if name == "cpu":
        return None
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device '{name}': expected cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device '{name}': merging needs double precision; use cpu or cuda.")
    if device.type == "cpu":
        return None
    if (device.index or 0) >= torch.cuda.device_count():
        found = f"{torch.cuda.device_count()} CUDA devices" if torch.cuda.is_available() else "no CUDA device"
        raise UsageError(f"device '{name}': this machine has {found}; use --device cpu.")
    return device


@contextmanager
def computing_on(gpu: "torch.device | None") -> Iterator[None]:
    """Let all threads compute decompositions on `gpu`, None for the processor, for as long as the block lasts."""
    global _gpu
    before, _gpu = _gpu, gpu
    try:
        yield
    finally:
        _gpu = before


def is_on_gpu() -> bool:
    """Whether decompositions are to be computed on a GPU."""
    return _gpu is not None


def right_singular_vectors(
    tall: NDArray[np.float32] | NDArray[np.float64], rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first `rank` right singular vectors V (k×rank) of W (d×k, d ≥ k), and W·V, on the current device.

    From the eigenvectors of WᵀW, all in double precision.
    """
    import torch

    on_device = torch.from_numpy(np.ascontiguousarray(tall)).to(_gpu or "cpu", torch.float64)
    _, vectors = torch.linalg.eigh(on_device.T @ on_device)
    inner = vectors[:, -rank:].flip(1)
    return inner.cpu().numpy(), (on_device @ inner).cpu().numpy()
