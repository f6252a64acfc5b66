"""`lors manifest`: look manifests over, count them, divide them, turn them into other tools' formats and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from lors.speech.manifests.divide import Written
    from lors.speech.manifests.rows import ReadSettings
    from lors.speech.manifests.stats import TaskStatistics

app = typer.Typer(help="Check, count, divide and convert manifests.", no_args_is_help=True)

_SHOWN = 50

_File = Annotated[Path, typer.Argument(help="The manifest: one JSON object a line.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
_Seed = Annotated[int, typer.Option(help="Another number, another choice.")]


@app.callback()
def _root() -> None:
    pass


@app.command()
def check(
    file: _File,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Open every audio file too.")] = True,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one for each core.", show_default=False)
    ] = None,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Begin at the first line, even if a check was stopped half-way.")
    ] = False,
) -> None:
    """Print FILE:LINE and what is wrong for every bad line (exit 1), or what a good manifest holds.

    A check that was stopped half-way goes on from there when it is asked for again.
    """
    from lors.base.visible import visible
    from lors.speech.manifests.blocks import Contents
    from lors.speech.manifests.check import check_with_progress

    contents = Contents()
    found = 0
    problems = check_with_progress(file, audio, workers, contents, afresh)
    for found, (line, what) in enumerate(problems, start=1):
        if found <= _SHOWN:
            typer.echo(f"{file}:{line}: {visible(what)}")
    if found > _SHOWN:
        typer.echo(f"… and {found - _SHOWN} more bad lines.")
    if found:
        raise typer.Exit(1)
    tasks = sorted(
        f"{source} → {target} ({'transcribe' if source == target else 'translate'})"
        for source, target in contents.tasks
    )
    hours = contents.seconds / 3600
    typer.echo(f"{file}: {contents.utterances} utterances, {hours:.2f} hours, {', '.join(tasks)}")


@app.command()
def stats(
    files: Annotated[list[Path], typer.Argument(help="Manifests; they are counted together.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON.")] = False,
) -> None:
    """Utterances, hours, clips, speakers, characters, words per second, and how long the clips are."""
    import json
    from dataclasses import asdict

    from lors.speech.manifests.stats import manifest_statistics

    found = manifest_statistics(files)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2))
        return
    _print_statistics(found)


@app.command()
def subset(
    file: _File,
    hours: Annotated[float, typer.Option(help="How much; less than one clip more is taken.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest to write.")],
    seed: _Seed = 0,
    overwrite: _Overwrite = False,
) -> None:
    """So many hours, chosen by seed; of one seed the smaller lies in the larger. The ids stand beside it."""
    from lors.speech.manifests.divide import subset_manifest

    written = subset_manifest(file, out, hours, seed, overwrite=overwrite)
    _print_written(written)
    typer.echo(f"ids: {out.with_suffix('.ids')}, sha256 {written.ids_sha256}")


@app.command()
def split(
    file: _File,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    by: Annotated[Literal["speaker"], typer.Option(help="What no two manifests share.")] = "speaker",
    dev: Annotated[float, typer.Option(help="Share of the seconds.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the seconds.")] = 0.1,
    seed: _Seed = 0,
    overwrite: _Overwrite = False,
) -> None:
    """train.jsonl, dev.jsonl and test.jsonl, without a speaker in two of them."""
    from lors.speech.manifests.divide import split_manifest

    for written in split_manifest(file, out, dev, test, seed, overwrite=overwrite):
        _print_written(written)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A manifest, a table, a folder, a tar shard.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="What to write.")],
    source_format: Annotated[
        str | None, typer.Option("--from", help="Its format, where name and contents do not tell.")
    ] = None,
    target_format: Annotated[
        str | None,
        typer.Option("--to", help="lors, nemo, csv, tsv, kaldi, espnet, lhotse, folder or webdataset."),
    ] = None,
    source_lang: Annotated[
        str | None, typer.Option(help="The language spoken, where IN does not say.")
    ] = None,
    target_lang: Annotated[
        str | None, typer.Option(help="The language of the texts, where IN does not say.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="FIELD=NAME: the table's column for a field, as text=sentence.")
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(help="A field that may be lost; a list with commas, or the flag repeated."),
    ] = None,
    text_file: Annotated[str | None, typer.Option(help="Which of ESPnet's texts, as text.tc.en.")] = None,
    task: Annotated[
        Literal["transcribe", "translate"] | None, typer.Option(help="Leave out utterances of the other.")
    ] = None,
    audio_root: Annotated[
        Path | None, typer.Option(help="From where relative audio paths are taken; by default IN's folder.")
    ] = None,
    audio_anywhere: Annotated[
        bool, typer.Option("--audio-anywhere", help="Relative audio paths and links may lead out of it.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out and count them.")] = False,
    overwrite: _Overwrite = False,
) -> None:
    """Turn a manifest into another tool's format, or back. Formats are seen by names and contents."""
    from lors.speech.manifests.convert import convert_manifest
    from lors.speech.manifests.formats import format_named

    settings = _read_settings(source_lang, target_lang, column, drop, text_file, audio_root, audio_anywhere)
    done = convert_manifest(
        source,
        out,
        settings,
        source_format=format_named(source_format) if source_format is not None else None,
        target_format=format_named(target_format) if target_format is not None else None,
        task=task,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    for place, what in done.bad:
        typer.echo(f"{place}: {what}", err=True)
    if done.bad_rows > len(done.bad):
        typer.echo(f"… and {done.bad_rows - len(done.bad)} more bad rows.", err=True)
    typer.echo(
        f"{out}: {done.utterances} utterances, {done.seconds / 3600:.2f} hours "
        f"({done.source_format} → {done.target_format})"
    )
    if done.audio is not None:
        typer.echo(f"audio: {done.audio}")
    if done.bad_rows:
        typer.echo(f"left out: {done.bad_rows} bad rows")
    if done.other_task:
        typer.echo(f"left out: {done.other_task} utterances of the other task")
    for name, rows in sorted((+done.dropped).items()):  # a column without a value is no loss
        typer.echo(f"dropped: {name}: {rows}")


def _read_settings(
    source_lang: str | None,
    target_lang: str | None,
    column: list[str] | None,
    drop: list[str] | None,
    text_file: str | None,
    audio_root: Path | None,
    audio_anywhere: bool,
) -> "ReadSettings":
    from lors.base.errors import UsageError
    from lors.speech.languages import language_code
    from lors.speech.manifests.rows import ReadSettings

    for one in column or []:
        if "=" not in one:
            raise UsageError(f"--column {one}: FIELD=NAME was expected, as text=sentence.")
    return ReadSettings(
        language_code(source_lang) if source_lang is not None else None,
        language_code(target_lang) if target_lang is not None else None,
        {field: name for field, _, name in (one.partition("=") for one in column or [])},
        frozenset(name for given in drop or [] for name in given.split(",") if name),
        text_file,
        audio_root,
        audio_anywhere,
    )


def _print_written(written: "Written") -> None:
    typer.echo(
        f"{written.path}: {written.utterances} utterances, {written.seconds / 3600:.2f} hours, "
        f"{written.speakers} speakers"
    )


def _print_statistics(found: "list[TaskStatistics]") -> None:
    from lors.speech.manifests.stats import histogram_lines

    for number, one in enumerate(found):
        task = "transcribe" if one.source_lang == one.target_lang else "translate"
        unnamed = f" ({one.without_speaker:,} utterances name none)" if one.without_speaker else ""
        typer.echo(
            f"{chr(10) if number else ''}{one.source_lang} → {one.target_lang} ({task})\n"
            f"utterances        {one.utterances:,}\n"
            f"hours             {one.hours:,.2f}\n"
            f"clips             {one.clips:,}\n"
            f"speakers          {one.speakers:,}{unnamed}\n"
            f"characters        {one.characters:,} ({one.different_characters:,} different)\n"
            f"words             {one.words:,}\n"
            f"words per second  {one.words_per_second:.2f}\n"
            f"seconds           {one.seconds_minimum:.2f} to {one.seconds_maximum:.2f}, "
            f"median {one.seconds_median:.2f}"
        )
        for line in histogram_lines(one.histogram):
            typer.echo(line)
