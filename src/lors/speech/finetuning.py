"""Fine-tuning: a base model and manifests in, one expert out."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import TrainerState

from lors.base.files import read_json
from lors.base.progress import say
from lors.speech.finetuning_files import work_directory, write_expert
from lors.speech.finetuning_inputs import Inputs, load_model, summary
from lors.speech.finetuning_plan import Plan, make_plan
from lors.speech.finetuning_run import BASE_LOSS, batch_used, train_in_memory
from lors.speech.finetuning_settings import MAX_GRADIENT_NORM
from lors.speech.learning_rate_race import describe_choice, hold_race, remove_race
from lors.speech.mixture import mixture
from lors.speech.processes import of_all, processes, rank, together
from lors.speech.training import checkpoint_path, sealed_checkpoints
from lors.speech.training_data import LeftOut


@dataclass(frozen=True)
class FinetuneResult:
    """An expert, and how it came about; all of it also stands in its `finetune.json`.

    Attributes:
        directory: the expert, a complete Whisper directory.
        train: for each language and task ("es-transcribe") {"clips": …, "minutes": …}.
        left_out: utterances that did not fit the window or the decoder, of training and dev data.
        steps: steps of the optimiser.
        kept_step: the step whose weights were kept: that of lowest dev loss, else the last.
        base_loss: mean negative log-likelihood of the base model on the first clips, nats per label.
        train_losses: {"step", "epoch", "loss", "learning_rate"} for each step.
        dev_losses: {"step", "epoch", "loss", and one for each language and task}; step 0 is the base model.
        seconds: how long the last, uninterrupted part took.
        reused: whether the expert was there already, from the same settings and inputs.
    """

    directory: Path
    train: Mapping[str, Mapping[str, float]]
    left_out: tuple[LeftOut, ...]
    steps: int
    kept_step: int
    base_loss: float
    train_losses: tuple[Mapping[str, float], ...]
    dev_losses: tuple[Mapping[str, float], ...]
    seconds: float
    reused: bool


def finetune(
    base: str | Path,
    train: Sequence[Path],
    out: Path,
    dev: Sequence[Path] = (),
    *,
    preset: str | None = None,
    epochs: float | None = None,
    max_steps: int | None = None,
    learning_rate: float | str | None = None,
    batch_size: int | None = None,
    gradient_accumulation: int | None = None,
    window: int = 1500,
    warmup: float = 0.1,
    temperature: float = 1.0,
    seed: int = 0,
    lora_rank: int | None = None,
    lora_alpha: float | None = None,
    lora_targets: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    gradient_checkpointing: bool = False,
    workers: int | None = None,
    save_steps: int | None = None,
    overwrite: bool = False,
    reuse: bool = False,
) -> FinetuneResult:
    """Fine-tune all of Whisper's parameters, or a LoRA adapter, on manifests whose languages and tasks may be mixed.

    All, that is, but the encoder's sinusoidal position table, which Whisper never trains. The optimiser is
    Adam without weight decay. While it runs, everything is kept in `OUT.partial`; after an interruption the
    same call goes on there; on one thread of a processor it ends with the very bits of an unbroken run.
    Processes that torchrun started share each batch, and the first of them writes.

    Args:
        base: the pretrained Whisper, a directory or a Hub id.
        train: manifests to learn from.
        out: the directory to make.
        dev: manifests on which the loss is measured after each epoch; the weights of the lowest are kept.
        preset: a name in `PRESETS`, for the settings that are None.
        epochs, max_steps, learning_rate, batch_size, gradient_accumulation, window, warmup, temperature, seed:
            see `FinetuneSettings`; None is the preset's value, or the default. The learning rate may be "auto",
            or a list as "auto:1e-6,1e-5": short fine-tunings choose it by the dev loss.
        lora_rank, lora_alpha, lora_targets: train a LoRA adapter of this rank (it needs the package `peft`), and
            make a directory that PEFT and `lors merge` read; where they are None, alpha is twice the rank, the
            targets are "q_proj,v_proj" and the learning rate is 1e-4.
        device: "cpu", "cuda", or "auto".
        precision: of the matrix products: "float32", "bfloat16", or "auto" (bfloat16 on a GPU).
        gradient_checkpointing: recompute activations instead of keeping them: less memory, more time.
        workers: processes that read audio; None for none on a CPU and up to eight beside a GPU.
        save_steps: steps between checkpoints, beside those at each epoch's end; None for about five minutes.
        overwrite: replace `out`, and an unfinished run of other settings.
        reuse: return an `out` that was made by the same settings from the same inputs as it is.

    Raises:
        UsageError: a setting out of range, an unknown preset, a bad manifest or base, nothing left to learn
            from, `out` exists.
        LorsError: the loss diverges, the disk or the GPU's memory is full, an audio file cannot be read.
    """
    given = dict(locals())
    start = time.monotonic()
    plan = make_plan(
        base,
        train,
        out,
        dev,
        preset=preset,
        epochs=epochs,
        max_steps=max_steps,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        window=window,
        warmup=warmup,
        temperature=temperature,
        seed=seed,
        lora_rank=lora_rank,
        lora_alpha=lora_alpha,
        lora_targets=lora_targets,
        device=device,
        precision=precision,
        workers=workers,
        save_steps=save_steps,
        overwrite=overwrite,
        reuse=reuse,
    )
    if plan.finished is not None:
        remove_race(plan.out)
        return _result(plan.out, plan.finished, reused=True)
    inputs = plan.read()
    race = hold_race(plan, inputs, partial(finetune, **given), overwrite) if plan.rates else None
    if race:
        plan = plan.at_rate(race["learning_rate"])
        for line in describe_choice(race):
            say(line)
    for line in plan.describe_inputs(inputs):
        say(line)
    with together(plan.device), work_directory(plan.out, plan.job, overwrite) as work:
        resumed = max(sealed_checkpoints(work), default=0)
        if resumed < plan.settings.steps(len(inputs.train))[1]:
            train_in_memory(
                lambda: load_model(plan.original, base, plan.device),
                base,
                inputs,
                plan.settings,
                work,
                device=plan.device,
                workers=workers,
                save_steps=save_steps,
                gradient_checkpointing=gradient_checkpointing,
            )
        record: dict[str, Any] = {}
        if not rank():
            found = _record(plan, inputs, work, resumed)
            record = {
                **found,
                "seconds": round(time.monotonic() - start, 1),
                **({"learning_rate_race": race} if race else {}),
            }
            kept = checkpoint_path(work, record["kept_step"])
            write_expert(kept, plan.original, work, plan.out, record)
        record = of_all(record)[0]
    if race:
        remove_race(plan.out)
    return _result(plan.out, record, reused=False)


def _record(plan: Plan, inputs: Inputs, work: Path, resumed: int) -> dict[str, Any]:
    """What training left in `work`, for `finetune.json`."""
    settings = plan.settings
    _, steps = settings.steps(len(inputs.train))
    state = TrainerState.load_from_json(str(checkpoint_path(work, steps) / "trainer_state.json"))
    batch, accumulation = batch_used(work, settings)
    libraries = ("lors", "torch", "transformers", *(["peft"] if settings.lora_rank else []))
    return {
        "name": plan.out.name,
        "base": {"name": str(plan.base), "sha256": plan.original.sha256()},
        "job": plan.job,
        "preset": plan.preset.name if plan.preset else None,
        "max_gradient_norm": MAX_GRADIENT_NORM,
        "train": [str(path) for path in plan.train],
        "dev": [str(path) for path in plan.dev],
        "mixture": mixture(inputs.train, settings.temperature),
        "train_groups": summary(inputs.train),
        "dev_groups": summary(inputs.dev),
        "left_out": [{**asdict(item), "manifest": str(item.manifest)} for item in inputs.left_out],
        "first_labels": inputs.first_labels,
        "base_loss": read_json(work / BASE_LOSS),
        "steps": steps,
        "kept_step": state.best_global_step or steps,
        "train_losses": _train_losses(state),
        "dev_losses": _dev_losses(state),
        "device": plan.device,
        "processes": processes(),
        "batch_size_used": batch,
        "gradient_accumulation_used": accumulation,
        "parameters_trained": plan.parameters(),
        "versions": {name: version(name) for name in libraries},
        "resumed_after_step": resumed,
    }


def _train_losses(state: TrainerState) -> list[dict[str, float]]:
    names = ("step", "epoch", "loss", "learning_rate")
    return [{name: entry[name] for name in names} for entry in state.log_history if "loss" in entry]


def _dev_losses(state: TrainerState) -> list[dict[str, float]]:
    return [
        {
            name.removeprefix("eval_loss_").removeprefix("eval_"): value
            for name, value in sorted(entry.items())
        }
        for entry in state.log_history
        if "eval_loss" in entry
    ]


def _result(out: Path, record: Mapping[str, Any], reused: bool) -> FinetuneResult:
    return FinetuneResult(
        directory=out,
        train=record["train_groups"],
        left_out=tuple(LeftOut(Path(of["manifest"]), of["id"], of["reason"]) for of in record["left_out"]),
        steps=record["steps"],
        kept_step=record["kept_step"],
        base_loss=record["base_loss"],
        train_losses=tuple(record["train_losses"]),
        dev_losses=tuple(record["dev_losses"]),
        seconds=record["seconds"],
        reused=reused,
    )
