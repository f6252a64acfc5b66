"""What a fine-tuning would do: everything is checked, nothing is written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.base.files import refuse_existing, sha256_of
from lors.checkpoints.find import find_checkpoint
from lors.checkpoints.read import Checkpoint, open_checkpoint
from lors.speech.adapter import adapter_size
from lors.speech.finetuning_files import finished_run, last_step, require_space
from lors.speech.finetuning_inputs import Inputs, describe_inputs, load_model, read_inputs
from lors.speech.finetuning_settings import (
    Device,
    FinetuneSettings,
    choose_settings,
    resolve_device,
    resolve_precision,
)
from lors.speech.learning_rate_race import check_race, describe_race, finished_race
from lors.speech.learning_rates import asked_for, parse_learning_rate
from lors.speech.manifest import read_manifest
from lors.speech.presets import Preset, find_preset
from lors.speech.processes import processes
from lors.speech.vocabulary_match import check_vocabulary, require_tokenizer


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A fine-tuning whose settings are in order and whose output may be made.

    Attributes:
        base, original: the pretrained model as it was named, and its checkpoint.
        out, train, dev: the directory to make, and the manifests.
        preset: the preset that was asked for.
        settings, origins: the settings, and where each is from: "given", "preset" or "default".
        device: where it runs.
        job: what makes two runs the same: the settings, and the digests of base and manifests.
        finished: the record of a run of this job that is in `out` already and may stand for it.
        rates: learning rates to choose one from; empty where one is given. `job` names them, `settings` the lowest.
    """

    base: str | Path
    original: Checkpoint
    out: Path
    train: tuple[Path, ...]
    dev: tuple[Path, ...]
    preset: Preset | None
    settings: FinetuneSettings
    origins: Mapping[str, str]
    device: Device
    job: Mapping[str, Any]
    finished: Mapping[str, Any] | None
    rates: tuple[float, ...] = ()

    def at_rate(self, rate: float) -> "Plan":
        """The same with the learning rate that was chosen."""
        settings = replace(self.settings, learning_rate=rate)
        return replace(self, settings=settings, job={**self.job, "settings": asdict(settings)}, rates=())

    def read(self) -> Inputs:
        """The labelled data; UsageError where base or data are bad, LorsError where the disk is too small."""
        require_tokenizer(self.original, self.base)
        inputs = read_inputs(self.original, self.base, self.train, self.dev, self.settings.window)
        check_vocabulary(self.original, self.base, (*inputs.train, *inputs.dev))
        require_space(self.out, self.parameters(), checkpoints=3 if self.dev else 2)
        return inputs

    def parameters(self) -> int:
        """How many numbers are trained and kept; UsageError where LoRA's rank is more than a matrix can have."""
        settings = self.settings
        if settings.lora_rank is not None and settings.lora_targets is not None:
            return adapter_size(self.original, self.base, settings.lora_rank, settings.lora_targets)
        return sum(prod(info.shape) for info in self.original.tensors.values())

    def describe_inputs(self, inputs: Inputs) -> list[str]:
        """The data in lines, and a warning where the preset is for others."""
        lines = list(describe_inputs(inputs, self.settings.temperature))
        if self.preset:
            groups = dict.fromkeys(example.group for example in inputs.train)
            if others := [group for group in groups if group not in self.preset.groups]:
                lines.append(
                    f"Warning: preset {self.preset.name} is for {', '.join(self.preset.groups)}; "
                    f"the training data hold {', '.join(others)}."
                )
        return lines


