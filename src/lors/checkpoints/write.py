"""Write a checkpoint: tensors in any order from any thread, and the files that go beside them."""

import json
import os
import shutil
import threading
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from lors.checkpoints.dtypes import STORED, Array, as_array, dtype_name, layout_rank

if TYPE_CHECKING:
    import torch

_WEIGHT_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".ot"}
_NOT_OF_THE_MODEL = {"README.md", "merge.json", "finetune.json", "trainer_state.json", "learning-rate.png"}


class TensorWriter:
    """Writes one safetensors file whose tensors are known beforehand by dtype and shape.

    The header is written first, so that each tensor has its place and may come in any order and from any
    thread; the same tensors and metadata give the same bytes, those that safetensors itself writes.

        with TensorWriter(path, {"weight": ("F32", (3, 4))}, {}) as writer:
            writer.write("weight", torch.zeros(3, 4))

    Args:
        path: the file to make; FileExistsError if it is there.
        infos: for each tensor its safetensors dtype name ("F32", "F16", "BF16" …) and shape.
        metadata: texts for the header; `format: pt` is added.

    Raises:
        OSError: the disk refuses (full, read-only); what was written so far stays for the caller to remove.
        ValueError: a dtype unknown here; a tensor unknown, written twice, or of another dtype or shape.
        RuntimeError: the block ended well, but not every tensor was written.
    """

    def __init__(
        self, path: Path, infos: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]
    ) -> None:
        for name, (dtype, _) in infos.items():
            if dtype not in STORED:
                raise ValueError(f"tensor '{name}': unknown dtype '{dtype}'")
        self._path = Path(path)
        self._infos = dict(infos)
        self._missing = {name: prod(shape) for name, (_, shape) in infos.items()}
        self._begun: set[str] = set()
        self._lock = threading.Lock()
        header, self._offsets = _header(infos, {**metadata, "format": "pt"})
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            self._write_at(0, memoryview(header))
        except OSError:
            os.close(self._descriptor)
            raise

    def write(self, name: str, tensor: "torch.Tensor | Array") -> None:
        """Write the tensor `name` at its place; callable from any thread, once for each tensor."""
        dtype, shape = self._info(name)
        if not _is_in(dtype, tensor) or tuple(tensor.shape) != shape:
            raise ValueError(f"tensor '{name}': is {_described(tensor)}, expected {dtype} {shape}")
        with self._lock:
            if name in self._begun:
                raise ValueError(f"tensor '{name}': written twice")
        entries = tensor if isinstance(tensor, np.ndarray) else as_array(tensor.detach().to("cpu"))
        self.write_part(name, 0, entries.reshape(-1))

    def write_part(self, name: str, start: int, entries: Array) -> None:
        """Write flat entries of the tensor `name`, from the index `start` on; each entry once, in any order."""
        dtype, shape = self._info(name)
        count = prod(shape)
        if not _is_in(dtype, entries) or entries.ndim != 1 or not 0 <= start <= count - len(entries):
            raise ValueError(
                f"tensor '{name}': no place for {_described(entries)} from {start} on, expected {count} entries "
                f"of {dtype}"
            )
        with self._lock:
            self._begun.add(name)
            if self._missing[name] < len(entries):
                raise ValueError(f"tensor '{name}': written twice")
            self._missing[name] -= len(entries)
        if len(entries):
            offset = self._offsets[name] + start * STORED[dtype].itemsize
            self._write_at(offset, np.ascontiguousarray(entries).view(np.uint8).data)

    def _info(self, name: str) -> tuple[str, tuple[int, ...]]:
        if name not in self._infos:
            raise ValueError(f"{self._path}: no tensor '{name}' was announced")
        return self._infos[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                missing = sorted(
                    name for name, left in self._missing.items() if left or name not in self._begun
                )
                if missing:
                    raise RuntimeError(f"{self._path}: never written: {', '.join(missing[:5])}")
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)

    def _write_at(self, offset: int, data: memoryview) -> None:
        while data:
            try:
                written = os.pwrite(self._descriptor, data, offset)
            except OSError as error:
                error.filename = str(self._path)  # the system names no file where it knows a descriptor
                raise
            offset += written
            data = data[written:]


def _is_in(dtype: str, entries: "torch.Tensor | Array") -> bool:
    if isinstance(entries, np.ndarray):
        return entries.dtype == STORED[dtype]
    return dtype_name(entries.dtype) == dtype


def _described(entries: "torch.Tensor | Array") -> str:
    dtype = entries.dtype if isinstance(entries, np.ndarray) else dtype_name(entries.dtype)
    return f"{dtype} {tuple(entries.shape)}"


def copy_side_files(source: Path, destination: Path) -> None:
    """Copy what makes weights a model (configuration, tokenizer, processor …) from one directory to another.

    Left out: weights in any format and their indexes, sub-folders, hidden files, what a training left
    (`training_args`, `optimizer`, `scheduler`, `trainer_state` …), `README.md`, `merge.json` and
    `finetune.json`.
    """
    for path in sorted(Path(source).iterdir()):
        if path.is_file() and _is_side_file(path.name):
            shutil.copyfile(path, Path(destination) / path.name)


def _is_side_file(name: str) -> bool:
    return not (
        name.startswith((".", "training_args", "optimizer", "scheduler", "rng_state", "events.out."))
        or Path(name).suffix in _WEIGHT_SUFFIXES
        or name.endswith(".index.json")
        or name in _NOT_OF_THE_MODEL
    )


def _header(
    infos: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]
) -> tuple[bytes, dict[str, int]]:
    """The file's first bytes, and each tensor's absolute offset.

    Wide formats come first, so that every tensor starts at a multiple of its own item size.
    """
    entries: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    starts = {}
    end = 0
    for name in sorted(infos, key=lambda name: (layout_rank(infos[name][0]), name)):
        dtype, shape = infos[name]
        starts[name] = end
        end += prod(shape) * STORED[dtype].itemsize
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [starts[name], end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + start for name, start in starts.items()}
