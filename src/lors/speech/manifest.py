"""Manifests: one utterance a line, as JSON, under NeMo's field names."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.base.files import atomic_file
from lors.speech.languages import language_code
from lors.speech.manifests.json_lines import json_object, kind
from lors.speech.manifests.lines import BadLineError, numbered_lines
from lors.speech.manifests.seen import SeenKeys, temporary_database

EXPECTED = "a manifest (JSON Lines)"
"""What a manifest is, for a sentence."""


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One clip, one pair of languages, and its reference text.

    Attributes:
        id: unique in its manifest; the same clip has the same id in every task and split list.
        audio_filepath: absolute path of the audio file.
        offset: where the clip begins in the file, in seconds.
        duration: its length in seconds.
        text: the reference, in `target_lang`.
        source_lang: Whisper's code of the language that is spoken.
        target_lang: Whisper's code of the language of `text`.
        speaker: who speaks, where that is known.
        normaliser: the profile with which this text asks to be scored, where it does.
    """

    id: str
    audio_filepath: Path
    offset: float = 0.0
    duration: float
    text: str
    source_lang: str
    target_lang: str
    speaker: str | None = None
    normaliser: str | None = None

    @property
    def task(self) -> Literal["transcribe", "translate"]:
        """Transcription where the text is in the language that is spoken, else translation."""
        return "transcribe" if self.source_lang == self.target_lang else "translate"


REQUIRED = ("id", "audio_filepath", "duration", "text", "source_lang", "target_lang")
OPTIONAL = ("offset", "speaker", "normaliser")
_NUMBERS = ("duration", "offset")


def read_manifest(path: Path, check_audio: bool = True) -> list[Utterance]:
    """Read a manifest, all of it or nothing.

    Relative audio paths are taken from the manifest's folder; a byte order mark, CRLF line ends and blank
    lines are accepted; unknown fields are not.

    Args:
        path: the manifest.
        check_audio: open every audio file and compare its length with what the line says.

    Raises:
        UsageError: the first line that is wrong, named as FILE:LINE, and how many more are.
    """
    utterances: list[Utterance] = []
    first, problems = (0, ""), 0
    for line, found in manifest_rows(Path(path), check_audio):
        if isinstance(found, Utterance):
            utterances.append(found)
        else:
            first, problems = (first if problems else (line, found)), problems + 1
    if problems:
        others = (
            f" (and {problems - 1} more; `lors manifest check {path}` lists them)" if problems > 1 else ""
        )
        raise UsageError(f"{path}:{first[0]}: {first[1]}{others}")
    if not utterances:
        raise UsageError(is_empty(path))
    return utterances


def stream_manifest(path: Path) -> Iterator[Utterance]:
    """Yield a manifest's utterances one by one, in constant memory; the audio is not looked at.

    Raises:
        UsageError: the first line that is wrong, when its turn comes, named as FILE:LINE.
    """
    empty = True
    for line, found in manifest_rows(Path(path), check_audio=False):
        if not isinstance(found, Utterance):
            raise UsageError(f"{path}:{line}: {found} (`lors manifest check {path}` lists all)")
        yield found
        empty = False
    if empty:
        raise UsageError(is_empty(path))


def manifest_problems(path: Path, check_audio: bool = True) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, what is wrong with it) for every bad line, in order.

    Raises:
        UsageError: the manifest itself is missing or no file.
    """
    return ((line, found) for line, found in manifest_rows(Path(path), check_audio) if isinstance(found, str))


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest atomically and as they come, audio paths relative to it; equal utterances give equal bytes.

    Raises:
        LorsError: an utterance has a path that is no Unicode.
    """
    path = Path(path)
    folder = str(path.absolute().parent)
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for utterance in utterances:
            try:
                file.write(_to_line(utterance, folder) + "\n")
            except UnicodeEncodeError:
                raise LorsError(
                    f"{path}: the utterance '{ascii(utterance.id)[1:-1]}' has a path or a text that is no Unicode, "
                    "which no manifest holds; rename its file."
                ) from None


def is_empty(path: Path) -> str:
    """The sentence on a manifest without a line."""
    return f"{path}: the manifest is empty; one JSON object a line was expected."


def _to_line(utterance: Utterance, folder: str) -> str:
    fields: dict[str, Any] = {
        "id": utterance.id,
        "audio_filepath": relative(utterance.audio_filepath, folder),
    }
    if utterance.offset:
        fields["offset"] = utterance.offset
    fields |= {
        "duration": utterance.duration,
        "text": utterance.text,
        "source_lang": utterance.source_lang,
        "target_lang": utterance.target_lang,
    }
    if utterance.speaker is not None:
        fields["speaker"] = utterance.speaker
    if utterance.normaliser is not None:
        fields["normaliser"] = utterance.normaliser
    return json.dumps(fields, ensure_ascii=False)


