"""The audio of a row of a Hugging Face data set: bytes become a file, a path stays inside the data set."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from lors.base.errors import LorsError
from lors.base.visible import visible
from lors.speech.corpora.inside import inside

_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
# What files of each kind begin with, after so many bytes.
_BEGINNINGS = (
    (0, b"fLaC", ".flac"), (0, b"OggS", ".ogg"), (0, b"ID3", ".mp3"), (0, b"\x1aE\xdf\xa3", ".webm"),
    (8, b"WAVE", ".wav"), (4, b"ftyp", ".m4a"),
    (0, b"\xff\xfb", ".mp3"), (0, b"\xff\xf3", ".mp3"), (0, b"\xff\xf2", ".mp3"),
)  # fmt: skip


class NoAudioError(LorsError):
    """A row has no audio that could be had."""


def store_audio(value: Any, dataset: Path | None, out: Path, name: str) -> tuple[Path, str]:
    """The file of a row's audio, as a folder and the path below it; embedded bytes are written to `out/NAME.EXT`.

    Args:
        value: of the column: `{"bytes", "path"}` as the library `datasets` stores it, bytes, or a path.
        dataset: the folder of the data set, where it is one.
        out: the folder of what is prepared.
        name: relative, without an extension: the file gets its own, else that of its kind.

    Raises:
        NoAudioError: there are neither bytes nor a path, of a kind that is not known, or the path is on the Hub.
        OutsideError: the path is not inside the data set.
        LorsError: the disk is full.
    """
    content = value.get("bytes") if isinstance(value, dict) else value if isinstance(value, bytes) else None
    path = value.get("path") if isinstance(value, dict) else value if isinstance(value, str) else None
    if isinstance(content, bytes):
        target = out / (name + _suffix(content, path if isinstance(path, str) else ""))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return out, target.relative_to(out).as_posix()
    if not isinstance(path, str):
        raise NoAudioError("the row has neither bytes nor a path of audio")
    if dataset is None:
        raise NoAudioError(
            f"the row has the path '{visible(path[:100])}' and no bytes; fetch the data set into a folder"
        )
    root = dataset.resolve()
    if PurePosixPath(path).is_absolute() and Path(path).is_relative_to(dataset.absolute()):
        path = str(Path(path).relative_to(dataset.absolute()))
    inside(root, path)
    return root, path


def _suffix(content: bytes, path: str) -> str:
    own = PurePosixPath(path.lower()).suffix
    if _SUFFIX.fullmatch(own):
        return own
    for place, beginning, suffix in _BEGINNINGS:
        if content[place : place + len(beginning)] == beginning:
            return suffix
    raise NoAudioError("the audio's bytes are of no kind that is known, and have no file name")
