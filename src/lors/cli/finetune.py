"""`lors finetune`: a pretrained Whisper becomes an expert."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lors.cli.imports import no_collection


def finetune(
    base: Annotated[str, typer.Option(help="Pretrained Whisper: a directory or a Hub id.")],
    train: Annotated[list[Path], typer.Option(help="Manifest to learn from; once for each.")],
    out: Annotated[Path, typer.Option(help="Directory to make.")],
    dev: Annotated[
        list[Path] | None,
        typer.Option(
            help="Manifest to measure the loss on after each epoch; the best weights are kept. Once for each."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings of the paper, as paper/asr/ca; `lors presets` lists them. Flags go before."
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(help="Passes over the data; a fraction is allowed.", show_default="10"),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help="Steps of the optimiser, in place of --epochs.")
    ] = None,
    learning_rate: Annotated[
        str | None,
        typer.Option(
            help="The highest; it falls linearly to zero. auto chooses it by short runs and the dev loss, of 1e-7 to "
            "1e-4, or of a list: auto:1e-6,1e-5.",
            show_default="1e-05",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Clips computed at once, by all processes of torchrun together.", show_default="8"),
    ] = None,
    gradient_accumulation: Annotated[
        int | None, typer.Option(help="Batches that make one step.", show_default="1")
    ] = None,
    window: Annotated[
        int,
        typer.Option(
            help="Encoder positions, 50 a second: 1500 is Whisper's 30 s, 400 (8 s) is four times as fast. "
            "Longer clips are left out."
        ),
    ] = 1500,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the learning rate rises.")] = 0.1,
    temperature: Annotated[
        float,
        typer.Option(
            help="T of the draw over languages and tasks, in proportion to n^(1/T) for n clips: 1 leaves the data "
            "as they are, a higher one evens them out."
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the order of the clips.")] = 0,
    lora_rank: Annotated[
        int | None, typer.Option(help="Train a LoRA adapter of this rank, as 16, in place of all parameters.")
    ] = None,
    lora_alpha: Annotated[
        float | None,
        typer.Option(help="The adapter is multiplied by alpha / rank.", show_default="twice the rank"),
    ] = None,
    lora_targets: Annotated[
        str | None,
        typer.Option(
            help="Matrices with an adapter: some of q_proj, k_proj, v_proj, out_proj, fc1, fc2, with commas.",
            show_default="q_proj,v_proj",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="auto, float32 or bfloat16 (the default on a GPU; on a processor with AVX512-BF16 or AMX it "
            "halves the time)."
        ),
    ] = "auto",
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes that read audio.")] = None,
    save_steps: Annotated[
        int | None, typer.Option(help="Steps between checkpoints, in place of five minutes.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace what is at --out, or an unfinished run of other settings."),
    ] = False,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Keep an --out that the same settings and data made.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything, print settings, data and steps; write nothing."),
    ] = False,
) -> None:
    """Fine-tune Whisper on one or several manifests: one or many languages, one or both tasks.

    Interrupted, the same command goes on where it stopped. On several GPUs: torchrun --nproc-per-node 2 -m lors
    finetune ….
    """
    settings: dict[str, Any] = {
        "preset": preset,
        "epochs": epochs,
        "max_steps": max_steps,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "gradient_accumulation": gradient_accumulation,
        "window": window,
        "warmup": warmup,
        "temperature": temperature,
        "seed": seed,
        "lora_rank": lora_rank,
        "lora_alpha": lora_alpha,
        "lora_targets": lora_targets,
        "device": device,
        "precision": precision,
        "workers": workers,
        "save_steps": save_steps,
        "overwrite": overwrite,
        "reuse": reuse,
    }
    if dry_run:
        from lors.speech.finetuning_plan import dry_run as describe
        from lors.speech.finetuning_plan import make_plan

        for line in describe(make_plan(base, train, out, dev or (), **settings), overwrite):
            typer.echo(line)
        return

    with no_collection():
        from lors.speech.finetuning import finetune as finetune_model
    from lors.speech.processes import one_voice

    with one_voice():
        result = finetune_model(
            base, train, out, dev or (), gradient_checkpointing=gradient_checkpointing, **settings
        )
        for measured in result.dev_losses:
            step = int(measured["step"])
            typer.echo(
                f"dev loss {measured['loss']:.4f} at step {step}{' (kept)' if step == result.kept_step else ''}"
            )
        if result.reused:
            typer.echo(f"{result.directory} (was there already)")
        else:
            typer.echo(f"{result.directory} ({result.steps} steps, {result.seconds:.0f} s)")