def relative(path: Path, folder: str) -> str:
    """`path` as seen from `folder`, with slashes."""
    parent, name = os.path.split(path)
    if name in ("", ".", ".."):
        return Path(os.path.relpath(path, folder)).as_posix()
    parent = _relative_folder(parent, folder)
    return name if parent == "." else f"{parent}/{name}"


@lru_cache(maxsize=1024)
def _relative_folder(path: str, folder: str) -> str:
    return Path(os.path.relpath(path or ".", folder)).as_posix()


def manifest_rows(path: Path, check_audio: bool) -> Iterator[tuple[int, Utterance | str]]:
    """Yield for each line its number from 1, and what it holds or what is wrong with it.

    Raises:
        UsageError: the manifest itself is missing or no file.
    """
    folder = path.absolute().parent
    audio_problem = audio_checker() if check_audio else lambda utterance: None
    with temporary_database() as database:
        seen = SeenKeys(database)
        for number, line in numbered_lines(path, EXPECTED):
            try:
                utterance = to_utterance(json_object(line), folder)
            except BadLineError as error:
                yield number, str(error)
                continue
            first = seen.first_line(utterance.id.encode(), number)
            problem = repeated(utterance.id, first) if first else audio_problem(utterance)
            yield number, problem or utterance


def repeated(identifier: str, first_line: int) -> str:
    """The sentence on an id that is there again."""
    return f"the id '{identifier[:100]}' is that of line {first_line} too."


def audio_checker() -> Callable[[Utterance], str | None]:
    """A function that opens an utterance's audio file and says what is wrong with it; None where nothing is."""
    from lors.speech.audio import TOLERANCE_SECONDS, audio_duration

    duration_of = lru_cache(maxsize=4096)(audio_duration)  # many lines may cut their clips from one file

    def problem(utterance: Utterance) -> str | None:
        try:
            there = duration_of(utterance.audio_filepath)
        except LorsError as error:
            return str(error)
        end = utterance.offset + utterance.duration
        if end <= there + TOLERANCE_SECONDS:
            return None
        return (
            f"{utterance.audio_filepath}: lasts {there:.2f} s, offset and duration ask for {end:.2f} s: "
            "the file is truncated, or they are wrong."
        )

    return problem


def to_utterance(fields: Mapping[str, Any], folder: Path) -> Utterance:
    """An utterance from what a line holds.

    Args:
        fields: by their names here; no others.
        folder: from which a relative `audio_filepath` is taken.

    Raises:
        BadLineError: a field is unknown, missing, of the wrong kind or out of range.
    """
    for name in fields:
        if name not in REQUIRED + OPTIONAL:
            known = ", ".join(REQUIRED + OPTIONAL)
            raise BadLineError(
                f"unknown field '{name}'; the fields are {known}.{did_you_mean(name, REQUIRED + OPTIONAL)}"
            )
    for name in REQUIRED:
        if name not in fields:
            raise BadLineError(f"the field '{name}' is missing.")
    texts = {name: _text(name, fields[name]) for name in fields if name not in _NUMBERS}
    offset = _seconds("offset", fields.get("offset", 0.0))
    duration = _seconds("duration", fields["duration"])
    if offset < 0:
        raise BadLineError(f"'offset' is {offset:g}; zero or more seconds were expected.")
    if duration <= 0:
        raise BadLineError(f"'duration' is {duration:g}; more than zero seconds were expected.")
    return Utterance(
        id=texts["id"],
        audio_filepath=folder / texts["audio_filepath"],
        offset=offset,
        duration=duration,
        text=texts["text"],
        source_lang=_language("source_lang", texts["source_lang"]),
        target_lang=_language("target_lang", texts["target_lang"]),
        speaker=texts.get("speaker"),
        normaliser=texts.get("normaliser"),
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadLineError(f"'{name}' is {kind(value)}; a string was expected.")
    if not value.strip():
        raise BadLineError(f"'{name}' is empty.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise BadLineError(f"'{name}' holds half a surrogate pair, which is no character.")
    return value


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadLineError(f"'{name}' is {kind(value)}; a number of seconds was expected.")
    if abs(value) > 1e9 or not math.isfinite(value):
        raise BadLineError(f"'{name}' is too large or no number; a number of seconds was expected.")
    return float(value)


def _language(name: str, value: str) -> str:
    try:
        return language_code(value)
    except UsageError as error:
        raise BadLineError(f"'{name}': {error}") from None
