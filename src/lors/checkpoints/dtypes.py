"""The names that safetensors gives to number formats; what numpy and PyTorch make of them.

PyTorch is imported where tensors of its own are asked for, which takes a second, and not before.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]
"""The numbers of a tensor as they are stored. Formats that numpy lacks, bfloat16 and float8, are their bits."""

STORED: dict[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
    "F8_E4M3": np.dtype(np.uint8),
    "F8_E5M2": np.dtype(np.uint8),
}
"""Every format that is read and written, and the dtype of its Array."""

FLOATS = {"F64", "F32", "F16", "BF16"}
"""Formats whose tensors can be merged."""

BITS = {"BF16", "F8_E4M3", "F8_E5M2"}
"""Formats whose Array holds bits, not numbers."""

_BFLOAT16 = STORED["BF16"]

# Where formats are mixed, safetensors lays tensors out in this order, widest first.
_LAYOUT_ORDER = ("I64", "F64", "F32", "I32", "BF16", "F16", "I16", "F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL")


def layout_rank(name: str) -> int:
    """Position of the format `name` in the order in which a file's tensors are laid out."""
    return _LAYOUT_ORDER.index(name)


@cache
def torch_dtypes() -> dict[str, "torch.dtype"]:
    """PyTorch's dtype of every format."""
    import torch

    return {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2,
    }


@cache
def _names() -> dict["torch.dtype", str]:
    return {dtype: name for name, dtype in torch_dtypes().items()}


def dtype_name(dtype: "torch.dtype") -> str:
    """The safetensors name of a PyTorch dtype: torch.float32 → "F32"; KeyError where it has none."""
    return _names()[dtype]


def as_tensor(array: Array, name: str) -> "torch.Tensor":
    """The same memory as a tensor of the format `name`."""
    import torch

    return torch.from_numpy(array).view(torch_dtypes()[name])


def as_array(tensor: "torch.Tensor") -> Array:
    """The numbers of a tensor on the CPU, without a copy where they lie in order."""
    import torch

    name = dtype_name(tensor.dtype)
    plain = tensor.detach().contiguous()
    if name in BITS:
        plain = plain.view(torch.uint16 if name == "BF16" else torch.uint8)
    return plain.numpy()


def float32_of(array: Array) -> NDArray[np.float32]:
    """Numbers of any of FLOATS in float32; without a copy where they are stored so."""
    if array.dtype == _BFLOAT16:
        return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return array.astype(np.float32, copy=False)


def rounded(exact: NDArray[np.float64], name: str) -> Array:
    """Numbers rounded once to the format `name`, one of FLOATS; beyond its range they become infinite."""
    if name in ("F64", "F32"):
        return exact.astype(STORED[name], copy=False)
    import torch

    return as_array(torch.from_numpy(exact).to(torch_dtypes()[name]))
