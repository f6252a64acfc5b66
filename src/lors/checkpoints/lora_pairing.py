"""Which stored factors of a LoRA adapter belong to which tensor of its base, with their scaling: all of it checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from pathlib import Path
from typing import Any

from lors.base.errors import LorsError, UsageError
from lors.checkpoints.dtypes import FLOATS
from lors.checkpoints.read import Checkpoint, TensorInfo

CONFIG = "adapter_config.json"

MERGE_FIRST = "write it into its base model first (peft: `merge_and_unload()`, then `save_pretrained`)"

_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(\..+)?")
_INSIDE_LAYER = re.compile(r"\.(base_layer|modules_to_save(\.default)?)(?=\.)")
_WRAPPERS = {"base_model", "model", "module", "_orig_mod", "_fsdp_wrapped_module"}


@dataclass(frozen=True)
class Factors:
    """Where the factors of one tensor are stored."""

    a: str
    b: str
    scaling: float
    transposed: bool
    """Whether (scaling · B · A)ᵀ is added: to embeddings, and to layers with `fan_in_fan_out`."""


@dataclass(frozen=True)
class Pairing:
    """An adapter's weights beside the base that they are to fit."""

    path: Path
    stored: Mapping[str, TensorInfo]
    config: Mapping[str, Any]
    base: Checkpoint

    @property
    def claimed(self) -> str:
        return str(self.config.get("base_model_name_or_path") or "")

    def base_name(self, key: str, inner: str) -> str:
        """The base's name of what the adapter calls `inner`: without what wraps the model, if need be."""
        name = inner
        while name not in self.base.tensors:
            wrapper, _, name = name.partition(".")
            if wrapper not in _WRAPPERS or not name:
                raise self.another_base(key, self.stored[key].shape, f"no tensor '{inner}'")
        return name

    def another_base(self, key: str, found: tuple[int, ...], expected: object) -> UsageError:
        said = f"its configuration names '{self.claimed}'" if self.claimed else "its configuration names none"
        return UsageError(
            f"{self.path}: an adapter for another base: '{key}' has shape {list(found)}, and the base "
            f"{self.base.directory} has {expected}; {said}."
        )


def paired(pairing: Pairing) -> tuple[dict[str, Factors], dict[str, str]]:
    """What the stored tensors do: the factors, and the replacements, by the base's names; all checked."""
    sides: dict[str, dict[str, re.Match[str]]] = {}
    replaced: dict[str, str] = {}
    for key, info in sorted(pairing.stored.items()):
        if info.dtype not in FLOATS:
            raise UsageError(f"{pairing.path}: '{key}' is in {info.dtype}, which LoRS does not merge.")
        if (factor := _FACTOR.fullmatch(key)) and not key.endswith(".bias"):
            name = pairing.base_name(key, f"{factor['module']}.weight")
            if factor["side"] in sides.setdefault(name, {}):
                raise UsageError(f"{pairing.path}: holds more than one adapter on '{name}'; save one alone.")
            sides[name][factor["side"]] = factor
        elif ".lora_" in key:
            raise UsageError(f"{pairing.path}: '{key}' is no factor of plain LoRA; {MERGE_FIRST}.")
        elif ".original_module." not in key:
            name = pairing.base_name(key, _INSIDE_LAYER.sub("", key))
            if info.shape != (shape := pairing.base.tensors[name].shape):
                raise pairing.another_base(key, info.shape, list(shape))
            replaced[name] = key
    if not sides and not replaced:
        raise LorsError(f"{pairing.path}: holds no tensor of an adapter.")
    return {name: _factors(pairing, name, found) for name, found in sides.items()}, replaced


def _factors(pairing: Pairing, name: str, found: Mapping[str, re.Match[str]]) -> Factors:
    """A and B of one tensor, if they are both there and fit each other, the configuration and the base."""
    if len(found) == 1:
        ((side, factor),) = found.items()
        other = "B" if side == "A" else "A"
        raise LorsError(
            f"{pairing.path}: '{factor.string}' has no {other} beside it; save the adapter again."
        )
    a, b = found["A"].string, found["B"].string
    shape_a, shape_b = pairing.stored[a].shape, pairing.stored[b].shape
    rank, scaling = _rank_and_scaling(pairing, found["A"]["module"])
    if shape_a[:1] != (rank,) or shape_b[1:2] != (rank,):
        raise LorsError(
            f"{pairing.path}: '{a}' {list(shape_a)} and '{b}' {list(shape_b)} are not of the rank {rank} that "
            f"{CONFIG} gives; save the adapter again."
        )
    transposed = found["A"]["embedding"] is not None or bool(pairing.config.get("fan_in_fan_out"))
    shape = (*shape_a[1:], shape_b[0]) if transposed else (shape_b[0], *shape_a[1:])
    # A convolution has its kernel in A, and a B that is 1 wide.
    if shape != (expected := pairing.base.tensors[name].shape) or prod(shape_b[2:]) != 1:
        raise pairing.another_base(f"{b} · {a}", shape, list(expected))
    return Factors(a, b, scaling, transposed)


def _rank_and_scaling(pairing: Pairing, module: str) -> tuple[int, float]:
    """Rank, and alpha / r or (rank-stabilised) alpha / √r, of the layer that the adapter calls `module`."""
    layer = module.removeprefix("base_model.model.")
    config = pairing.config
    try:
        rank = int(_by_pattern(config.get("rank_pattern") or {}, layer, config.get("r", 8)))
        alpha = float(_by_pattern(config.get("alpha_pattern") or {}, layer, config.get("lora_alpha", 8)))
        scaling = alpha / (sqrt(rank) if config.get("use_rslora") else rank) if rank > 0 else 0.0
    except (TypeError, ValueError, OverflowError, re.error) as error:
        path = pairing.path.with_name(CONFIG)
        raise LorsError(f"{path}: rank or alpha of '{layer}' cannot be read ({error}).") from None
    if rank < 1:
        raise LorsError(
            f"{pairing.path.with_name(CONFIG)}: the rank of '{layer}' is {rank}, expected 1 or more."
        )
    return rank, scaling


def _by_pattern(patterns: Mapping[str, Any], layer: str, otherwise: Any) -> Any:
    """The value of the first pattern that is the layer's name, or the end of it after a dot."""
    return next((v for key, v in patterns.items() if re.match(rf"(.*\.)?({key})$", layer)), otherwise)
