"""`lors transcribe`: audio files to text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lors.cli.imports import no_collection
from lors.cli.sizes import bytes_of

if TYPE_CHECKING:
    from lors.speech.transcription import Transcript


def transcribe(
    model: Annotated[str, typer.Argument(help="Directory or Hub id.")],
    audio: Annotated[
        list[Path], typer.Argument(metavar="AUDIO...", help="Files of at most 30 s, in any format.")
    ],
    language: Annotated[
        str | None, typer.Option(help="That is spoken, as es or Spanish; detected in each file by default.")
    ] = None,
    task: Annotated[str, typer.Option(help="transcribe, or translate for text in English.")] = "transcribe",
    nbest: Annotated[
        int, typer.Option(help="Texts to give of each file, up to the beam size; with --json.")
    ] = 1,
    json: Annotated[
        bool, typer.Option("--json", help="A line of JSON a file: text, language, probabilities, loops.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write in place of printing.")
    ] = None,
    engine: Annotated[str, typer.Option(help="ctranslate2 or transformers.")] = "ctranslate2",
    quantization: Annotated[
        str | None, typer.Option(help="Number format: int8 by default (transformers: float32).")
    ] = None,
    beam_size: Annotated[int, typer.Option(help="Beams of the search; 1 is greedy.")] = 5,
    window: Annotated[
        int,
        typer.Option(help="Encoder positions of 20 ms; longer files get a multiple. 1500 is Whisper's 30 s."),
    ] = 1500,
    memory: Annotated[
        str | None,
        typer.Option(
            help="What batches may hold beside the weights, as 4GiB; half of what is free by default."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out.")] = False,
) -> None:
    """Write down what is said in audio files: a line a file, its path, a tab, its text."""
    from lors.base.errors import UsageError
    from lors.base.files import refuse_existing, write_text

    if nbest > 1 and not json:
        raise UsageError("--nbest: several texts of a file do not fit on one line; ask for --json too.")
    if out is not None:
        if out.is_dir():
            raise UsageError(f"{out}: is a folder; name the file to write.")
        refuse_existing(out, overwrite)

    with no_collection():
        from lors.speech.transcription import transcribe as transcribe_files

    transcripts = transcribe_files(
        model,
        audio,
        language=language,
        task=task,
        engine=engine,
        quantization=quantization,
        beam_size=beam_size,
        window=window,
        nbest=nbest,
        memory=None if memory is None else bytes_of("--memory", memory),
    )
    lines = "".join(_line(transcript, json) + "\n" for transcript in transcripts)
    if out is None:
        typer.echo(lines, nl=False)
    else:
        write_text(out, lines)
        typer.echo(out)


def _line(transcript: "Transcript", as_json: bool) -> str:
    from json import dumps

    from lors.speech.transcription import as_json as fields_of

    if as_json:
        return dumps(fields_of(transcript), ensure_ascii=False)
    # A tab or line break inside a name would break the line; half a surrogate pair cannot be written.
    path = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(transcript.audio_filepath))
    return f"{path}\t{' '.join(transcript.text.split())}"
