"""One training run: the Trainer's arguments, a look at the base model, all steps."""

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainingArguments, WhisperForConditionalGeneration

from lors.base.cores import usable_cores
from lors.base.errors import LorsError
from lors.base.files import read_json, write_json
from lors.base.progress import say
from lors.speech.adapter import add_adapter
from lors.speech.finetuning_inputs import Inputs
from lors.speech.finetuning_settings import MAX_GRADIENT_NORM, FinetuneSettings
from lors.speech.processes import processes, rank
from lors.speech.training import (
    WhisperTrainer,
    checkpoint_path,
    mean_losses,
    quiet_transformers,
    sealed_checkpoints,
)
from lors.speech.training_callbacks import SaveNowAndThen, ShowProgress, StopWhenDiverged
from lors.speech.training_data import Collator, SpeechDataset

BASE_LOSS = "base_loss.json"
"""Where, in the working directory, the base model's loss is kept."""

BATCH = "batch.json"
"""Where, in the working directory, the batch is kept that fitted where the one asked for did not."""

_IMPLAUSIBLE_LOSS = 4.0
"""Nats per label of an untouched base above which its text hardly belongs to its sound."""

_CLIPS_LOOKED_AT = 8


def train_in_memory(
    load: Callable[[], WhisperForConditionalGeneration],
    base: str | Path,
    inputs: Inputs,
    settings: FinetuneSettings,
    work: Path,
    *,
    device: str,
    workers: int | None = None,
    save_steps: int | None = None,
    gradient_checkpointing: bool = False,
) -> None:
    """Train to the last step, from the last checkpoint in `work`, in batches that the GPU's memory holds.

    Where it does not hold a batch, smaller ones make the same step: a step's clips and the divisor of its loss
    stay. What was found to fit is kept in `work`, for a run that goes on.

    Args:
        load: gives the base model, anew each time.
        base: what an adapter names as its base.

    Raises:
        LorsError: as `train_expert`; not even one clip fits.
    """
    _, steps = settings.steps(len(inputs.train))
    while True:
        batch, accumulation = batch_used(work, settings)
        resumed = max(sealed_checkpoints(work), default=0)
        fitting = replace(settings, batch_size=batch, gradient_accumulation=accumulation)
        arguments = training_arguments(fitting, steps, work, device, workers, evaluates=bool(inputs.dev))
        arguments.eval_on_start = bool(inputs.dev) and not resumed
        arguments.activation_checkpointing = gradient_checkpointing
        try:
            train_expert(load(), arguments, inputs, fitting, save_steps, resumed, base)
            return
        except torch.OutOfMemoryError:
            pass  # the error's traceback holds the model: only after this line is its memory free
        if batch == 1 or processes() > 1:
            raise LorsError(
                f"the GPU's memory does not hold batches of {batch // processes()} at window "
                f"{settings.window}; use {'' if batch == 1 else 'a smaller --batch-size with more '}"
                f"{'' if batch == 1 else '--gradient-accumulation, '}--gradient-checkpointing, a shorter --window, "
                "or --lora-rank."
            )
        batch, accumulation = smaller_batch(batch, accumulation)
        write_json(work / BATCH, {"batch_size": batch, "gradient_accumulation": accumulation})
        say(
            f"Out of the GPU's memory: going on with batches of {batch}, {accumulation} to a step, which is the same "
            f"{batch * accumulation} clips"
        )
        gc.collect()
        torch.cuda.empty_cache()


