"""From the rows of a corpus to utterances: every clip's audio is opened, and what is wrong is told or counted."""

import math
import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from lors.base.cores import usable_cores
from lors.base.errors import LorsError
from lors.base.progress import progress
from lors.base.visible import visible
from lors.speech.audio import TOLERANCE_SECONDS, audio_duration
from lors.speech.corpora.inside import OutsideError, inside, there
from lors.speech.corpora.left_out import LeftOut
from lors.speech.manifest import Utterance

_AT_A_TIME = 256  # clips whose audio is opened before the first of them is handed on
_FILES_REMEMBERED = 1024  # files from which many clips are cut


@dataclass(frozen=True, slots=True)
class Clip:
    """A row of a corpus, as it stands there.

    Attributes:
        where: file and line, for messages.
        id: the utterance's.
        folder: the audio file lies in it, or below it.
        audio: its path from there.
        text: in the target language.
        offset: where the clip begins, in seconds.
        duration: its length; None for all of the file.
        stated: the length of the file that the corpus states, where it does.
        speaker: who speaks, where that is known.
    """

    where: str
    id: str
    folder: Path
    audio: str
    text: str
    offset: float = 0.0
    duration: float | None = None
    stated: float | None = None
    speaker: str | None = None


def checked(
    clips: Iterable[Clip], source_lang: str, target_lang: str, left_out: LeftOut, name: str, total: int
) -> Iterator[Utterance]:
    """The utterances of `kept_clips`."""
    for _, utterance in kept_clips(clips, source_lang, target_lang, left_out, name, total):
        yield utterance


def kept_clips(
    clips: Iterable[Clip], source_lang: str, target_lang: str, left_out: LeftOut, name: str, total: int
) -> Iterator[tuple[Clip, Utterance]]:
    """Yield each clip that is good with its utterance, in their order; the audio is opened, not decoded.

    Texts become NFC with single spaces. Left out and counted are clips without text and those that are too
    long; bad are clips whose id came before, whose audio is missing, damaged, outside the corpus or not as long as
    the corpus says, and those that end more than 0.1 s after their audio.

    Args:
        clips: read once.
        source_lang, target_lang: Whisper's codes.
        left_out: counts, and says whether a bad row ends the work.
        name: of the manifest, for messages.
        total: about how many clips there are, for the progress.

    Raises:
        LorsError: a clip is bad and none may be, or no clip is left.
    """
    first_at: dict[str, str] = {}
    with progress(f"Reading {name}", total, "clips") as advance:
        for clip, length in _measured(clips):
            advance(1)
            text = plain_text(clip.text)
            if not text:
                left_out.counts["no text"] += 1
                continue
            problem = _problem(clip, length, first_at)
            if problem:
                left_out.bad(clip.where, *problem)
                continue
            assert isinstance(length, float)
            duration = length if clip.duration is None else clip.duration
            if duration > left_out.maximum_seconds + TOLERANCE_SECONDS / 2:
                left_out.counts[f"longer than {left_out.maximum_seconds:g} s"] += 1
                continue
            first_at[clip.id] = clip.where.rpartition(":")[2]
            yield (
                clip,
                Utterance(
                    id=clip.id,
                    audio_filepath=(clip.folder / clip.audio).absolute(),
                    offset=round(clip.offset, 6),
                    duration=round(duration, 6),
                    text=text,
                    source_lang=source_lang,
                    target_lang=target_lang,
                    speaker=clip.speaker,
                ),
            )
    if not first_at:
        raise LorsError(f"{name}: no clip is left (left out: {left_out.told()}); the corpus is not whole.")


def plain_text(text: str) -> str:
    """The text in NFC, with single spaces for all white space, and without byte order marks."""
    return unicodedata.normalize("NFC", " ".join(text.replace("\ufeff", " ").split()))


def seconds(text: str) -> float | None:
    """A number of seconds, zero or more; None for what is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value < 1e9 else None


def segment_id(recording: str, offset: float, end: float) -> str:
    """The id of a segment: its recording, and where it begins and ends, in milliseconds (as ESPnet names them).

    Examples:
        >>> segment_id("ted_767", 16.08, 19.58)
        'ted_767_0016080_0019580'
    """
    return f"{recording}_{round(offset * 1000):07d}_{round(end * 1000):07d}"


def _measured(clips: Iterable[Clip]) -> Iterator[tuple[Clip, float | LorsError]]:
    """Each clip with its audio file's seconds, or with what is wrong with the file."""

    @lru_cache(_FILES_REMEMBERED)
    def length(folder: Path, audio: str) -> float | LorsError:
        try:
            return audio_duration(inside(folder, audio))
        except LorsError as error:
            return error

    waiting = iter(clips)
    with ThreadPoolExecutor(min(4, usable_cores())) as threads:
        while batch := list(islice(waiting, _AT_A_TIME)):
            yield from zip(
                batch, threads.map(lambda clip: length(clip.folder, clip.audio), batch), strict=True
            )


def _problem(clip: Clip, length: float | LorsError, first_at: dict[str, str]) -> tuple[str, str] | None:
    """Reason and description of what is wrong with a clip, if anything is."""
    if isinstance(length, OutsideError):
        return "path outside the corpus", str(length)
    if isinstance(length, LorsError):
        missing = not there(clip.folder / clip.audio)
        return ("no audio file" if missing else "damaged audio"), str(length)
    if clip.id in first_at:
        return "duplicate id", f"the id '{visible(clip.id[:100])}' is that of line {first_at[clip.id]} too"
    if clip.stated is not None and abs(clip.stated - length) > TOLERANCE_SECONDS:
        what = f"{clip.folder / clip.audio} lasts {length:.2f} s, the corpus says {clip.stated:.2f} s"
        return "wrong duration", what
    if clip.duration is not None:
        end = clip.offset + clip.duration
        if clip.duration <= 0:
            return "segment without length", f"the segment lasts {clip.duration:g} s"
        if end > length + TOLERANCE_SECONDS:
            what = f"{clip.folder / clip.audio} lasts {length:.2f} s, the segment ends at {end:.2f} s"
            return "segment beyond its audio", what
    return None
