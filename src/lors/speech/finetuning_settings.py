"""What determines the result of a fine-tuning: checked before anything is loaded, compared between runs."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import torch

from lors.base.errors import UsageError, did_you_mean
from lors.speech.adapter import check_lora, lora_defaults, target_names
from lors.speech.mixture import AS_THEY_ARE
from lors.speech.presets import Preset
from lors.speech.window import FULL_WINDOW, check_window

Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]

MAX_GRADIENT_NORM = 1.0
"""Longer gradients are scaled down to this Euclidean norm, as the Trainer does by default."""


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """The settings of one fine-tuning; two runs alike in these and in their inputs are the same run.

    Attributes:
        epochs: passes over the data, a fraction allowed; ignored where `max_steps` is given.
        max_steps: steps of the optimiser, each of `batch_size * gradient_accumulation` clips.
        learning_rate: the highest, reached after the warm-up; it falls linearly to zero at the last step.
        batch_size: clips computed at once.
        gradient_accumulation: batches whose gradients make one step.
        window: positions of the encoder, 50 a second.
        warmup: the share of all steps (rounded down) in which the learning rate rises linearly from zero.
        temperature: of the draw over languages and tasks, p_i ~ n_i^(1/T) for n_i clips; 1 takes each clip once
            an epoch, a higher one evens the groups out, in epochs of the same length.
        seed: of the order of the clips (and of dropout, where the model's configuration has any).
        precision: of the matrix products; weights, optimiser and result are float32 always.
        lora_rank: of the LoRA adapter that is trained in place of all parameters; None to train all.
        lora_alpha: the adapter's product is multiplied by `lora_alpha / lora_rank`.
        lora_targets: the matrices that have an adapter, in Whisper's order, as "q_proj,v_proj".
    """

    epochs: float = 10.0
    max_steps: int | None = None
    learning_rate: float = 1e-5
    batch_size: int = 8
    gradient_accumulation: int = 1
    window: int = FULL_WINDOW
    warmup: float = 0.1
    temperature: float = AS_THEY_ARE
    seed: int = 0
    precision: Precision = "float32"
    lora_rank: int | None = None
    lora_alpha: float | None = None
    lora_targets: str | None = None

    def check(self) -> None:
        """Raise UsageError for the first setting that is out of range."""
        check_window(self.window)
        positive: tuple[tuple[str, float | None], ...] = (
            ("epochs", self.epochs),
            ("max steps", self.max_steps),
            ("learning rate", self.learning_rate),
            ("batch size", self.batch_size),
            ("gradient accumulation", self.gradient_accumulation),
        )
        for name, value in positive:
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name} {value:g}: expected more than zero.")
        if self.learning_rate >= 1:
            raise UsageError(f"learning rate {self.learning_rate:g}: expected less than 1, as 1e-5.")
        if not 0 <= self.warmup < 1:
            raise UsageError(
                f"warmup {self.warmup:g}: expected a share of all steps, from 0 to below 1, as 0.1."
            )
        if not (self.temperature >= 1 and math.isfinite(self.temperature)):
            raise UsageError(
                f"temperature {self.temperature:g}: expected 1 (the data as they are) or more, as 3."
            )
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"seed {self.seed}: expected 0 to {2**32 - 1}.")
        check_lora(self.lora_rank, self.lora_alpha, self.lora_targets)

    def steps(self, clips: int) -> tuple[int, int]:
        """(steps in one epoch, steps in all) for so many clips; an epoch's last step may be a smaller one."""
        per_epoch = math.ceil(math.ceil(clips / self.batch_size) / self.gradient_accumulation)
        return per_epoch, self.max_steps or math.ceil(self.epochs * per_epoch)


def choose_settings(
    preset: Preset | None, given: Mapping[str, Any]
) -> tuple[FinetuneSettings, dict[str, str]]:
    """The settings that were given (not None), else the preset's, else the defaults, which LoRA has of its own.

    Returns:
        The settings, and where each is from: "given", "preset", or "default" where nothing else was asked for.
    """
    stated = {name: value for name, value in given.items() if value is not None}
    if "lora_targets" in stated:
        stated["lora_targets"] = ",".join(target_names(stated["lora_targets"]))
    named = preset.settings if preset else {}
    implied = lora_defaults(stated)
    settings = FinetuneSettings(**{**implied, **named, **stated})
    defaults = asdict(FinetuneSettings())
    origins = {}
    for name, value in asdict(settings).items():
        origins[name] = "default" if value == implied.get(name, defaults[name]) else "given"
        if name in named:
            origins[name] = "given" if name in stated else "preset"
    return settings, origins


def resolve_device(name: str) -> Device:
    """ "auto" is the GPU where there is one; UsageError for a GPU that is not there."""
    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if has_gpu else "cpu"
    if name == "cuda" and not has_gpu:
        raise UsageError("device cuda: PyTorch finds no GPU here; use --device cpu, or auto.")
    choices = ("auto", "cpu", "cuda")
    if name not in choices:
        raise UsageError(f"device '{name}': expected {', '.join(choices)}.{did_you_mean(name, choices)}")
    return cast(Device, name)


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware, about twice as fast as float32."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def resolve_precision(name: str, device: Device) -> Precision:
    """ "auto" is bfloat16 on a GPU and float32 on a CPU."""
    if name == "auto":
        return "bfloat16" if device == "cuda" else "float32"
    choices = ("auto", "float32", "bfloat16")
    if name not in choices:
        raise UsageError(f"precision '{name}': expected {', '.join(choices)}.{did_you_mean(name, choices)}")
    return cast(Precision, name)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, what differs between two descriptions of a run: "learning_rate was 1e-05 and is 2e-05".

    A setting that is newer than the run before had there the value that is its default now.
    """
    found = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if name == "settings":
                old = {**asdict(FinetuneSettings()), **old}
            found += differences(old, new)
        elif old != new:
            digests = name in ("base", "train", "dev")
            found.append(f"the content of {name} differs" if digests else f"{name} was {old} and is {new}")
    return found
