"""A LoRA adapter of PEFT as a fine-tuned copy of its base: base tensor + scaling · B · A, one tensor at a time.

E. Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685, section 4.1; rank-stabilised
scaling: D. Kalajdzievski, arXiv 2312.03732. The format is that of `peft` (huggingface/peft).
"""

from collections.abc import Set
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json
from lors.checkpoints.dtypes import FLOATS, Array, as_array, dtype_name
from lors.checkpoints.lora_pairing import CONFIG, MERGE_FIRST, Factors, Pairing, paired
from lors.checkpoints.read import Checkpoint, Handle, TensorInfo, digest_of_files, open_file, read_header
from lors.checkpoints.tied import EMBEDDINGS, HEADS, hold_the_same

if TYPE_CHECKING:
    import torch

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

# What makes an adapter something else than base + scaling · B · A.
_VARIANTS = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "lora_bias": "LoRA with a bias of its own",
    "alora_invocation_tokens": "activated LoRA",
    "arrow_config": "Arrow",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
    "kasa_config": "KaSA",
    "layer_replication": "LoRA with replicated layers",
    "target_parameters": "LoRA of single parameters",
    "trainable_token_indices": "LoRA with tokens trained apart",
}
# Initialisations that change the base's own weights, so that the adapter fits those and not the base.
_CHANGES_BASE = ("pissa", "corda", "olora", "loftq", "lora_ga", "mica")


@dataclass(frozen=True)
class AdapterCheckpoint(Checkpoint):
    """A LoRA adapter, read as the fine-tuned model that it makes of `base`; from any thread."""

    base: Checkpoint
    base_model: str
    """What the adapter's configuration names as its base; "" where it names none."""
    _factors: dict[str, Factors] = field(repr=False, compare=False)
    _replaced: dict[str, str] = field(repr=False, compare=False)
    """Stored names of whole tensors that take the place of the base's: `modules_to_save`, trained biases."""

    def read(self, name: str) -> "torch.Tensor":
        """The tensor `name` of base and adapter merged, float32; untouched ones are the base's own.

        KeyError where there is no such tensor. Do not change it in place.
        """
        if name not in self.tensors:
            raise KeyError(name)
        tensor = self._stored(self._replaced[name]) if name in self._replaced else self.base.read(name)
        if (factors := self.factors(name)) is not None:
            first, second = factors
            return tensor.float() + (second @ first).reshape(tensor.shape)
        return tensor.float() if name in self._replaced else tensor

    def array(self, name: str) -> Array:
        """What `read` gives, for numpy."""
        return as_array(self.read(name))

    def change(self, name: str) -> "torch.Tensor | None":
        """scaling · B · A, float32, in the tensor's shape; None where no adapter is on it, or a tensor replaces it.

        The difference of `read` and the base's tensor is the same but for its rounding, which has full rank.
        """
        factors = None if name in self._replaced else self.factors(name)
        return None if factors is None else (factors[1] @ factors[0]).reshape(self.tensors[name].shape)

    @property
    def builds_tensors(self) -> bool:
        """True: tensors are added up in memory."""
        return True

    def factors(self, name: str) -> "tuple[torch.Tensor, torch.Tensor] | None":
        """(A, B · scaling) in float32, shapes (r, columns) and (rows, r); None where no adapter is on `name`.

        (B · scaling) @ A is what the adapter adds to the tensor, seen as a matrix of the shape
        (first dimension, all others). Where the tensor is replaced as well, it is added to the replacement.
        """
        entry = self._factors.get(name)
        if entry is None:
            return None
        a = self._stored(entry.a).float().flatten(1)
        b = self._stored(entry.b).float().flatten(1) * entry.scaling
        return (b.T.contiguous(), a.T.contiguous()) if entry.transposed else (a, b)

    def files(self) -> list[Path]:
        """The adapter's configuration and weights, then the base's weight files."""
        return [*self._own_files(), *self.base.files()]

    def sha256(self) -> str:
        """One digest over the adapter's configuration and weights; the base is not in it."""
        return digest_of_files(self._own_files())

    def _own_files(self) -> list[Path]:
        return [self.directory / CONFIG, *sorted(self._handles)]

    def _stored(self, name: str) -> "torch.Tensor":
        (handle,) = self._handles.values()
        return handle.get_tensor(name)


