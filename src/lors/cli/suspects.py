"""`lors suspects`: transcripts that are hardly what is said."""

from pathlib import Path
from typing import Annotated

import typer


def suspects(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="Of transcriptions.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file to write.")],
    model: Annotated[str, typer.Option("--model", help="Directory or Hub id.")] = "openai/whisper-base",
    worst: Annotated[int, typer.Option(help="Clips to list; the TSV file beside has all.")] = 100,
    engine: Annotated[str, typer.Option(help="ctranslate2 or transformers.")] = "ctranslate2",
    quantization: Annotated[
        str | None, typer.Option(help="Number format: int8 by default (transformers: float32).")
    ] = None,
    beam_size: Annotated[int, typer.Option(help="Beams of the search; 1 is greedy.")] = 1,
    window: Annotated[
        int, typer.Option(help="Encoder positions of 20 ms; longer clips get a multiple.")
    ] = 400,
    memory: Annotated[
        str | None,
        typer.Option(
            help="What batches may hold beside the weights, as 4GiB; half of what is free by default."
        ),
    ] = None,
    normaliser: Annotated[
        str | None, typer.Option(help="Of the texts, in place of what the manifest asks for.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first utterances of each language of a manifest.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out.")] = False,
) -> None:
    """Decode every clip and list, worst first and with players, transcripts that are hardly what is said.

    Beside suspects.html stand suspects.tsv with all clips, and the folder suspects.decoded: a run that was
    interrupted goes on where it stopped when the same command is given again.
    """
    from lors.cli.sizes import bytes_of
    from lors.speech.suspects import find_suspects

    found = find_suspects(
        manifests,
        out,
        model=model,
        engine=engine,
        quantization=quantization,
        beam_size=beam_size,
        window=window,
        memory=None if memory is None else bytes_of("--memory", memory),
        normaliser=normaliser,
        limit=limit,
        worst=worst,
        overwrite=overwrite,
    )

    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{found.listed} of {len(found.ranked)} clips are listed in {found.html}")
    table.add_column("language")
    for heading in ("clips", "hours", "WER", "letters/s", "with digits", "with accents", "heard accents"):
        table.add_column(heading, justify="right")
    for language, facts in found.facts.items():
        table.add_row(
            language,
            str(facts.clips),
            f"{facts.hours:.2f}",
            f"{facts.wer:.1f}",
            f"{facts.letters_per_second:.1f}",
            str(facts.digits),
            str(facts.accents),
            str(facts.heard_accents),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"{found.tsv}", markup=False, soft_wrap=True)
