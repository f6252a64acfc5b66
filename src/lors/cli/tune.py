"""`lors tune`: the best settings of a merge, on development data."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lors.cli.imports import no_collection


def tune(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML); keys that are tried may be missing.")],
    dev: Annotated[list[Path], typer.Option(help="Manifest of development data; once for each.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the recipe, trials and curve.")],
    try_: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="KEY=VALUES",
            help="Values of a recipe key, as rank_ratio=0.01,0.05; all combinations are tried. "
            "By default scale=0.2,0.3,0.4,0.5,0.6,0.8,1.",
        ),
    ] = None,
    short_list: Annotated[
        int, typer.Option(help="How many of the best by greedy decoding are decoded with all beams.")
    ] = 3,
    beam_size: Annotated[int, typer.Option(help="Beams of the decoding that decides.")] = 5,
    window: Annotated[
        int,
        typer.Option(help="Encoder positions of 20 ms; longer clips get a multiple. 1500 is Whisper's 30 s."),
    ] = 1500,
    quantization: Annotated[str | None, typer.Option(help="Number format: int8 by default.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first utterances of each language of a manifest.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another search that is at --out.")
    ] = False,
) -> None:
    """Merge at several settings, decode development data, and write the best recipe, the trials and the curve.

    Interrupted, the same command goes on where it stopped.
    """
    tried = dict(map(_values, try_ or []))
    if len(tried) < len(try_ or []):
        from lors.base.errors import UsageError

        raise UsageError("--try: a key is given twice; put its values together, as scale=0.2,0.4.")
    with no_collection():
        from lors.study.tuning import RECIPE
        from lors.study.tuning import tune as search
        from lors.study.tuning_report import as_good

    found = search(
        recipe,
        dev,
        out,
        tried=tried,
        short_list=short_list,
        beam_size=beam_size,
        window=window,
        quantization=quantization,
        limit=limit,
        overwrite=overwrite,
    )
    best, base = found.best, found.pretrained
    settings = ", ".join(f"{key} {value}" for key, value in best.values.items())
    typer.echo(
        f"best: {settings}: {best.metric.upper()} {best.value:.2f} ({best.low:.2f}–{best.high:.2f}), "
        f"pretrained {base.value:.2f} ({base.low:.2f}–{base.high:.2f}), n = {best.n}"
    )
    typer.echo(f"as good within its interval: {as_good(found)}\n{best.signature}\n{out / RECIPE}")


def _values(text: str) -> tuple[str, list[Any]]:
    """`scale=0.2,0.4` → the key, and each value as a recipe file would read it."""
    from lors.base.errors import UsageError
    from lors.merging.recipe_file import read_value

    key, equals, values = text.partition("=")
    if not (key and equals and values):
        raise UsageError(f"--try {text}: expected a key and values, as scale=0.2,0.4.")
    try:
        return key, [read_value(value) for value in values.split(",")]
    except ValueError as error:
        raise UsageError(f"--try {text}: {error}.") from None
