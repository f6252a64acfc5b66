"""What `torch.save` wrote: its tensors, and never the code that may stand beside them."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lors.base.errors import LorsError
from lors.checkpoints.dtypes import Array, as_array, dtype_name


@dataclass(frozen=True)
class Tensors:
    """Tensors in memory, or mapped, behind the methods of an open weight file."""

    tensors: Mapping[str, torch.Tensor]

    def get_tensor(self, name: str) -> torch.Tensor:
        """The tensor `name`; KeyError where there is none."""
        return self.tensors[name]

    def get_array(self, name: str) -> Array:
        """Its numbers."""
        return as_array(self.tensors[name])


def load_without_code(path: Path) -> Any:
    """What `torch.save` wrote to `path`, on the CPU: tensors mapped from the file, old formats in memory.

    Raises:
        LorsError: the file is damaged, is something else, or wants to load what is not a tensor.
    """
    with path.open("rb") as file:
        start = file.read(64)
    if start.lstrip().startswith(b"<") or start.startswith(b"version https://git-lfs"):
        what = "a Git LFS pointer" if start.startswith(b"version") else "a web page"
        raise LorsError(f"{path}: {what}, not weights; fetch the file again.")
    is_zip = start.startswith(b"PK\x03\x04")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused anyway
            return torch.load(path, weights_only=True, mmap=is_zip, map_location="cpu")
    except Exception as error:  # whatever an unpickler says to bytes that are no pickle of torch's
        raise LorsError(f"{path}: {_why_not_loaded(str(error), is_zip)}") from None


def tensors_of(path: Path, content: object) -> dict[str, torch.Tensor]:
    """`content` of the file `path` as plain tensors by name; LorsError where it is something else."""
    if not isinstance(content, Mapping):
        raise LorsError(f"{path}: holds {type(content).__name__} instead of tensors by name.")
    tensors = {}
    for name, tensor in content.items():
        if not isinstance(tensor, torch.Tensor) or not _is_plain(tensor):
            raise LorsError(f"{path}: '{name}' is no plain tensor.")
        try:
            dtype_name(tensor.dtype)
        except KeyError:
            raise LorsError(f"{path}: '{name}' is in {tensor.dtype}, which LoRS does not read.") from None
        tensors[str(name)] = tensor.detach().contiguous()
    return tensors


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether each entry has a place of its own in the file, and its value is what stands there."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_neg() or tensor.is_conj():
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _why_not_loaded(message: str, is_zip: bool) -> str:
    if wanted := re.search(r"(?:GLOBAL|function|class) ([\w.<>]+\.[\w.<>]+)", message):
        return (
            f"wants to load {wanted[1]}, which is code and no tensor; LoRS runs no code from a file: save "
            "the tensors alone, as openai's `dims` and `model_state_dict`."
        )
    if "TorchScript" in message:
        return "a TorchScript archive, which is code; save the model's tensors alone (`state_dict()`)."
    if is_zip:
        return "a truncated or damaged file; fetch or write it again."
    return "no file that torch.save wrote from tensors, or a damaged one; fetch or write it again."