def smaller_batch(batch: int, accumulation: int) -> tuple[int, int]:
    """At most half the batch, and as many of them as make the same step: (8, 1) → (4, 2), (3, 2) → (1, 6)."""
    clips = batch * accumulation
    smaller = next(size for size in range(batch // 2, 0, -1) if clips % size == 0)
    return smaller, clips // smaller


def batch_used(work: Path, settings: FinetuneSettings) -> tuple[int, int]:
    """(clips at once, batches to a step) that fitted the memory in `work`'s run so far; those asked for, at first."""
    found = read_json(work / BATCH) if (work / BATCH).is_file() else {}
    asked = settings.batch_size, settings.gradient_accumulation
    return found.get("batch_size", asked[0]), found.get("gradient_accumulation", asked[1])


def train_expert(
    model: WhisperForConditionalGeneration,
    arguments: TrainingArguments,
    inputs: Inputs,
    settings: FinetuneSettings,
    save_steps: int | None,
    resumed: int,
    base: str | Path = "",
) -> None:
    """Run the Trainer to the last step, from the checkpoint of step `resumed` if that is not zero.

    Raises:
        LorsError: the loss diverges, the disk is full, an audio file cannot be read.
        torch.OutOfMemoryError: the GPU's memory does not hold a batch.
    """
    collator = Collator(settings.window, inputs.mel_bins)
    bfloat16 = settings.precision == "bfloat16"
    work = Path(arguments.output_dir)
    per_epoch, _ = settings.steps(len(inputs.train))
    # Only a layer that is dropped leaves parameters without a gradient for the processes to share.
    arguments.ddp_find_unused_parameters = (
        max(model.config.encoder_layerdrop, model.config.decoder_layerdrop) > 0
    )
    with quiet_transformers(), ShowProgress() as progress:
        try:
            if resumed:
                say(f"Going on after step {resumed}, from {work}")
            else:
                _measure_base(model, inputs, collator, settings, work)
            adapter = None if settings.lora_rank is None else add_adapter(model, settings, base)
            trainer = WhisperTrainer(
                model=model,
                args=arguments,
                data_collator=collator,
                train_dataset=SpeechDataset(inputs.train),
                eval_dataset=SpeechDataset(inputs.dev),
                callbacks=[progress, StopWhenDiverged(), SaveNowAndThen(save_steps, per_epoch)],
                bfloat16=bfloat16,
                temperature=settings.temperature,
                adapter=adapter,
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train(resume_from_checkpoint=str(checkpoint_path(work, resumed)) if resumed else None)
        except LorsError as error:
            # A worker's error comes as its whole traceback, whose last line is the sentence.
            last = str(error).strip().splitlines()[-1]
            raise type(error)(last.removeprefix("lors.base.errors.LorsError: ")) from None


def _measure_base(
    model: WhisperForConditionalGeneration,
    inputs: Inputs,
    collator: Collator,
    settings: FinetuneSettings,
    work: Path,
) -> None:
    """Keep the untouched base's loss on the first clips: where it is absurd, the data are wrong."""
    first = SpeechDataset(inputs.train[:_CLIPS_LOOKED_AT])
    batches = DataLoader(first, batch_size=min(len(first), settings.batch_size), collate_fn=collator)
    loss = mean_losses(model, batches, settings.precision == "bfloat16")[""]
    if not rank():
        write_json(work / BASE_LOSS, loss)
    say(f"Loss of the base model on the first {len(first)} clips: {loss:.3f} nats a token")
    if loss > _IMPLAUSIBLE_LOSS:
        say(
            f"Warning: {loss:.1f} nats a token are implausible for a pretrained Whisper (0.1 to 3 are "
            "usual): do the texts belong to the audio, and is the language right?"
        )


def training_arguments(
    settings: FinetuneSettings, steps: int, work: Path, device: str, workers: int | None, evaluates: bool
) -> TrainingArguments:
    """What the Trainer is told: no reports, no bars, a checkpoint (and a dev loss) at each epoch's end."""
    arguments = TrainingArguments(
        output_dir=str(work),
        use_cpu=device == "cpu",
        seed=settings.seed,
        per_device_train_batch_size=settings.batch_size // processes(),
        per_device_eval_batch_size=settings.batch_size // processes(),
        gradient_accumulation_steps=settings.gradient_accumulation,
        max_steps=steps,
        optim="adamw_torch_fused",
        learning_rate=settings.learning_rate,
        weight_decay=0.0,
        max_grad_norm=MAX_GRADIENT_NORM,
        lr_scheduler_type="linear",
        warmup_steps=settings.warmup,
        eval_strategy="epoch" if evaluates else "no",
        save_strategy="epoch",
        metric_for_best_model="loss",
        greater_is_better=False,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        log_level="error",
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_num_workers=_workers(workers, device),
    )
    if device != "cpu":
        arguments._n_gpu = 1  # one GPU an expert: several experts run beside each other instead
    return arguments


def _workers(wanted: int | None, device: str) -> int:
    if wanted is not None:
        return wanted
    return 0 if device == "cpu" else min(8, max(1, usable_cores() - 1))
