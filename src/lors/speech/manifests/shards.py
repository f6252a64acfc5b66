"""WebDataset's tar shards: the files of a clip stand one after another, under names that differ in the suffix."""

import io
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO

from lors.base.errors import LorsError, UsageError
from lors.speech.manifest import Utterance
from lors.speech.manifests.lines import LONGEST_LINE, BadLineError
from lors.speech.manifests.rows import ReadSettings, Rows
from lors.speech.manifests.samples import AUDIO_SUFFIXES, Sample, limited, sample_files, utterance_of_sample

_SHARD_BYTES = 1 << 30
_DAMAGED = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError, OverflowError)


def shards_of(path: Path) -> list[Path]:
    """A tar file, or the tar files of a folder, by name.

    Raises:
        UsageError: there are none.
    """
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if ".tar" in one.suffixes)
        if found:
            return found
    elif path.is_file():
        return [path]
    raise UsageError(f"{path}: no tar shards; a .tar file or a folder of them was expected.")


def read_shards(path: Path, partial: Path, final: Path, settings: ReadSettings) -> Rows:
    """Yield the utterances of tar shards, whose audio is put into `partial/SHARD/`.

    Args:
        path: a shard, or a folder of them.
        partial: an empty folder.
        final: what `partial` will be called; the utterances' paths lie in it.
        settings: what the rows do not say.

    Raises:
        UsageError: no shards, or a member's name climbs out of its shard.
        LorsError: a shard is damaged.
    """
    for shard in shards_of(path):
        folder = shard.name.partition(".tar")[0] or "shard"
        (partial / folder).mkdir(exist_ok=True)
        try:
            with tarfile.open(shard, "r|*") as archive:
                yield from _read_shard(shard, archive, partial / folder, final / folder, settings)
        except _DAMAGED as error:
            what = str(error).partition("\n")[0].rstrip(":- ") or "it ends too early"
            raise LorsError(f"{shard}: a damaged tar file ({what}); fetch or make it anew.") from None


class _Sample:
    """The members of one key, as they come."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.audio: str | None = None
        self.parts: dict[str, bytes] = {}
        self.extra: list[str] = []
        self.problem: str | None = None


def _read_shard(
    shard: Path, archive: tarfile.TarFile, partial: Path, final: Path, settings: ReadSettings
) -> Rows:
    sample: _Sample | None = None
    count = 0
    for member in archive:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or "\\" in member.name:
            raise UsageError(f"{shard}: '{member.name}' leads out of the archive; do not use this file.")
        if member.isdir():
            continue
        stem, dot, suffix = name.name.partition(".")
        key = (name.parent / stem).as_posix()
        if sample is None or key != sample.key:
            if sample is not None:
                yield shard, 0, _finish(sample, partial, final, settings)
            sample = _Sample(key)
            count += 1
        try:
            _take(sample, archive, member, dot + suffix, partial / f"{count:09d}")
        except BadLineError as error:
            sample.problem = sample.problem or str(error)
    if sample is not None:
        yield shard, 0, _finish(sample, partial, final, settings)


def _take(
    sample: _Sample, archive: tarfile.TarFile, member: tarfile.TarInfo, suffix: str, audio: Path
) -> None:
    """Put an audio member beside `audio`, keep a text."""
    content: IO[bytes] | None = archive.extractfile(member) if member.isreg() else None
    if content is None:
        raise BadLineError(f"the member '{member.name}' is a link or a device; a file was expected.")
    if suffix.lower() in AUDIO_SUFFIXES:
        if sample.audio is not None:
            raise BadLineError(f"'{sample.key}' has two audio files.")
        sample.audio = audio.name + suffix.lower()
        with (audio.parent / sample.audio).open("wb") as file:
            shutil.copyfileobj(content, file)
    elif suffix in (".txt", ".json"):
        if suffix in sample.parts:
            raise BadLineError(f"the member '{member.name}' is there twice.")
        sample.parts[suffix] = limited(content.read(LONGEST_LINE + 1), member.name)
    else:
        sample.extra.append(suffix or member.name)


def _finish(sample: _Sample, partial: Path, final: Path, settings: ReadSettings) -> Utterance | str:
    """The utterance of a sample that is whole."""
    try:
        if sample.problem is not None:
            raise BadLineError(sample.problem)
        if sample.audio is None:
            raise BadLineError("no audio file is beside it.")
        files = Sample(sample.key, Path(sample.audio), sample.parts.get(".txt"), sample.parts.get(".json"))
        found = utterance_of_sample(files, partial, settings, sample.extra)
    except BadLineError as error:
        if sample.audio is not None:
            (partial / sample.audio).unlink(missing_ok=True)
        return f"the sample '{sample.key}': {error}"
    return replace(found, audio_filepath=final / sample.audio)


def write_shard(path: Path, utterances: Iterable[Utterance], settings: ReadSettings) -> None:
    """Write one tar file; equal clips give equal bytes."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for one in utterances:
            _add(archive, one, settings)


def write_shards(folder: Path, utterances: Iterable[Utterance], settings: ReadSettings) -> None:
    """Write `000000.tar`, `000001.tar` … of about 1 GiB into an empty folder."""
    with ExitStack() as stack:
        archive: tarfile.TarFile | None = None
        shards = 0
        for one in utterances:
            if archive is None or archive.offset >= _SHARD_BYTES:
                stack.close()
                path = folder / f"{shards:06d}.tar"
                archive = stack.enter_context(tarfile.open(path, "w", format=tarfile.PAX_FORMAT))
                shards += 1
            _add(archive, one, settings)


def _add(archive: tarfile.TarFile, one: Utterance, settings: ReadSettings) -> None:
    for name, content in sample_files(one, settings):
        about = tarfile.TarInfo(name)
        about.mode = 0o644
        if isinstance(content, bytes):
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
        else:
            about.size = content.stat().st_size
            with content.open("rb") as file:
                archive.addfile(about, file)
