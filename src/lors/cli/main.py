"""The `lors` command: its sub-commands, and the one place where an error becomes a sentence."""

import re
import sys
from typing import Annotated

import typer

from lors.base.errors import LorsError
from lors.base.files import describe_os_error
from lors.base.progress import say
from lors.cli import (
    evaluate,
    finetune,
    manifest,
    merge,
    methods,
    prepare,
    presets,
    quickstart,
    report,
    score,
    study,
    suspects,
    transcribe,
    tune,
    verify,
)
from lors.version import __version__

app = typer.Typer(
    name="lors",
    help="Merge fine-tuned speech models into one multilingual, multitask model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lors {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.add_typer(prepare.app, name="prepare")
app.command()(finetune.finetune)
app.command()(presets.presets)
app.command()(merge.merge)
app.command()(methods.methods)
app.command()(verify.verify)
app.command()(evaluate.evaluate)
app.command()(transcribe.transcribe)
app.command()(report.report)
app.command()(score.score)
app.command()(suspects.suspects)
app.add_typer(manifest.app, name="manifest")
app.command()(tune.tune)
app.add_typer(study.app, name="study")
app.command()(quickstart.quickstart)


def main() -> None:
    """Run the command line; a mistake ends in one sentence, never in a traceback."""
    try:
        app(prog_name="lors")
    except LorsError as error:
        say(f"lors: {_on_one_line(str(error))}")
        sys.exit(error.exit_code)
    except OSError as error:
        say(f"lors: {_on_one_line(describe_os_error(error))}")
        sys.exit(1)


def _on_one_line(text: str) -> str:
    """A name in a message may hold line breaks, and codes that a terminal would obey."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)


if __name__ == "__main__":
    main()
