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
    scales: Annotated[
        str, typer.Option(help="The λ to try for every method that takes one.")
    ] = "0.4,0.6,0.8,1",
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

    from lors.base.errors import UsageError
    from lors.speech.evaluation_table import rich_table
    from lors.study.quickstart.quickstart import QuickstartSettings
    from lors.study.quickstart.quickstart import quickstart as run

    try:
        factors = tuple(float(scale) for scale in scales.split(","))
    except ValueError:
        raise UsageError(f"--scales is '{scales}', expected numbers with commas, as 0.4,0.8.") from None
    settings = QuickstartSettings(
        base=base,
        languages=tuple(name.strip() for name in languages.split(",") if name.strip()),
        scales=factors,
        max_steps=max_steps,
        limit=limit,
    )
    result = run(out, settings)
    Console(highlight=False).print(rich_table(result.evaluation))
    typer.echo(f"{result.directory / 'report.md'}\n{result.directory / 'chart.png'}")
