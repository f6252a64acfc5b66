"""LoRA: a few directions of each matrix are trained, and the expert is what PEFT calls an adapter."""

import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from safetensors.torch import load_file, save_file

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.base.files import write_json
from lors.checkpoints.lora import WEIGHTS
from lors.checkpoints.lora_pairing import CONFIG
from lors.checkpoints.read import Checkpoint

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import WhisperForConditionalGeneration

    from lors.speech.finetuning_settings import FinetuneSettings

TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
"""Whisper's matrices of attention and feed-forward, by the names that PEFT knows them by."""

_STORED = WEIGHTS[0]
_FILES = (CONFIG, _STORED)


def target_names(text: str) -> tuple[str, ...]:
    """The matrices of a list such as "v_proj,q_proj", in Whisper's order; UsageError for an unknown one."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in TARGETS:
            raise UsageError(
                f"LoRA target '{name}': expected some of {', '.join(TARGETS)}, with commas between."
                f"{did_you_mean(name, TARGETS)}"
            )
    return tuple(name for name in TARGETS if name in names)


def lora_defaults(stated: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a rank brings along: alpha = 2 · rank, queries and values, ten times the learning rate.

    Queries and values: Hu et al. (arXiv 2106.09685), section 7.1. Alpha: common practice. The rate: J. Schulman and
    Thinking Machines Lab, LoRA Without Regret (2025), find LoRA's best ten times that of training all.
    """
    rank = stated.get("lora_rank")
    if rank is None:
        return {}
    return {"lora_alpha": 2.0 * rank, "lora_targets": "q_proj,v_proj", "learning_rate": 1e-4}


def check_lora(rank: int | None, alpha: float | None, targets: str | None) -> None:
    """Raise UsageError for settings of LoRA that are out of range, or that lack a rank, and without PEFT."""
    if rank is None:
        for name, value in (("alpha", alpha), ("targets", targets)):
            if value is not None:
                raise UsageError(f"LoRA {name} {value}: is given without a rank; add --lora-rank, as 16.")
        return
    if rank < 1:
        raise UsageError(f"LoRA rank {rank}: expected 1 or more, as 16.")
    if alpha is not None and not (alpha > 0 and isfinite(alpha)):
        raise UsageError(f"LoRA alpha {alpha:g}: expected more than zero, as {2 * rank}.")
    if find_spec("peft") is None:
        raise UsageError(
            "LoRA needs the package peft, which is not installed; run: pip install 'lors[lora]'."
        )


def adapter_size(base: Checkpoint, name: object, rank: int, targets: str) -> int:
    """How many numbers the adapter has; UsageError where the rank is more than a matrix can have."""
    size = 0
    for tensor, info in base.tensors.items():
        module = tensor.removesuffix(".weight").rpartition(".")[2]
        if module not in targets.split(",") or not tensor.endswith(".weight") or len(info.shape) != 2:
            continue
        if rank > min(info.shape):
            rows, columns = info.shape
            raise UsageError(
                f"LoRA rank {rank}: {module} of {name} is {rows} x {columns}, so expected at most "
                f"{min(info.shape)}, and far less to be of use."
            )
        size += rank * sum(info.shape)
    return size


def add_adapter(
    model: "WhisperForConditionalGeneration", settings: "FinetuneSettings", base: str | Path
) -> "PeftModel":
    """Put a new adapter into `model`, in place, and freeze all else; it changes nothing until it is trained.

    Args:
        model: the base model, float32.
        settings: its `lora_rank` is not None; A is drawn from its `seed`, B is zero.
        base: what the adapter names as its base: a Hub id, or a directory.

    Returns:
        PEFT's view of the model, which saves and loads the adapter.
    """
    from peft import LoraConfig, get_peft_model

    assert settings.lora_rank is not None and settings.lora_alpha is not None and settings.lora_targets
    torch.manual_seed(settings.seed)
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]  # a fraction is as good
        target_modules=settings.lora_targets.split(","),
        lora_dropout=0.0,
        bias="none",
    )
    adapted = get_peft_model(model, config)
    directory = Path(base).expanduser()
    adapted.peft_config["default"].base_model_name_or_path = (
        str(directory.resolve()) if directory.is_dir() else str(base)
    )
    return adapted


def save_adapter(adapter: "PeftModel", folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` as PEFT does; no model card, no network."""
    from peft import get_peft_model_state_dict

    tensors = get_peft_model_state_dict(adapter, save_embedding_layers=False)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / _STORED,
        metadata={"format": "pt"},
    )
    config = adapter.peft_config["default"].to_dict()
    # With the class of the base, AutoPeftModel loads that by itself.
    model = type(adapter.get_base_model())
    config["auto_mapping"] = {"base_model_class": model.__name__, "parent_library": model.__module__}
    config["lora_alpha"] = int(alpha) if (alpha := config["lora_alpha"]) == int(alpha) else alpha
    config["target_modules"] = [name for name in TARGETS if name in config["target_modules"]]
    config["inference_mode"] = True
    write_json(folder / CONFIG, config)


def load_adapter(adapter: "PeftModel", folder: Path) -> None:
    """Put the weights that `save_adapter` wrote into the model."""
    from peft import set_peft_model_state_dict

    found: Any = set_peft_model_state_dict(adapter, load_file(folder / _STORED))
    missing = [name for name in found.missing_keys if ".lora_" in name]
    if missing or found.unexpected_keys:
        name = [*missing, *found.unexpected_keys][0]
        raise LorsError(
            f"{folder / _STORED}: '{name}' does not fit this adapter; pass --overwrite to start anew."
        )


def copy_adapter(checkpoint: Path, result: Path) -> None:
    """Copy what `save_adapter` wrote."""
    for name in _FILES:
        shutil.copyfile(checkpoint / name, result / name)


def adapter_card(record: Mapping[str, Any], base_models: Sequence[str]) -> str:
    """The README.md of an adapter, from its `finetune.json` and the Hub id of its base, where that has one."""
    settings, base = record["job"]["settings"], str(record["base"]["name"])
    front: dict[str, Any] = {"library_name": "peft", "tags": ["lors", "lora", "whisper"]}
    if base_models:
        front["base_model"] = list(base_models)
    rows = [
        f"| {group} | {of['clips']} | {of['minutes']:.1f} |" for group, of in record["train_groups"].items()
    ]
    table = "\n".join(["| language and task | clips | minutes |", "|---|---|---|", *rows])
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---

# {record["name"]}

A LoRA adapter (rank {settings["lora_rank"]}, alpha {settings["lora_alpha"]:g}, on {settings["lora_targets"]}) of the
Whisper `{base}`, by LoRS {record["versions"]["lors"]}. The sha256 of the base's weights is `{record["job"]["base"]}`.

{table}

Weights after step {record["kept_step"]} of {record["steps"]}. All settings and losses are in `finetune.json`.

## Use

```sh
lors merge --base {base} --expert PATH --method task-arithmetic --scale 1 --out MODEL
```
"""
