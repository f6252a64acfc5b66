"""`lors manifest`: look a manifest over before anything heavy reads it."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Check manifests.", no_args_is_help=True)

_SHOWN = 50


@app.callback()
def _root() -> None:
    pass


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The manifest: one JSON object a line.")],
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Open every audio file too.")] = True,
) -> None:
    """Print FILE:LINE and what is wrong for every bad line (exit 1), or what a good manifest holds."""
    from lors.speech.manifest import manifest_problems, read_manifest

    found = 0
    for found, (line, what) in enumerate(manifest_problems(file, check_audio=audio), start=1):
        if found <= _SHOWN:
            typer.echo(f"{file}:{line}: {what}")
    if found > _SHOWN:
        typer.echo(f"… and {found - _SHOWN} more bad lines.")
    if found:
        raise typer.Exit(1)
    utterances = read_manifest(file, check_audio=False)
    hours = sum(utterance.duration for utterance in utterances) / 3600
    tasks = sorted({f"{u.source_lang} → {u.target_lang} ({u.task})" for u in utterances})
    typer.echo(f"{file}: {len(utterances)} utterances, {hours:.2f} hours, {', '.join(tasks)}")
