"""`lors score`: word errors of a text file against another, line by line."""

from pathlib import Path
from typing import Annotated

import typer


def score(
    reference: Annotated[Path, typer.Option(help="What was said, a line an utterance.")],
    hypothesis: Annotated[Path, typer.Option(help="What was recognised, line by line.")],
    normaliser: Annotated[
        str,
        typer.Option(help="none, lower, no-punctuation, fold-diacritics or whisper-basic."),
    ] = "no-punctuation",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count word errors as NIST's sclite does, on text that is normalised first."""
    from dataclasses import asdict
    from json import dumps

    from lors.speech.scoring import score_files

    result = score_files(reference, hypothesis, normaliser)
    if json:
        typer.echo(dumps(asdict(result.errors) | {"wer": result.errors.wer, "signature": result.signature}))
        return
    for name, count in asdict(result.errors).items():
        typer.echo(f"{name:<13} {count:>8}")
    typer.echo(f"{'WER':<13} {result.errors.wer:>8.2f} %\n{result.signature}")
