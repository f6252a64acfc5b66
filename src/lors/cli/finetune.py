"""`lors finetune`: a pretrained Whisper becomes an expert."""

from pathlib import Path
from typing import Annotated

import typer


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
    epochs: Annotated[float, typer.Option(help="Passes over the data; a fraction is allowed.")] = 10.0,
    max_steps: Annotated[
        int | None, typer.Option(help="Steps of the optimiser, in place of --epochs.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="The highest; it falls linearly to zero.")] = 1e-5,
    batch_size: Annotated[int, typer.Option(help="Clips computed at once.")] = 8,
    gradient_accumulation: Annotated[int, typer.Option(help="Batches that make one step.")] = 1,
    window: Annotated[
        int,
        typer.Option(
            help="Encoder positions, 50 a second: 1500 is Whisper's 30 s, 400 (8 s) is four times as fast. "
            "Longer clips are left out."
        ),
    ] = 1500,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the learning rate rises.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the order of the clips.")] = 0,
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
) -> None:
    """Fine-tune Whisper on one or several manifests, languages and tasks mixed as they are.

    Interrupted, the same command goes on where it stopped.
    """
    from lors.speech.finetuning import finetune as finetune_model

    result = finetune_model(
        base,
        train,
        out,
        dev or (),
        epochs=epochs,
        max_steps=max_steps,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        window=window,
        warmup=warmup,
        seed=seed,
        device=device,
        precision=precision,
        gradient_checkpointing=gradient_checkpointing,
        workers=workers,
        save_steps=save_steps,
        overwrite=overwrite,
        reuse=reuse,
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
