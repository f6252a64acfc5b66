"""`lors prepare`: corpora become checked manifests."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lors.speech.corpora.prepared import PreparedCorpus

app = typer.Typer(help="Turn a corpus into checked manifests and 16 kHz audio.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    pass


@app.command()
def prompts(
    languages: Annotated[
        list[str],
        typer.Option(
            "--languages", "-l", help="Of en, es, fr, it, ru: a list with commas, or the flag repeated."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    minimum_words: Annotated[int, typer.Option(help="Leave out prompts with fewer words.")] = 3,
    maximum_seconds: Annotated[float, typer.Option(help="Leave out longer prompts; at most 30.")] = 30.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")] = False,
) -> None:
    """Telephone prompts: real human speech, parallel in five languages (10 MB a language, fetched once)."""
    from lors.speech.corpora.prompts import prepare_prompts

    names = [name.strip() for given in languages for name in given.split(",") if name.strip()]
    corpus = prepare_prompts(
        names, out, overwrite=overwrite, minimum_words=minimum_words, maximum_seconds=maximum_seconds
    )
    _print(corpus)


def _print(corpus: "PreparedCorpus") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Telephone prompts in {corpus.directory}")
    for heading in ("language", "task", "split"):
        table.add_column(heading)
    for heading in ("clips", "minutes"):
        table.add_column(heading, justify="right")
    for manifest in corpus.manifests:
        row = (manifest.language, manifest.task, manifest.split, str(manifest.clips))
        table.add_row(*row, f"{manifest.seconds / 60:.1f}", end_section=manifest.split == "test")
    console = Console(highlight=False)
    console.print(table)
    for language, reasons in corpus.left_out.items():
        counts = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
        console.print(f"{language}, left out: {counts}", markup=False, soft_wrap=True)