def is_adapter(directory: Path) -> bool:
    """Whether `directory` holds a PEFT adapter."""
    return (Path(directory) / CONFIG).is_file()


def open_adapter(directory: Path, base: Checkpoint) -> AdapterCheckpoint:
    """Open a directory of PEFT's (`adapter_config.json`, `adapter_model.safetensors` or `.bin`) on its base.

    Raises:
        UsageError: no adapter; another kind than LoRA; one that was made for another base: the message names
            a tensor and both shapes.
        LorsError: a file is damaged or carries code.
    """
    directory = Path(directory)
    config = _read_config(directory)
    path, stored, handle = _open_weights(directory)
    pairing = Pairing(path, stored, config, base)
    factors, replaced = paired(pairing)
    adapted = factors.keys() | replaced.keys()
    tensors = {name: info for name, info in base.tensors.items() if not _is_stale_head(base, name, adapted)}
    for name in adapted:
        shape = base.tensors[name].shape
        if base.tensors[name].dtype not in FLOATS:
            raise UsageError(
                f"{path}: adapts '{name}', which the base {base.tensors[name].file} stores in "
                f"{base.tensors[name].dtype}; take the base in float32, float16 or bfloat16."
            )
        tensors[name] = TensorInfo("F32", shape, path, 4 * prod(shape))
    return AdapterCheckpoint(directory, tensors, {path: handle}, base, pairing.claimed, factors, replaced)


def _is_stale_head(base: Checkpoint, name: str, adapted: Set[str]) -> bool:
    """Whether `name` is an output head that the base stores as a copy of an embedding that is adapted."""
    if not name.endswith(HEADS) or name in adapted:
        return False
    embeddings = [other for other in adapted if other.endswith(EMBEDDINGS)]
    return any(hold_the_same(base, name, embedding) for embedding in embeddings)


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / CONFIG
    if not path.is_file():
        raise UsageError(f"{directory}: holds no {CONFIG}; expected the directory of a PEFT adapter.")
    config = read_json(path)
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise UsageError(f"{path}: an adapter of type {kind}; LoRS reads LORA alone; {MERGE_FIRST}.")
    variants = [name for key, name in _VARIANTS.items() if config.get(key)]
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        variants.append(f"LoRA that began as {start} and changed the base's own weights")
    if variants:
        raise UsageError(f"{path}: {variants[0]}, which is more than base + B · A; {MERGE_FIRST}.")
    for key in ("rank_pattern", "alpha_pattern"):
        if not isinstance(config.get(key) or {}, dict):
            raise LorsError(f"{path}: '{key}' is no mapping from layers to numbers.")
    return config


def _open_weights(directory: Path) -> tuple[Path, dict[str, TensorInfo], Handle]:
    # With PyTorch, and here: only what is loaded by the time that a merge begins can be held to one thread each.
    from lors.checkpoints.pickled import Tensors, load_without_code, tensors_of

    safe, pickled = (directory / name for name in WEIGHTS)
    if safe.is_file():
        stored = read_header(safe)
        return safe, stored, open_file(safe, stored)
    if not pickled.is_file():
        raise UsageError(f"{directory}: holds {CONFIG}, but neither {safe.name} nor {pickled.name}.")
    tensors = tensors_of(pickled, load_without_code(pickled))
    infos = {
        name: TensorInfo(dtype_name(t.dtype), tuple(t.shape), pickled, t.nbytes)
        for name, t in tensors.items()
    }
    return pickled, infos, Tensors(tensors)
