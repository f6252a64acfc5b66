"""`lors prepare covost` and `lors prepare common-voice`: releases that lie on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from lors.cli.prepared import names, print_prepared

Release = Annotated[
    Path,
    typer.Option(
        "--common-voice",
        help="A release (cv-corpus-…), the folder in which it lies, or one language's folder.",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder to write; the audio stays where it is.")]
MaximumSeconds = Annotated[float, typer.Option(help="Leave out longer clips; at most 30.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used, and count them.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")]


def covost(
    common_voice: Release,
    covost: Annotated[
        list[Path],
        typer.Option(
            "--covost", help="A folder with covost_v2.SOURCE_TARGET.tsv, or such a file; repeat it for more."
        ),
    ],
    out: Out,
    languages: Annotated[
        list[str] | None,
        typer.Option(
            "--languages", "-l", help="Other than English, as ca,de,sv-SE; of a paper's subset all, if none."
        ),
    ] = None,
    direction: Annotated[
        str, typer.Option(help="into-english (21 languages) or from-english (15).")
    ] = "into-english",
    subset: Annotated[
        str | None,
        typer.Option(
            help="paper-high, paper-low, or hours of training data: 5, or 1,2,5,10, each within the next."
        ),
    ] = None,
    evaluation_hours: Annotated[
        float | None, typer.Option(help="Hours of development and of test data each; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the subsets.")] = 0,
    train_covost: Annotated[
        bool,
        typer.Option("--train-covost/--no-train-covost", help="Take CoVoST-2's extension of train too."),
    ] = True,
    keep_shared_speakers: Annotated[
        bool, typer.Option("--keep-shared-speakers", help="Leave speakers of dev and test in train.")
    ] = False,
    maximum_seconds: MaximumSeconds = 30.0,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """CoVoST-2: its translations joined with a local Common Voice, for transcription and translation."""
    from lors.speech.corpora.covost import prepare_covost

    corpus = prepare_covost(
        common_voice,
        covost,
        names(languages or []),
        out,
        direction=direction,  # type: ignore[arg-type]  # checked there, with a sentence
        subset=subset,
        evaluation_hours=evaluation_hours,
        seed=seed,
        train_covost=train_covost,
        keep_shared_speakers=keep_shared_speakers,
        maximum_seconds=maximum_seconds,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    found = [
        f"{join.language}-{join.split}: {join.matched} of CoVoST-2's {join.listed} clips are in Common Voice"
        for join in corpus.joins
    ]
    print_prepared("CoVoST-2", corpus, found)


def common_voice(
    common_voice: Release,
    languages: Annotated[
        list[str], typer.Option("--languages", "-l", help="As ca,de,sv-SE, or the flag repeated.")
    ],
    out: Out,
    speaker_splits: Annotated[
        bool,
        typer.Option(
            "--speaker-splits/--release-splits",
            help="Part validated.tsv by speaker, or take the release's train.tsv, dev.tsv and test.tsv.",
        ),
    ] = False,
    maximum_seconds: MaximumSeconds = 30.0,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """Common Voice, any release that lies on this machine, for transcription."""
    from lors.speech.corpora.common_voice import prepare_common_voice

    corpus = prepare_common_voice(
        common_voice,
        names(languages),
        out,
        speaker_splits=speaker_splits,
        maximum_seconds=maximum_seconds,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    print_prepared("Common Voice", corpus)
