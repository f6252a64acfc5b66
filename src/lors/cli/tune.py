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
            "With --trials also a range, as scale=0.1..1. By default scale=0.2,0.3,0.4,0.5,0.6,0.8,1.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Draw so many candidates with Optuna's TPE instead of trying all combinations."),
    ] = None,
    first_look: Annotated[
        str,
        typer.Option(help="What ranks all candidates: loss (teacher-forced, in memory) or greedy decoding."),
    ] = "loss",
    short_list: Annotated[
        int, typer.Option(help="How many of the best by the first look are decoded with all beams.")
    ] = 3,
    beam_size: Annotated[int, typer.Option(help="Beams of the decoding that decides.")] = 5,
    window: Annotated[
        int,
        typer.Option(help="Encoder positions of 20 ms; longer clips get a multiple. 1500 is Whisper's 30 s."),
    ] = 1500,
    quantization: Annotated[str | None, typer.Option(help="Number format: int8 by default.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first utterances of each language and task of a manifest.")
    ] = None,
    weigh: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK=NUMBER", help="Weight of a task where both are tuned, as translate=2."),
    ] = None,
    relative_to: Annotated[
        str | None,
        typer.Option(
            metavar="pretrained|experts",
            help="What changes are relative to: the pretrained model, or the expert trained on each language and "
            "task. By default pretrained for both tasks, and plain WER or BLEU for one.",
        ),
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(help="Folder of the base model's evaluation, for several searches to share."),
    ] = None,
    retain: Annotated[
        list[Path] | None,
        typer.Option(help="Manifest of a language that must not suffer; once for each."),
    ] = None,
    retain_within: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Refuse what makes these worse by more than this, as 5%."),
    ] = None,
    stages: Annotated[
        bool,
        typer.Option(
            "--stages", help="First each expert's own ratios on its own data, then the rest for all."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of drawn trials, the order of clips and the bootstrap.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another search that is at --out.")
    ] = False,
) -> None:
    """Merge at several settings, measure on development data, and write the best recipe, the trials and the curve.

    Interrupted, the same command goes on where it stopped.
    """
    tried = _once("--try", [_values(text) for text in try_ or []])
    weights = _once("--weigh", [_weight(text) for text in weigh or []])
    with no_collection():
        from lors.study.tuning.report import as_good, in_cells, unit, values_in_words, with_interval
        from lors.study.tuning.stages import tune_in_stages
        from lors.study.tuning.tune import RECIPE
        from lors.study.tuning.tune import tune as search

    found = (tune_in_stages if stages else search)(
        recipe,
        dev,
        out,
        tried=tried,
        trials=trials,
        first_look=first_look,
        short_list=short_list,
        beam_size=beam_size,
        window=window,
        quantization=quantization,
        limit=limit,
        weigh=weights,
        relative_to=relative_to,
        pretrained=pretrained,
        retain=retain or [],
        retain_within=None if retain_within is None else _per_cent(retain_within),
        seed=seed,
        overwrite=overwrite,
    )
    best, base = found.best, found.pretrained
    typer.echo(
        f"best: {values_in_words(best.values)}: {unit(best)} {with_interval(best)}, "
        f"pretrained {with_interval(base)}, n = {best.n}"
    )
    if best.retention is not None:
        interval = f"{best.retention_low:+.2f} to {best.retention_high:+.2f}"
        typer.echo(f"held out: {best.retention:+.2f} % against pretrained ({interval}; above 0 is worse)")
    if best.metric == "relative":
        typer.echo(in_cells(found))
    typer.echo(f"as good within its interval: {as_good(found)}\n{best.signature}\n{out / RECIPE}")


def _once(option: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    from lors.base.errors import UsageError

    if len(dict(pairs)) < len(pairs):
        raise UsageError(f"{option}: a key is given twice; put its values together, as scale=0.2,0.4.")
    return dict(pairs)


def _values(text: str) -> tuple[str, Any]:
    """`scale=0.2,0.4` → the key, and each value as a recipe file would read it; `scale=0.1..1` → a range."""
    from lors.base.errors import UsageError
    from lors.merging.recipe_file import read_value
    from lors.study.tuning.space import Range

    key, equals, values = text.partition("=")
    if not (key and equals and values):
        raise UsageError(f"--try {text}: expected a key and values, as scale=0.2,0.4.")
    try:
        low, dots, high = values.partition("..")
        if dots:
            ends = [read_value(low), read_value(high)]
            if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
                raise ValueError("expected two numbers, as 0.1..1")
            return key, Range(*ends)
        return key, [read_value(value) for value in values.split(",")]
    except ValueError as error:
        raise UsageError(f"--try {text}: {error}.") from None


def _weight(text: str) -> tuple[str, float]:
    from lors.base.errors import UsageError

    task, _, number = text.partition("=")
    try:
        return task, float(number)
    except ValueError:
        raise UsageError(f"--weigh {text}: expected a task and a number, as translate=2.") from None


def _per_cent(text: str) -> float:
    from lors.base.errors import UsageError

    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        raise UsageError(f"--retain-within {text}: expected per cent, as 5%.") from None
