"""Several processes that train one model, as torchrun starts them: who am I, who speaks, who has which clips."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import distributed
from torch.utils.data import DataLoader, Dataset, Sampler

from lors.speech.training_data import IGNORED, Clip

if TYPE_CHECKING:
    from lors.speech.training_data import EpochShuffle

_SECONDS_FOR_THE_FIRST_TO_SPEAK = 10.0

_NOTHING = -1
"""The index of a clip that is silent and has no label to learn."""


def processes() -> int:
    """How many train together: 1, but for what torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0


@contextmanager
def one_voice() -> Iterator[None]:
    """Silence all processes but the first.

    Most errors meet all of them. torchrun ends the others as soon as one has ended, so they wait before they end in
    an error: the first can say its sentence, and what only another has met is said still.
    """
    if not rank():
        yield
        return
    try:
        with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
            yield
    except Exception:
        time.sleep(_SECONDS_FOR_THE_FIRST_TO_SPEAK)
        raise


@contextmanager
def together(device: str) -> Iterator[None]:
    """The processes find each other, over NCCL on GPUs and gloo on CPUs; a process that is alone does nothing."""
    if processes() == 1:
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    yield
    distributed.destroy_process_group()


def wait_for_all() -> None:
    """Go on once every process is here."""
    if processes() > 1:
        distributed.barrier()


def of_all(value: Any) -> list[Any]:
    """What each process gives, by rank."""
    if processes() == 1:
        return [value]
    found: list[Any] = [None] * processes()
    distributed.all_gather_object(found, value)
    return found


class SharedBatches(Sampler[list[int]]):
    """Each batch of one process's order, divided among the processes: together they take the very same clips.

    A last batch that is too small for all leaves some with a clip that counts for nothing, for all must take
    each step.

    Args:
        order: of the clips; it has `set_epoch`.
        batch_size: clips of all processes together.
    """

    def __init__(
        self, order: "EpochShuffle | Sampler[int]", batch_size: int, rank: int, processes: int
    ) -> None:
        self._order = order
        self._batch_size = batch_size
        self._rank = rank
        self._processes = processes

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self._order.set_epoch(epoch)  # type: ignore[union-attr]

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self._order)
        for start in range(0, len(order), self._batch_size):
            share = order[start : start + self._batch_size][self._rank :: self._processes]
            yield share or [_NOTHING]


class OrNothing(Dataset[Clip]):
    """A data set with one clip more, at index -1, that counts for nothing."""

    def __init__(self, clips: Dataset[Clip]) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Clip:
        if index == _NOTHING:
            return {"audio": np.zeros(160, np.float32), "labels": (IGNORED,), "group": ""}
        return self._clips[index]


class SharedLoader(DataLoader[Any]):
    """A DataLoader of `SharedBatches` that passes the epoch on."""

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        batches: Any = self.batch_sampler
        batches.set_epoch(epoch)


def share(items: Sequence[Any]) -> Sequence[Any]:
    """Every so-manieth of `items`, this process's part of them."""
    return items[rank() :: processes()]
