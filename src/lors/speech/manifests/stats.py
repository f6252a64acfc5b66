"""What manifests hold: hours, clips, speakers, characters, words per second, how long the clips are."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lors.base.errors import UsageError
from lors.speech.manifest import Utterance, stream_manifest
from lors.speech.manifests.seen import SeenKeys, temporary_database

LONGEST_BIN = 30
"""Seconds: Whisper's window. Longer clips share the last bin of a histogram."""


@dataclass(frozen=True)
class TaskStatistics:
    """Of all utterances from one language into one.

    Attributes:
        source_lang, target_lang: Whisper's codes.
        utterances: lines.
        clips: different parts of audio files; fewer than utterances where a clip has several texts.
        hours: of all utterances.
        speakers: different names.
        without_speaker: utterances that name none.
        characters: of all texts, spaces included.
        different_characters: how many there are.
        words: of all texts, parted by white space.
        words_per_second: words over seconds.
        seconds_minimum, seconds_median, seconds_maximum: of an utterance.
        histogram: utterances that last 0 to 1 s, 1 to 2 s, …, 29 to 30 s, 30 s or more.
    """

    source_lang: str
    target_lang: str
    utterances: int
    clips: int
    hours: float
    speakers: int
    without_speaker: int
    characters: int
    different_characters: int
    words: int
    words_per_second: float
    seconds_minimum: float
    seconds_median: float
    seconds_maximum: float
    histogram: list[int]


@dataclass
class _Counts:
    """Of one pair of languages, so far."""

    clips: SeenKeys
    speakers: set[str] = field(default_factory=set)
    without_speaker: int = 0
    characters: int = 0
    alphabet: set[str] = field(default_factory=set)
    words: int = 0
    seconds: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, one: Utterance) -> None:
        self.clips.first_line(
            f"{one.audio_filepath}\0{one.offset!r}\0{one.duration!r}".encode(errors="surrogatepass"), 0
        )
        if one.speaker is None:
            self.without_speaker += 1
        else:
            self.speakers.add(one.speaker)
        self.characters += len(one.text)
        self.alphabet.update(one.text)
        self.words += len(one.text.split())
        self.seconds.append(one.duration)

    def statistics(self, source_lang: str, target_lang: str) -> TaskStatistics:
        seconds = np.frombuffer(self.seconds)  # [utterances]
        total = float(seconds.sum())
        bins = np.minimum(seconds, LONGEST_BIN).astype(int)
        return TaskStatistics(
            source_lang,
            target_lang,
            len(seconds),
            self.clips.count,
            total / 3600,
            len(self.speakers),
            self.without_speaker,
            self.characters,
            len(self.alphabet),
            self.words,
            self.words / total,
            float(seconds.min()),
            float(np.median(seconds)),
            float(seconds.max()),
            np.bincount(bins, minlength=LONGEST_BIN + 1).tolist(),
        )


def manifest_statistics(paths: Sequence[Path]) -> list[TaskStatistics]:
    """Count what manifests hold together, for each pair of languages; eight bytes of memory an utterance.

    Raises:
        UsageError: a manifest is missing, empty, or has a bad line.
    """
    if not paths:
        raise UsageError("no manifest was named.")
    counts: dict[tuple[str, str], _Counts] = {}
    with temporary_database() as database:
        for path in paths:
            for one in stream_manifest(path):
                pair = (one.source_lang, one.target_lang)
                if pair not in counts:
                    counts[pair] = _Counts(SeenKeys(database, f"clips{len(counts)}"))
                counts[pair].add(one)
    return [found.statistics(*pair) for pair, found in sorted(counts.items())]


def histogram_lines(histogram: Sequence[int], width: int = 50) -> list[str]:
    """A line for each bin up to the last that holds something: its seconds, a bar of block characters, its count.

    Args:
        histogram: as in `TaskStatistics`.
        width: characters of the longest bar.
    """
    last = max((place for place, count in enumerate(histogram) if count), default=0)
    most = max(histogram)
    lines = []
    for place, count in enumerate(histogram[: last + 1]):
        eighths = -(-count * width * 8 // most) if most else 0
        bar = "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]
        name = f"{place}–{place + 1} s" if place < LONGEST_BIN else f"≥ {LONGEST_BIN} s"
        lines.append(f"{name:>8} {bar:<{width}} {count:,}")
    return lines
