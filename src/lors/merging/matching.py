"""Experts whose hidden units are put in the base's order before a merge."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json
from lors.checkpoints.dtypes import Array, as_array, float32_of
from lors.checkpoints.openai_pt import OpenAICheckpoint
from lors.checkpoints.read import Checkpoint
from lors.merging.methods.task_vectors import Float32Array
from lors.merging.rebasin import PermutationGroup, apply, groups, permutation


@dataclass(frozen=True)
class MatchedCheckpoint(Checkpoint):
    """An expert read with its units and heads in the order in which it lies closest to the base.

    The order of a group of units is found when one of its tensors is first read; from any thread.
    """

    expert: Checkpoint
    base: Checkpoint
    _group_of: dict[str, PermutationGroup] = field(repr=False, compare=False)
    _orders: dict[str, NDArray[np.intp]] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def read(self, name: str) -> torch.Tensor:
        """The tensor `name` in the base's order of units, float32 where it belongs to a group.

        Raises:
            LorsError: a tensor that decides on the order holds a NaN or an infinity.
        """
        group = self._group_of.get(name)
        if group is None:
            return self.expert.read(name)
        with self._lock:
            if group.name not in self._orders:
                self._orders[group.name] = permutation(
                    group, _finite_reader(self.base), _finite_reader(self.expert)
                )
        return torch.from_numpy(apply(group, name, _reader(self.expert)(name), self._orders[group.name]))

    def array(self, name: str) -> Array:
        """What `read` gives, for numpy."""
        return as_array(self.read(name))

    @property
    def builds_tensors(self) -> bool:
        """True: tensors are put in order in memory."""
        return True

    def files(self) -> list[Path]:
        """The expert's weight files."""
        return self.expert.files()

    def sha256(self) -> str:
        """The expert's digest: the order follows from its weights and the base's."""
        return self.expert.sha256()


def match_units(base: Checkpoint, experts: tuple[Checkpoint, ...]) -> tuple[Checkpoint, ...]:
    """The experts with their units in the base's order (Git Re-Basin, arXiv:2209.04836; see `rebasin`).

    Raises:
        UsageError: the base is no Whisper in transformers' names, or its configuration lacks the numbers of heads.
    """
    shapes = {name: info.shape for name, info in base.tensors.items()}
    try:
        found = groups(shapes, _head_widths(base))
    except ValueError as error:
        raise UsageError(f"{base.directory}: align: its units cannot be matched: {error}.") from None
    if not found:
        raise UsageError(
            f"{base.directory}: align: no feed-forward or attention in Whisper's names is in it."
        )
    group_of = {name: group for group in found for name in group.axes}
    return tuple(
        MatchedCheckpoint(expert.directory, expert.tensors, {}, expert, base, group_of) for expert in experts
    )


def _head_widths(base: Checkpoint) -> dict[str, int]:
    if isinstance(base, OpenAICheckpoint):
        dims = base.dims
        return {
            "encoder": dims["n_audio_state"] // dims["n_audio_head"],
            "decoder": dims["n_text_state"] // dims["n_text_head"],
        }
    path = base.directory / "config.json"
    config = read_json(path)
    try:
        return {part: int(config["d_model"]) // int(config[f"{part}_attention_heads"]) for part in _PARTS}
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise UsageError(
            f"{path}: align needs d_model, encoder_attention_heads and decoder_attention_heads in it."
        ) from None


_PARTS = ("encoder", "decoder")


def _reader(model: Checkpoint) -> Callable[[str], Float32Array]:
    return lambda name: float32_of(model.array(name))


def _finite_reader(model: Checkpoint) -> Callable[[str], Float32Array]:
    def read(name: str) -> Float32Array:
        tensor = _reader(model)(name)
        if not np.isfinite(tensor).all():
            raise LorsError(
                f"{model.tensors[name].file}: the tensor '{name}' holds a NaN or an infinity; its training "
                "has diverged, or the file is damaged."
            )
        return tensor

    return read
