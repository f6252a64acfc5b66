"""`lors quickstart`: the whole way once, on real weights and real voices."""

from pathlib import Path
from typing import Annotated

import typer


def quickstart(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all that is made.")] = Path(
        "quickstart"
    ),
    languages: Annotated[
        str, typer.Option("--languages", "-l", help="Of es, fr, it, ru: one expert is trained on each.")
    ] = "es,fr",
    base: Annotated[str, typer.Option(help="Pretrained Whisper: a directory or a Hub id.")] = (
        "openai/whisper-base"
    ),
    max_steps: Annotated[
        int | None, typer.Option(help="Steps of each fine-tuning, for a shorter look.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Clips of each language to decode, for a shorter look.")
    ] = None,
) -> None:
    """Train two experts on real speech, merge them in five ways, and compare: one table, one chart.

    Interrupted, the same command goes on where it stopped.
    """
    from rich.console import Console

    from lors.speech.evaluation_table import rich_table
    from lors.study.quickstart import QuickstartSettings
    from lors.study.quickstart import quickstart as run

    settings = QuickstartSettings(
        base=base,
        languages=tuple(name.strip() for name in languages.split(",") if name.strip()),
        max_steps=max_steps,
        limit=limit,
    )
    result = run(out, settings)
    Console(highlight=False).print(rich_table(result.evaluation))
    typer.echo(f"{result.directory / 'report.md'}\n{result.directory / 'chart.png'}")
