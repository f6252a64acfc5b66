"""What every reader of a foreign format has in common: its settings, a bad row, the way to an audio file."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from lors.base.errors import LorsError, UsageError
from lors.speech.languages import language_code
from lors.speech.manifest import OPTIONAL, REQUIRED, Utterance, to_utterance
from lors.speech.manifests.lines import BadLineError

Rows = Iterator[tuple[Path, int, Utterance | str]]
"""What readers yield: the file, the line in it (from 1; 0 where there are none), the utterance or what is wrong."""


@dataclass(frozen=True)
class ReadSettings:
    """What a user says beside the file.

    Attributes:
        source_lang, target_lang: for rows that do not say.
        columns: our name of a field → its name in the file.
        drop: names of fields in the file to leave out, and of ours to leave unwritten.
        text_file: which of ESPnet's texts, as "text.tc.en".
        audio_root: from which relative audio paths are taken and which none of them leaves; by default the
            file's folder.
        audio_anywhere: relative paths and links may leave it.
        dropped: field → number of rows in which it was left out; filled while reading.
        real_folder, length: where a folder is, and how long an audio file, remembered for a while.
    """

    source_lang: str | None = None
    target_lang: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    text_file: str | None = None
    audio_root: Path | None = None
    audio_anywhere: bool = False
    dropped: Counter[str] = field(default_factory=Counter)
    real_folder: Callable[[str], str] = field(default_factory=lambda: lru_cache(4096)(os.path.realpath))
    length: Callable[[Path], float] = field(default_factory=lambda: lru_cache(4096)(_length))

    def root(self, folder: Path) -> Path:
        """Where relative paths start, absolute; `folder` is that of the file."""
        return (self.audio_root or folder).absolute()


def utterance_of(fields: Mapping[str, Any], root: Path, settings: ReadSettings) -> Utterance:
    """`to_utterance` of a foreign row: languages are filled in, a missing duration is the file's.

    Args:
        fields: by our names; None stands for what is not there. Others than ours: an error, but for those dropped.
        root: `settings.root`.

    Raises:
        BadLineError: as `to_utterance`; an audio path leaves the root; the audio cannot be read for its length.
    """
    known = {name: value for name, value in fields.items() if value is not None}
    for name in settings.drop.intersection(known):
        del known[name]
        settings.dropped[name] += 1
    extra = [name for name in known if name not in REQUIRED + OPTIONAL]
    if extra:
        raise BadLineError(
            f"our manifests have no place for {', '.join(map(repr, extra))}; leave it out with "
            f"--drop {','.join(extra)}."
        )
    for name, given in (("source_lang", settings.source_lang), ("target_lang", settings.target_lang)):
        if name not in known:
            if given is None:
                raise BadLineError(f"it does not say '{name}'; give --{name.replace('_', '-')}.")
            known[name] = given
    audio = known.get("audio_filepath")
    if isinstance(audio, str):
        known["audio_filepath"] = str(audio_path(audio, root, settings))
        if "duration" not in known:
            known["duration"] = rest_of(Path(known["audio_filepath"]), known.get("offset", 0.0), settings)
    return to_utterance(known, root)


def audio_path(name: str, root: Path, settings: ReadSettings) -> Path:
    """The absolute path of an audio file as a row names it.

    Absolute names are taken as they are: that is how these formats name files elsewhere.

    Raises:
        BadLineError: a relative name, or a link on its way, leads out of `root`.
    """
    path = root / name
    if settings.audio_anywhere or Path(name).is_absolute():
        return path
    try:
        parent, top = settings.real_folder(str(path.parent)), settings.real_folder(str(root))
        real = (
            os.path.realpath(path)
            if path.is_symlink() or path.name == ".."
            else f"{parent}{os.sep}{path.name}"
        )
    except (OSError, ValueError) as error:
        raise BadLineError(f"the audio path {name!r} cannot be used ({error}).") from None
    if not real.startswith(top.rstrip(os.sep) + os.sep):
        raise BadLineError(
            f"the audio path {name!r} leads out of {root}; name the right folder with --audio-root, or pass "
            "--audio-anywhere if you trust this file."
        )
    return path


def rest_of(path: Path, offset: Any, settings: ReadSettings) -> float:
    """Seconds of audio in the file after `offset`.

    Raises:
        BadLineError: the file cannot be read, or ends before.
    """
    if isinstance(offset, bool) or not isinstance(offset, int | float) or not abs(offset) < 1e9:
        raise BadLineError("'offset' is no number of seconds.")
    try:
        rest = settings.length(path) - offset
    except LorsError as error:
        raise BadLineError(f"it says no duration, and {error}") from None
    if not rest > 0:
        raise BadLineError(f"it says no duration, and {path} ends before its offset of {offset:g} s.")
    return round(rest, 6)


def _length(path: Path) -> float:
    from lors.speech.audio import audio_duration

    return audio_duration(path)


def number(name: str, value: str) -> float:
    """A number of seconds as a table has it.

    Raises:
        BadLineError: it is none.
    """
    try:
        return float(value)
    except ValueError:
        raise BadLineError(f"'{name}' is {value[:40]!r}; a number of seconds was expected.") from None


def require_columns(columns: Mapping[str, str]) -> None:
    """Raise UsageError where a column map names a field that is none of ours."""
    for name in columns:
        if name not in REQUIRED + OPTIONAL:
            raise UsageError(
                f"--column {name}={columns[name]}: '{name}' is no field of a manifest; they are "
                f"{', '.join(REQUIRED + OPTIONAL)}."
            )


def same_language(one: Any, other: Any) -> bool:
    """Whether two values name one language, as 'es' and 'Spanish' do."""
    try:
        return language_code(one) == language_code(other)
    except (UsageError, AttributeError):
        return bool(one == other)
