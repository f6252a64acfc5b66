"""The weights of a checkpoint directory: one file, or shards of a given size with their index."""

from collections.abc import Mapping
from contextlib import ExitStack
from math import prod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lors.base.files import write_json
from lors.checkpoints.dtypes import STORED, Array
from lors.checkpoints.read import INDEX, WEIGHTS
from lors.checkpoints.write import TensorWriter

if TYPE_CHECKING:
    import torch

Layout = Mapping[str, tuple[str, tuple[int, ...]]]
"""For each tensor its safetensors dtype name and shape."""


def shards_of(layout: Layout, shard_bytes: int | None) -> dict[str, list[str]]:
    """File name → the tensors it holds, in order of their names, as the Hub's libraries cut shards.

    Args:
        layout: of all tensors.
        shard_bytes: most bytes of tensors in a file (a larger tensor has one of its own); None for one file.
    """
    groups: list[list[str]] = [[]]
    size = 0
    for name in sorted(layout):
        dtype, shape = layout[name]
        nbytes = prod(shape) * STORED[dtype].itemsize
        if shard_bytes is not None and groups[-1] and size + nbytes > shard_bytes:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += nbytes
    if len(groups) == 1:
        return {WEIGHTS: groups[0]}
    stem = WEIGHTS.removesuffix(".safetensors")
    return {
        f"{stem}-{number:05d}-of-{len(groups):05d}.safetensors": names
        for number, names in enumerate(groups, start=1)
    }


class WeightsWriter:
    """Writes the weights of a checkpoint; tensors, or parts of them, in any order and from any thread.

    Args:
        directory: where to write; it exists and holds no weights.
        layout: of all tensors.
        metadata: texts for the header of each file.
        shard_bytes: as `shards_of` takes it.

    Raises:
        OSError, ValueError, RuntimeError: as TensorWriter.
    """

    def __init__(
        self, directory: Path, layout: Layout, metadata: Mapping[str, str], shard_bytes: int | None = None
    ) -> None:
        self._directory, self._layout = directory, layout
        self._shards = shards_of(layout, shard_bytes)
        self._metadata = metadata
        self._stack = ExitStack()
        self._writer_of: dict[str, TensorWriter] = {}

    def write(self, name: str, tensor: "torch.Tensor | Array") -> None:
        """Write a whole tensor."""
        self._writer_of[name].write(name, tensor)

    def write_part(self, name: str, start: int, entries: Array) -> None:
        """Write flat entries of a tensor, from the index `start` on."""
        self._writer_of[name].write_part(name, start, entries)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for file, names in self._shards.items():
                infos = {name: self._layout[name] for name in names}
                writer = stack.enter_context(TensorWriter(self._directory / file, infos, self._metadata))
                self._writer_of.update(dict.fromkeys(names, writer))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None and len(self._shards) > 1:
            total = sum(prod(shape) * STORED[dtype].itemsize for dtype, shape in self._layout.values())
            placed = {name: file for file, names in self._shards.items() for name in names}
            write_json(
                self._directory / INDEX,
                {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))},
            )
