"""`lors prepare fleurs` and its like: published corpora that lie on this machine, and data sets of the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from lors.base.errors import UsageError
from lors.cli.prepare_covost import MaximumSeconds, Out, Overwrite, SkipBad
from lors.cli.prepared import names, print_prepared

Corpus = Annotated[Path, typer.Option("--corpus", help="The folder in which the corpus was unpacked.")]
Languages = Annotated[
    list[str],
    typer.Option("--languages", "-l", help="That are spoken: a list with commas, or the flag repeated."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--targets", "-t", help="Translate into these; by default there is transcription alone."),
]
NeededTargets = Annotated[
    list[str], typer.Option("--targets", "-t", help="Translate into these: a list with commas.")
]
Splits = Annotated[list[str] | None, typer.Option("--splits", help="Only these of the corpus's own splits.")]
Text = Annotated[str, typer.Option("--text", help="raw, as written, or normalised, by the corpus's makers.")]


def fleurs(
    corpus: Corpus,
    languages: Languages,
    out: Out,
    targets: Targets = None,
    splits: Splits = None,
    text: Text = "raw",
    maximum_seconds: MaximumSeconds = 30.0,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """FLEURS: read sentences in 102 languages, parallel; `es_419/train.tsv`, `es_419/audio/train/*.wav`."""
    from lors.speech.corpora.fleurs import prepare_fleurs

    prepared = prepare_fleurs(
        corpus,
        names(languages),
        out,
        targets=names(targets or []),
        splits=names(splits or []),
        text=text,  # type: ignore[arg-type]  # checked there, with a sentence
        maximum_seconds=maximum_seconds,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    print_prepared("FLEURS", prepared)


def multilingual_librispeech(
    corpus: Corpus,
    languages: Languages,
    out: Out,
    splits: Splits = None,
    maximum_seconds: MaximumSeconds = 30.0,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """Multilingual LibriSpeech: `mls_german/train/transcripts.txt`; small training sets by --splits train-10h."""
    from lors.speech.corpora.multilingual_librispeech import prepare_multilingual_librispeech

    prepared = prepare_multilingual_librispeech(
        corpus,
        names(languages),
        out,
        splits=names(splits or []),
        maximum_seconds=maximum_seconds,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    print_prepared("Multilingual LibriSpeech", prepared)


def voxpopuli(
    corpus: Corpus,
    languages: Languages,
    out: Out,
    splits: Splits = None,
    text: Text = "normalised",
    maximum_seconds: MaximumSeconds = 30.0,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """VoxPopuli: `transcribed_data/es/asr_train.tsv`, as `voxpopuli.get_asr_data` leaves it."""
    from lors.speech.corpora.voxpopuli import prepare_voxpopuli

    prepared = prepare_voxpopuli(
        corpus,
        names(languages),
        out,
        splits=names(splits or []),
        text=text,  # type: ignore[arg-type]  # checked there, with a sentence
        maximum_seconds=maximum_seconds,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    print_prepared("VoxPopuli", prepared)


def europarl_st(
    corpus: Corpus,
    languages: Languages,
    targets: NeededTargets,
    out: Out,
    splits: Splits = None,
    maximum_seconds: MaximumSeconds = 30.0,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """Europarl-ST: `es/audios/*.m4a`, `es/en/train/segments.lst`; both tasks."""
    from lors.speech.corpora.europarl_st import prepare_europarl_st

    prepared = prepare_europarl_st(
        corpus,
        names(languages),
        out,
        targets=names(targets),
        splits=names(splits or []),
        maximum_seconds=maximum_seconds,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    print_prepared("Europarl-ST", prepared)


def must_c(
    corpus: Corpus,
    targets: NeededTargets,
    out: Out,
    splits: Splits = None,
    maximum_seconds: MaximumSeconds = 30.0,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """MuST-C: English talks, `en-de/data/train/txt/train.yaml`; both tasks; tst-COMMON is test."""
    from lors.speech.corpora.must_c import prepare_must_c

    prepared = prepare_must_c(
        corpus,
        out,
        targets=names(targets),
        splits=names(splits or []),
        maximum_seconds=maximum_seconds,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    print_prepared("MuST-C", prepared)


def hub(
    dataset: Annotated[str, typer.Argument(help="A folder with parquet files, or a name on the Hub.")],
    column: Annotated[
        list[str],
        typer.Option("--column", help="ROLE=COLUMN, of audio, text, translation, id, speaker; repeat it."),
    ],
    source_lang: Annotated[str, typer.Option(help="The language that is spoken.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write, with the audio.")],
    target_lang: Annotated[str | None, typer.Option(help="The language of the column `translation`.")] = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Repeat it for more; train if none.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="The configuration, where there are several.")] = None,
    revision: Annotated[str | None, typer.Option(help="A commit or a branch on the Hub.")] = None,
    licence: Annotated[str | None, typer.Option(help="Where the data set does not state it.")] = None,
    maximum_seconds: MaximumSeconds = 30.0,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """Hugging Face data sets in parquet, by name or in a folder; wants `pip install 'lors[hub]'`."""
    from lors.speech.corpora.hub import prepare_hub

    prepared = prepare_hub(
        dataset,
        out,
        columns=_columns(column),
        source_lang=source_lang,
        target_lang=target_lang,
        splits=names(split or ["train"]),
        config=config,
        revision=revision,
        licence=licence,
        maximum_seconds=maximum_seconds,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    print_prepared(dataset, prepared)


def _columns(given: list[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for pair in given:
        role, equals, name = pair.partition("=")
        if not (role and equals and name) or role in columns:
            raise UsageError(f"--column {pair}: ROLE=COLUMN was expected, each role once, as text=sentence.")
        columns[role] = name
    return columns
