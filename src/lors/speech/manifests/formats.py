"""The formats that manifests are turned into and out of: their names, how they look, who reads and writes them."""

import gzip
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.base.files import atomic_directory, atomic_file
from lors.speech.manifest import OPTIONAL, REQUIRED, Utterance, manifest_rows, write_manifest
from lors.speech.manifests.json_lines import json_object
from lors.speech.manifests.kaldi import read_espnet, read_kaldi
from lors.speech.manifests.kaldi_write import write_espnet, write_kaldi
from lors.speech.manifests.lhotse import lhotse_lines, read_lhotse
from lors.speech.manifests.lines import BadLineError, numbered_lines
from lors.speech.manifests.nemo import nemo_lines, read_nemo
from lors.speech.manifests.rows import ReadSettings, Rows
from lors.speech.manifests.samples import read_folder, write_folder
from lors.speech.manifests.shards import write_shard, write_shards
from lors.speech.manifests.tables import csv_lines, read_csv, read_tsv, tsv_lines

FormatName = Literal["lors", "nemo", "csv", "tsv", "kaldi", "espnet", "lhotse", "folder", "webdataset"]
FORMATS: dict[FormatName, str] = {
    "lors": "JSON Lines, as all of `lors` reads them",
    "nemo": "NeMo's and Canary's JSON Lines",
    "csv": "a table with commas and quotes",
    "tsv": "a table with tabs",
    "kaldi": "a folder with wav.scp, text, segments, utt2spk …",
    "espnet": "a Kaldi folder with text.CASE.LANG, as ESPnet's for translation",
    "lhotse": "Lhotse's cuts, .jsonl or .jsonl.gz",
    "folder": "a folder of x.wav with x.txt",
    "webdataset": "tar shards of x.flac with x.txt or x.json",
}
"""Name → what it is."""

_BY_SUFFIX: dict[str, FormatName] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl.gz": "lhotse",
    ".tar": "webdataset",
    ".tar.gz": "webdataset",
    ".tgz": "webdataset",
}
_CUTS = re.compile(r"(^|[._-])cuts\.jsonl$")


def format_named(name: str) -> FormatName:
    """The format of that name.

    Raises:
        UsageError: there is none.
    """
    for known in FORMATS:
        if known == name:
            return known
    raise UsageError(f"'{name}' is no format; there are {', '.join(FORMATS)}.{did_you_mean(name, FORMATS)}")


def format_of_input(path: Path) -> FormatName:
    """The format of what is there, by its name, its first line or the files in it.

    Raises:
        UsageError: nothing is there, or it is not obvious.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder.")
    if path.is_dir():
        with os.scandir(path) as entries:
            shards = any(".tar" in Path(entry.name).suffixes for entry in entries)
        if shards:
            return "webdataset"
        if (path / "wav.scp").exists():
            return "kaldi" if (path / "text").exists() else "espnet"
        return "folder"
    for suffix, name in _BY_SUFFIX.items():
        if path.name.lower().endswith(suffix):
            return name
    if path.suffix.lower() in (".json", ".jsonl"):
        return _format_of_json(path)
    raise UsageError(f"{path}: which format is it? Say it with --from; there are {', '.join(FORMATS)}.")


def _format_of_json(path: Path) -> FormatName:
    for _, line in numbered_lines(path, "a manifest (JSON Lines)"):
        try:
            fields = json_object(line)
        except BadLineError:
            break
        if "supervisions" in fields or "recording" in fields:
            return "lhotse"
        if set(REQUIRED) <= set(fields) <= {*REQUIRED, *OPTIONAL}:
            return "lors"
        return "nemo" if "audio_filepath" in fields and "id" not in fields else _by_name(path)
    return _by_name(path)


def _by_name(path: Path) -> FormatName:
    return "nemo" if path.suffix.lower() == ".json" else "lors"


def format_of_output(path: Path) -> FormatName:
    """The format that a name asks for.

    Raises:
        UsageError: it is not obvious, as for a folder.
    """
    name = path.name.lower()
    if _CUTS.search(name):
        return "lhotse"
    if name.endswith((".json", ".jsonl")):
        return _by_name(path)
    for suffix, found in _BY_SUFFIX.items():
        if name.endswith(suffix) and suffix not in (".tar.gz", ".tgz"):
            return found
    raise UsageError(f"{path}: which format shall it have? Say it with --to; there are {', '.join(FORMATS)}.")


def reader_of(name: FormatName) -> Callable[[Path, ReadSettings], Rows]:
    """What reads a format; not for webdataset, whose audio needs a place."""
    readers: dict[str, Callable[[Path, ReadSettings], Rows]] = {
        "lors": _read_ours,
        "nemo": read_nemo,
        "csv": read_csv,
        "tsv": read_tsv,
        "kaldi": read_kaldi,
        "espnet": read_espnet,
        "lhotse": read_lhotse,
        "folder": read_folder,
    }
    return readers[name]


def _read_ours(path: Path, settings: ReadSettings) -> Rows:
    return ((path, line, found) for line, found in manifest_rows(path, check_audio=False))


def write_format(
    name: FormatName, out: Path, utterances: Iterable[Utterance], settings: ReadSettings, *, overwrite: bool
) -> None:
    """Write utterances in a format, whole or not at all, as they come.

    Raises:
        UsageError: `out` exists; an utterance has what the format cannot hold.
        LorsError: an audio file that is to be copied cannot be read; a path is no Unicode.
    """
    lines: dict[str, Callable[[Iterable[Utterance]], Iterator[str]]] = {
        "nemo": nemo_lines,
        "csv": csv_lines,
        "tsv": tsv_lines,
        "lhotse": lhotse_lines,
    }
    try:
        if name == "lors":
            write_manifest(out, utterances)
        elif name in lines:
            _write_lines(out, lines[name](utterances))
        elif name == "webdataset" and out.suffix.lower() == ".tar":
            with atomic_file(out) as partial:
                write_shard(partial, utterances, settings)
        else:
            with atomic_directory(out, overwrite) as partial:
                if name == "kaldi":
                    write_kaldi(partial, utterances)
                elif name == "espnet":
                    write_espnet(partial, utterances)
                elif name == "folder":
                    write_folder(partial, utterances, settings)
                else:
                    write_shards(partial, utterances, settings)
    except UnicodeEncodeError:
        raise LorsError(f"{out}: a path of an audio file is no Unicode; rename the file.") from None


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with atomic_file(path) as partial, partial.open("wb") as file:
        if path.suffix.lower() != ".gz":
            file.writelines(line.encode() for line in lines)
            return
        # without name and time in the header, equal utterances give equal bytes
        with (
            gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed,
            io.BufferedWriter(compressed) as buffer,
        ):
            buffer.writelines(line.encode() for line in lines)
