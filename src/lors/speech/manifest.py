"""Manifests: one utterance a line, as JSON, under NeMo's field names."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.base.files import write_text
from lors.speech.audio import TOLERANCE_SECONDS, audio_duration
from lors.speech.languages import language_code


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


_REQUIRED = ("id", "audio_filepath", "duration", "text", "source_lang", "target_lang")
_OPTIONAL = ("offset", "speaker", "normaliser")
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
    problems = [(line, what) for line, what in _scan(Path(path), check_audio, utterances.append)]
    if problems:
        line, what = problems[0]
        more = len(problems) - 1
        others = f" (and {more} more; `lors manifest check {path}` lists them)" if more else ""
        raise UsageError(f"{path}:{line}: {what}{others}")
    if not utterances:
        raise UsageError(f"{path}: the manifest is empty; one JSON object a line was expected.")
    return utterances


def manifest_problems(path: Path, check_audio: bool = True) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, what is wrong with it) for every bad line, in order.

    Raises:
        UsageError: the manifest itself is missing or no file.
    """
    return _scan(Path(path), check_audio, lambda utterance: None)


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest atomically, audio paths relative to it; equal utterances give equal bytes."""
    folder = Path(path).absolute().parent
    write_text(path, "".join(_to_line(utterance, folder) + "\n" for utterance in utterances))


def _to_line(utterance: Utterance, folder: Path) -> str:
    audio = Path(os.path.relpath(utterance.audio_filepath, folder)).as_posix()
    fields: dict[str, Any] = {"id": utterance.id, "audio_filepath": audio}
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


def _scan(path: Path, check_audio: bool, accept: Callable[[Utterance], None]) -> Iterator[tuple[int, str]]:
    """Hand each good line to `accept` and yield each bad one."""
    first_line_of: dict[str, int] = {}
    folder = path.absolute().parent
    duration_of = cache(audio_duration)  # many lines may cut their clips from one file
    for number, line in _lines(path):
        try:
            utterance = _to_utterance(line, folder)
            if utterance.id in first_line_of:
                raise _BadLineError(
                    f"the id '{utterance.id}' is that of line {first_line_of[utterance.id]} too."
                )
            first_line_of[utterance.id] = number
            if check_audio:
                _check_audio(utterance, duration_of)
        except LorsError as error:
            yield number, str(error)
        else:
            accept(utterance)


class _BadLineError(UsageError):
    """What is wrong with one line, without its place."""


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise UsageError(f"{path}: {what}; a manifest (JSON Lines) was expected.")
    with path.open("rb") as file:  # bytes: str would also break lines at U+2028 inside a text
        for number, line in enumerate(file, start=1):
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if line.strip():
                yield number, line


def _to_utterance(line: bytes, folder: Path) -> Utterance:
    fields = _parse(line)
    for name in fields:
        if name not in _REQUIRED + _OPTIONAL:
            known = ", ".join(_REQUIRED + _OPTIONAL)
            raise _BadLineError(
                f"unknown field '{name}'; the fields are {known}.{did_you_mean(name, _REQUIRED + _OPTIONAL)}"
            )
    for name in _REQUIRED:
        if name not in fields:
            raise _BadLineError(f"the field '{name}' is missing.")
    texts = {name: _text(name, fields[name]) for name in fields if name not in _NUMBERS}
    offset = _seconds("offset", fields.get("offset", 0.0))
    duration = _seconds("duration", fields["duration"])
    if offset < 0:
        raise _BadLineError(f"'offset' is {offset:g}; zero or more seconds were expected.")
    if duration <= 0:
        raise _BadLineError(f"'duration' is {duration:g}; more than zero seconds were expected.")
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


def _parse(line: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            twice = next(name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1)
            raise _BadLineError(f"the field '{twice}' is there twice.")
        return fields

    try:
        fields = json.loads(line.decode("utf-8"), object_pairs_hook=unique)
    except UnicodeDecodeError as error:
        raise _BadLineError(f"not UTF-8 (byte {error.start + 1}); save the manifest as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _BadLineError(f"not JSON ({error.msg}, column {error.colno}).") from None
    except (ValueError, RecursionError):
        raise _BadLineError("not JSON that can be read (a number or a nesting without end).") from None
    if not isinstance(fields, dict):
        raise _BadLineError(f"a JSON object was expected, {_kind(fields)} was found.")
    return fields


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _BadLineError(f"'{name}' is {_kind(value)}; a string was expected.")
    if not value.strip():
        raise _BadLineError(f"'{name}' is empty.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise _BadLineError(f"'{name}' holds half a surrogate pair, which is no character.")
    return value


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadLineError(f"'{name}' is {_kind(value)}; a number of seconds was expected.")
    if abs(value) > 1e9 or not math.isfinite(value):
        raise _BadLineError(f"'{name}' is too large or no number; a number of seconds was expected.")
    return float(value)


def _language(name: str, value: str) -> str:
    try:
        return language_code(value)
    except UsageError as error:
        raise _BadLineError(f"'{name}': {error}") from None


def _check_audio(utterance: Utterance, duration_of: Callable[[Path], float]) -> None:
    there = duration_of(utterance.audio_filepath)
    end = utterance.offset + utterance.duration
    if end > there + TOLERANCE_SECONDS:
        raise _BadLineError(
            f"{utterance.audio_filepath}: lasts {there:.2f} s, offset and duration ask for {end:.2f} s: "
            "the file is truncated, or they are wrong."
        )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")