def make_plan(
    base: str | Path,
    train: Sequence[Path],
    out: Path,
    dev: Sequence[Path] = (),
    *,
    preset: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
    save_steps: int | None = None,
    overwrite: bool = False,
    reuse: bool = False,
    **settings: Any,
) -> Plan:
    """Check what can be checked before data are read; arguments as those of `finetune`.

    Raises:
        UsageError: a setting out of range, an unknown preset, a missing base or manifest, `out` exists.
    """
    place = resolve_device(device)
    named = find_preset(preset) if preset is not None else None
    rate = parse_learning_rate(settings.get("learning_rate"), lora=settings.get("lora_rank") is not None)
    rates = rate if isinstance(rate, tuple) else ()
    settings["learning_rate"] = rates[0] if rates else rate
    if rates and not dev:
        raise UsageError(
            "learning rate auto: is chosen by the dev loss; name dev data with --dev, or give a number, as 1e-5."
        )
    if rates and processes() > 1:
        raise UsageError(
            "learning rate auto: is chosen by one process; run it without torchrun, or give a number, as 1e-5."
        )
    chosen, origins = choose_settings(named, {**settings, "precision": resolve_precision(precision, place)})
    chosen.check()
    if save_steps is not None and save_steps < 1:
        raise UsageError(f"save steps {save_steps}: expected at least 1.")
    if workers is not None and workers < 0:
        raise UsageError(f"workers {workers}: expected zero or more.")
    if chosen.batch_size % processes():
        raise UsageError(
            f"batch size {chosen.batch_size}: is shared by {processes()} processes; expected a multiple of that."
        )
    if not train:
        raise UsageError("no training data: name at least one manifest with --train.")
    out = Path(out).absolute()
    if not reuse:
        refuse_existing(out, overwrite)

    original = open_checkpoint(find_checkpoint(base))
    train, dev = tuple(Path(path) for path in train), tuple(Path(path) for path in dev)
    job = {
        "settings": asdict(chosen) | ({"learning_rate": asked_for(rates)} if rates else {}),
        "base": original.sha256(),
        "train": [_digest(path) for path in train],
        "dev": [_digest(path) for path in dev],
    }
    return Plan(
        base=base,
        original=original,
        out=out,
        train=train,
        dev=dev,
        preset=named,
        settings=chosen,
        origins=origins,
        device=place,
        job=job,
        finished=finished_run(out, job, overwrite, reuse, original),
        rates=rates,
    )


def dry_run(plan: Plan, overwrite: bool = False) -> list[str]:
    """All that `finetune` would check, and in lines what it would do; nothing is written.

    Raises:
        UsageError, LorsError: as `finetune` would before its first step.
    """
    if plan.finished is not None:
        return [f"{plan.out} (was there already)"]
    inputs = plan.read()
    if plan.rates:
        check_race(plan, overwrite)
        if race := finished_race(plan, inputs):
            plan = plan.at_rate(race["learning_rate"])
    resumed = last_step(plan.out, plan.job, overwrite)
    load_model(plan.original, plan.base, "cpu")
    settings = plan.settings
    per_epoch, steps = settings.steps(len(inputs.train))
    clips = settings.batch_size * settings.gradient_accumulation
    lines = [f"Preset {plan.preset.name}: {plan.preset.source}"] if plan.preset else []
    for name, value in asdict(settings).items():
        text = f"{value:g}" if isinstance(value, float) else str(value)
        text = "auto" if plan.rates and name == "learning_rate" else text
        lines.append(f"{name:<21}  {text:<8}  ({plan.origins[name]})")
    lines.append(f"{'optimiser':<21}  {'Adam':<8}  (always)")
    lines.append(f"{'device':<21}  {plan.device}")
    lines.append(f"{'parameters trained':<21}  {plan.parameters():,}")
    lines += plan.describe_inputs(inputs)
    lines.append(f"Steps: {steps} ({per_epoch} an epoch of {len(inputs.train)} clips, {clips} clips a step)")
    lines += describe_race(plan, inputs) if plan.rates else []
    if resumed:
        lines.append(f"It would go on after step {resumed}.")
    return [*lines, f"{plan.out} (dry run: nothing was written)"]


def _digest(manifest: Path) -> str:
    if not manifest.is_file():
        read_manifest(manifest)  # says what is wrong
    return sha256_of(manifest)
