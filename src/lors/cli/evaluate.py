"""`lors evaluate`: word error rates and BLEU of models side by side."""

from pathlib import Path
from typing import Annotated

import typer

from lors.cli.imports import no_collection
from lors.cli.sizes import bytes_of


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Directories or Hub ids, NAME=MODEL to name them; others are compared with the first.",
        ),
    ],
    data: Annotated[list[Path], typer.Option("--data", "-d", help="A manifest; once for each.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for results, table and hypotheses.")],
    engine: Annotated[str, typer.Option(help="ctranslate2 or transformers.")] = "ctranslate2",
    quantization: Annotated[
        str | None, typer.Option(help="Number format: int8 by default (transformers: float32).")
    ] = None,
    beam_size: Annotated[int, typer.Option(help="Beams of the search; 1 is greedy.")] = 5,
    window: Annotated[
        int,
        typer.Option(help="Encoder positions of 20 ms; longer clips get a multiple. 1500 is Whisper's 30 s."),
    ] = 1500,
    nbest: Annotated[
        int, typer.Option(help="Texts to keep of each utterance with their scores, up to the beam size.")
    ] = 1,
    language: Annotated[
        str, typer.Option(help="Spoken in a clip: what the manifest says, or detect to have the model tell.")
    ] = "manifest",
    memory: Annotated[
        str | None,
        typer.Option(
            help="What batches may hold beside the weights, as 4GiB; half of what is free by default."
        ),
    ] = None,
    normaliser: Annotated[
        str | None, typer.Option(help="Of words for WER, in place of what the manifest asks for.")
    ] = None,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap that gives the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    limit: Annotated[
        int | None, typer.Option(help="Only the first utterances of each language and task of a manifest.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the printed table: wer and bleu by default, or cer, chrf; once for each. "
            "results.json has all four."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out.")] = False,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Show what is at --out where it answers this very request.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print results.json in place of the table.")] = False,
) -> None:
    """Decode speech with one or more models and score it: WER and CER, or BLEU and chrF for translations.

    An evaluation that was interrupted goes on where it stopped when the same command is given again.
    """
    from lors.base.files import read_json

    with no_collection():
        from lors.speech.evaluation import evaluate as evaluate_models
    from lors.speech.evaluation_decoding import decoding_notes
    from lors.speech.evaluation_table import FIRST_METRICS, check_metrics, rich_table, table_notes

    check_metrics(metric or (), data)
    named = [_split_name(model) for model in models]
    evaluation = evaluate_models(
        [model for _, model in named],
        data,
        out,
        engine=engine,
        quantization=quantization,
        beam_size=beam_size,
        window=window,
        nbest=nbest,
        language=language,
        memory=None if memory is None else bytes_of("--memory", memory),
        normaliser=normaliser,
        resamples=resamples,
        seed=seed,
        limit=limit,
        overwrite=overwrite,
        reuse=reuse,
        names={model: name for name, model in named if name},
    )
    if json:
        typer.echo((evaluation.directory / "results.json").read_text(encoding="utf-8"), nl=False)
        return

    import sys

    from rich.console import Console

    # A table that is piped into a file keeps all its columns.
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=240)
    columns = metric or FIRST_METRICS
    console.print(rich_table(evaluation, columns))
    for note in table_notes(evaluation, columns):
        console.print(note, markup=False, soft_wrap=True)
    for note in decoding_notes(read_json(evaluation.directory / "results.json")):
        console.print(note, markup=False, soft_wrap=True)
    console.print(f"{evaluation.directory}/results.json", markup=False, soft_wrap=True)


def _split_name(model: str) -> tuple[str, str]:
    name, equals, place = model.partition("=")
    if equals and name and place and not Path(model).exists():
        return name, place
    return "", model
