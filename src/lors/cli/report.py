"""`lors report`: what went wrong in an evaluation, utterance by utterance and word by word."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that `lors evaluate` wrote.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write one HTML file in place of printing.")
    ] = None,
    worst: Annotated[int, typer.Option(help="Utterances to show of each model and language.")] = 20,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only what this model wrote; once for each.")
    ] = None,
    utterance: Annotated[
        list[str] | None,
        typer.Option(
            "--utterance", help="Show this utterance over all models, in place of the worst; once for each."
        ),
    ] = None,
    side_by_side: Annotated[
        int | None,
        typer.Option(
            help="Show, of each language, so many utterances in whose errors the models differ most."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out.")] = False,
) -> None:
    """Show scores, the words that are confused, and the worst utterances with their alignments."""
    from lors.base.errors import UsageError
    from lors.base.files import refuse_existing
    from lors.speech.evaluation_report import read_report

    if out is not None:
        if out.is_dir():
            raise UsageError(f"{out}: is a folder; name the HTML file to write.")
        refuse_existing(out, overwrite)
    found = read_report(results, worst, model or (), utterance or (), side_by_side)
    if out is not None:
        from lors.speech.report_html import write_html

        write_html(found, out)
        typer.echo(out)
        return

    import sys

    from rich.console import Console

    from lors.speech.report_terminal import print_report

    # What is piped into a file keeps all the table's columns, and lines that can be read.
    print_report(found, Console() if sys.stdout.isatty() else Console(width=160))
