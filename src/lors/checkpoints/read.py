"""Read a checkpoint directory lazily: headers when it is opened, a tensor's bytes when it is asked for."""

import hashlib
import json
import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from lors.base.digests import file_digest
from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json
from lors.checkpoints.dtypes import STORED, Array, as_tensor

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

# As safetensors itself allows; what asks for more is no header.
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class TensorInfo:
    """What the header says of one tensor."""

    dtype: str
    """Safetensors' name of the format: "F32", "F16", "BF16" …."""
    shape: tuple[int, ...]
    file: Path
    """The weight file that holds it."""
    nbytes: int
    start: int = 0
    """Where its bytes begin in a safetensors file."""


class Handle(Protocol):
    """An open weight file."""

    def get_tensor(self, name: str) -> "torch.Tensor":
        """The tensor `name`; KeyError where there is none."""

    def get_array(self, name: str) -> Array:
        """Its numbers."""


@dataclass(frozen=True)
class MappedFile:
    """A safetensors file in memory as it lies on the disk, private to this process."""

    tensors: Mapping[str, TensorInfo]
    _bytes: mmap.mmap = field(repr=False, compare=False)

    def get_tensor(self, name: str) -> "torch.Tensor":
        """The tensor `name`; KeyError where there is none."""
        return as_tensor(self.get_array(name), self.tensors[name].dtype)

    def get_array(self, name: str) -> Array:
        """Its numbers."""
        info = self.tensors[name]
        if info.dtype not in STORED:
            raise LorsError(f"{info.file}: the tensor '{name}' is in {info.dtype}, which LoRS does not read.")
        array: Array = np.ndarray(info.shape, STORED[info.dtype], self._bytes, info.start)
        # A header of odd length leaves them where no processor likes to look for numbers.
        return np.require(array, requirements="A")


@dataclass(frozen=True)
class Checkpoint:
    """A directory of safetensors weights, open for reading from any thread."""

    directory: Path
    tensors: dict[str, TensorInfo]
    """Every tensor, sorted by name."""
    _handles: Mapping[Path, Handle] = field(repr=False, compare=False)

    def read(self, name: str) -> "torch.Tensor":
        """The tensor `name` on the CPU, in its stored dtype; KeyError where there is none.

        Its memory is the file's own, mapped and private to this process: do not change it in place.
        """
        return self._handles[self.tensors[name].file].get_tensor(name)

    def array(self, name: str) -> Array:
        """What `read` gives, for numpy: for a safetensors file without PyTorch."""
        return self._handles[self.tensors[name].file].get_array(name)

    def change(self, name: str) -> "torch.Tensor | None":
        """What fine-tuning added to the tensor `name`, float32, where it is stored as such; None elsewhere."""
        return None

    @property
    def builds_tensors(self) -> bool:
        """Whether `read` computes tensors in memory, rather than mapping the file's own."""
        return False

    def files(self) -> list[Path]:
        """The weight files, sorted by name."""
        return sorted(self._handles)

    def sha256(self) -> str:
        """One digest over the weight files: of one file its own sha256, else of all names and digests."""
        return digest_of_files(self.files())


def open_checkpoint(directory: Path) -> Checkpoint:
    """Open the weights of a checkpoint directory: `model.safetensors`, or shards named by an index.

    Raises:
        UsageError: `directory` is no directory, or holds no safetensors weights.
        LorsError: a file is truncated or damaged, a shard is missing; the message names the file.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; expected a checkpoint directory with {WEIGHTS}.")
    tensors: dict[str, TensorInfo] = {}
    handles: dict[Path, Handle] = {}
    for path, wanted in weight_files(directory).items():
        found = read_header(path)
        if missing := sorted((wanted or set()) - found.keys()):
            raise LorsError(
                f"{path}: the tensor '{missing[0]}' that {INDEX} expects here is missing"
                f"{_and_more(missing)}; fetch the checkpoint again."
            )
        tensors.update((name, info) for name, info in found.items() if wanted is None or name in wanted)
        handles[path] = open_file(path, found)
    if not tensors:
        raise LorsError(f"{directory}: its weight files hold no tensor.")
    return Checkpoint(directory, dict(sorted(tensors.items())), handles)


def read_header(path: Path) -> dict[str, TensorInfo]:
    """The tensors that the header of one safetensors file lists, checked against the file's size.

    The layout: 8 bytes, the header's length (little endian); the header, JSON; the tensors' bytes.

    Raises:
        LorsError: the file cannot be read, is no safetensors file, or is truncated.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or 8 + length > size or length > _LONGEST_HEADER:
                raise LorsError(_damaged(path, f"{size:,} bytes cannot hold the header they announce", size))
            header = json.loads(file.read(length), object_pairs_hook=_each_once)
        header.pop("__metadata__", None)
        tensors = {
            name: TensorInfo(
                entry["dtype"],
                tuple(entry["shape"]),
                path,
                entry["data_offsets"][1] - entry["data_offsets"][0],
                8 + length + entry["data_offsets"][0],
            )
            for name, entry in header.items()
        }
        places = {name: tuple(entry["data_offsets"]) for name, entry in header.items()}
        end = 8 + length + max((stop for _, stop in places.values()), default=0)
        damage = "" if size < end else _contradiction(tensors, places)
    except FileNotFoundError:
        raise LorsError(f"{path}: no such file.") from None
    except _TwiceError as error:
        raise LorsError(_damaged(path, f"its header has '{error}' twice", size)) from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        raise LorsError(_damaged(path, "its header cannot be read", path.stat().st_size)) from None
    if size < end:
        raise LorsError(
            f"{path}: truncated: its header asks for {end:,} bytes and there are {size:,}; "
            "fetch or write it again."
        )
    if damage:
        raise LorsError(_damaged(path, damage, size))
    return tensors


