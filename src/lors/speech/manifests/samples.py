"""A clip as files beside each other, `x.flac`, `x.txt`, `x.json`: in a folder, or in a tar shard of WebDataset.

`x.txt` is the text; `x.json` holds all that a file name and a text cannot say, by our names.
"""

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.speech.manifest import Utterance
from lors.speech.manifests.json_lines import json_object
from lors.speech.manifests.lines import LONGEST_LINE, BadLineError, decoded
from lors.speech.manifests.rows import ReadSettings, Rows, audio_path, utterance_of

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm", ".g722")
_WRITTEN_ANEW = "(audio written anew, as 16 kHz FLAC: a part of a file, or of another kind)"
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,100}")
_FIELDS = ("id", "duration", "text", "source_lang", "target_lang", "speaker", "normaliser")


@dataclass(frozen=True)
class Sample:
    """The files of one clip.

    Attributes:
        key: their name without a suffix.
        audio: their suffix and where the bytes are.
        text: of `x.txt`.
        side: of `x.json`.
    """

    key: str
    audio: Path
    text: bytes | None
    side: bytes | None


def utterance_of_sample(
    sample: Sample, root: Path, settings: ReadSettings, extra: Iterable[str] = ()
) -> Utterance:
    """The utterance of a sample; its id is the key, unless `x.json` has one.

    Raises:
        BadLineError: there is no text, the two texts differ, or as `utterance_of`.
    """
    fields: dict[str, Any] = {"id": sample.key}
    if sample.side is not None:
        fields |= {name: value for name, value in json_object(sample.side).items() if value is not None}
    if sample.text is not None:
        text = decoded(sample.text.removeprefix(b"\xef\xbb\xbf")).strip()
        said = fields.setdefault("text", text)
        if isinstance(said, str) and said.removeprefix("\ufeff").strip() != text:
            raise BadLineError(f"'{sample.key}.txt' and '{sample.key}.json' have different texts.")
    if "text" not in fields:
        raise BadLineError(f"no '{sample.key}.txt' is beside it.")
    fields |= {"audio_filepath": str(sample.audio), **dict.fromkeys(extra, True)}
    return utterance_of(fields, root, settings)


def read_folder(path: Path, settings: ReadSettings) -> Rows:
    """Yield an utterance for each audio file below a folder, in the order of names; the text lies beside it.

    Raises:
        UsageError: no such folder.
    """
    if not path.is_dir():
        raise UsageError(
            f"{path}: no such folder; one with audio files and x.txt beside each x.wav was expected."
        )
    root = path.absolute()

    def content(name: str) -> bytes | None:
        beside = audio_path(name, root, settings)
        if not os.path.lexists(beside):
            return None
        if not beside.is_file():
            raise BadLineError(f"{beside}: no file that can be read.")
        with beside.open("rb") as file:
            return limited(file.read(LONGEST_LINE + 1), name)

    for folder, folders, names in os.walk(root):
        folders.sort()
        with_audio = {Path(name).stem for name in names if _is_audio(name)}
        for name in sorted(names):
            place = Path(folder, name).relative_to(root)
            stem, suffix = Path(name).stem, Path(name).suffix
            if not _is_audio(name):
                if suffix not in (".txt", ".json") or stem not in with_audio:
                    settings.dropped["(files that are no clip's)"] += 1
                continue
            key = place.with_suffix("").as_posix()
            try:
                if not (root / place).is_file():
                    raise BadLineError("is no file that can be read.")
                sample = Sample(key, place, content(f"{key}.txt"), content(f"{key}.json"))
                yield root / place, 0, utterance_of_sample(sample, root, settings)
            except BadLineError as error:
                yield root / place, 0, str(error)
            except OSError as error:
                yield root / place, 0, f"cannot be read ({error.strerror})."


def limited(content: bytes, name: str) -> bytes:
    """The content, if it is no longer than a line may be.

    Raises:
        BadLineError: it is.
    """
    if len(content) > LONGEST_LINE:
        raise BadLineError(f"{name} is larger than 1 MiB; a text was expected.")
    return content


def _is_audio(name: str) -> bool:
    return Path(name).suffix.lower() in AUDIO_SUFFIXES


def sample_files(one: Utterance, settings: ReadSettings) -> Iterator[tuple[str, Path | bytes]]:
    """The files of an utterance, each a name and the bytes, or the file that is to be copied.

    A clip that is a part of a longer file, or in a file whose name does not say that it is audio, is written anew as
    16 kHz FLAC, which `settings.dropped` counts.

    Raises:
        LorsError: the audio cannot be read: nothing that is no audio is copied.
    """
    from lors.speech.audio import SAMPLE_RATE, TOLERANCE_SECONDS, audio_duration, load_audio

    key = one.id if _SAFE.fullmatch(one.id) else "clip-" + hashlib.sha256(one.id.encode()).hexdigest()[:32]
    there, audio = audio_duration(one.audio_filepath), one.audio_filepath
    whole = one.offset == 0 and abs(there - one.duration) <= TOLERANCE_SECONDS
    if whole and _is_audio(audio.name):
        yield key + audio.suffix.lower(), audio
    else:
        import soundfile

        buffer = io.BytesIO()
        samples = load_audio(audio, one.offset, one.duration)
        soundfile.write(buffer, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        settings.dropped[_WRITTEN_ANEW] += 1
        yield key + ".flac", buffer.getvalue()
    yield key + ".txt", one.text.encode()
    side = {name: value for name in _FIELDS if (value := getattr(one, name)) is not None}
    yield key + ".json", (json.dumps(side, ensure_ascii=False) + "\n").encode()


def write_folder(folder: Path, utterances: Iterable[Utterance], settings: ReadSettings) -> None:
    """Write `x.EXT`, `x.txt` and `x.json` for each utterance into an empty folder."""
    for one in utterances:
        for name, content in sample_files(one, settings):
            if isinstance(content, bytes):
                (folder / name).write_bytes(content)
            else:
                shutil.copyfile(content, folder / name)
