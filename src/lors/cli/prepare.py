"""`lors prepare`: corpora become checked manifests."""

from pathlib import Path
from typing import Annotated

import typer

from lors.cli import prepare_corpora, prepare_covost
from lors.cli.prepared import names, print_prepared

app = typer.Typer(help="Turn a corpus into checked manifests and 16 kHz audio.", no_args_is_help=True)

app.command("covost")(prepare_covost.covost)
app.command("common-voice")(prepare_covost.common_voice)
app.command("fleurs")(prepare_corpora.fleurs)
app.command("multilingual-librispeech")(prepare_corpora.multilingual_librispeech)
app.command("voxpopuli")(prepare_corpora.voxpopuli)
app.command("europarl-st")(prepare_corpora.europarl_st)
app.command("must-c")(prepare_corpora.must_c)
app.command("hub")(prepare_corpora.hub)


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

    corpus = prepare_prompts(
        names(languages),
        out,
        overwrite=overwrite,
        minimum_words=minimum_words,
        maximum_seconds=maximum_seconds,
    )
    print_prepared("Telephone prompts", corpus, length="minutes")


@app.command()
def stamps(
    languages: Annotated[
        list[str],
        typer.Option(
            "--languages",
            "-l",
            help="Of ca, es, fr, ru, ro, bg, be, el, da: a list with commas, or the flag repeated.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    minimum_words: Annotated[int, typer.Option(help="Leave out descriptions with fewer words.")] = 1,
    maximum_seconds: Annotated[float, typer.Option(help="Leave out longer recordings; at most 30.")] = 30.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")] = False,
) -> None:
    """Stamps of Tux Paint: short spoken descriptions in nine languages, with English (161 MB, fetched once)."""
    from lors.speech.corpora.stamps import prepare_stamps

    corpus = prepare_stamps(
        names(languages),
        out,
        overwrite=overwrite,
        minimum_words=minimum_words,
        maximum_seconds=maximum_seconds,
    )
    print_prepared("Stamps", corpus, length="minutes")