def open_file(path: Path, tensors: Mapping[str, TensorInfo]) -> MappedFile:
    """Map a safetensors file whose header holds these `tensors`; LorsError where safetensors itself refuses it."""
    try:
        with safe_open(path, framework="np"), path.open("rb") as file:
            return MappedFile(tensors, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except (SafetensorError, OSError) as error:
        raise LorsError(
            f"{path}: not a readable safetensors file ({error}); fetch or write it again."
        ) from None


def digest_of_files(files: Iterable[Path]) -> str:
    """The sha256 of one file; of several, the sha256 of the lines "NAME SHA256" in the order given."""
    digests = [(path.name, file_digest(path)) for path in files]
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in digests).encode()).hexdigest()


def weight_files(directory: Path) -> dict[Path, set[str] | None]:
    """Each weight file of a checkpoint directory, with the tensors to take from it (None: all).

    Raises:
        UsageError: `directory` holds no safetensors weights.
        LorsError: the index is damaged, or a shard that it names is missing.
    """
    if (directory / WEIGHTS).is_file():
        return {directory / WEIGHTS: None}
    index = directory / INDEX
    if not index.is_file():
        raise UsageError(f"{directory}: holds neither {WEIGHTS} nor {INDEX}{_other_weights(directory)}.")
    content = read_json(index)
    placed = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(placed, dict) or not all(isinstance(shard, str) for shard in placed.values()):
        raise LorsError(f"{index}: has no 'weight_map' that names a file for each tensor.")
    files: dict[Path, set[str] | None] = {}
    for shard in sorted(set(placed.values())):
        if Path(shard).name != shard:
            raise LorsError(
                f"{index}: names the file '{shard}', expected a plain name in the same directory."
            )
        if not (directory / shard).is_file():
            raise LorsError(f"{directory / shard}: missing, though {INDEX} names it; fetch it again.")
        files[directory / shard] = {name for name, file in placed.items() if file == shard}
    return files


def _other_weights(directory: Path) -> str:
    if (directory / "adapter_config.json").exists():
        return (
            " but a LoRA adapter; write it into its base model first (`lors merge --method task-arithmetic "
            f"--scale 1 --base BASE --expert {directory} --out MERGED`)"
        )
    others = sorted(p.name for p in directory.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".h5"})
    if not others:
        return ""
    return (
        f" but {others[0]}, a format that LoRS does not read; save the model as safetensors "
        "(transformers: `save_pretrained`)"
    )


class _TwiceError(Exception):
    """A key that stands twice in one mapping of a header."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if key in mapping:
            raise _TwiceError(key)
        mapping[key] = value
    return mapping


def _contradiction(tensors: Mapping[str, TensorInfo], places: Mapping[str, tuple[int, int]]) -> str:
    """What cannot be true of the first tensor whose size and place do not fit, or ""."""
    end = 0
    for name, (start, stop) in sorted(places.items(), key=lambda item: item[1]):
        info = tensors[name]
        if not all(type(number) is int and number >= 0 for number in (start, stop, *info.shape)):
            return f"the tensor '{name}' has the shape {list(info.shape)} and lies at {start} to {stop}"
        if start != end or stop < start:
            return f"the tensor '{name}' lies at {start:,} to {stop:,} of the data, expected from {end:,} on"
        if info.dtype in STORED and info.nbytes != prod(info.shape) * STORED[info.dtype].itemsize:
            return (
                f"the tensor '{name}' is said to be {info.dtype} of shape {list(info.shape)}, but has "
                f"{info.nbytes:,} bytes"
            )
        end = stop
    return ""


def _damaged(path: Path, what: str, size: int) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError:
        start = b""
    if start.startswith(b"version https://git-lfs"):
        return (
            f"{path}: a Git LFS pointer of {size} bytes, not weights; run `git lfs pull` in its repository."
        )
    return f"{path}: not a safetensors file, or a damaged one: {what}; fetch or write it again."


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
