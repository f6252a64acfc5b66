"""What corpora of speech translation share that list, for each pair of languages, segments of long recordings."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lors.base.errors import UsageError
from lors.base.visible import visible
from lors.speech.corpora.clips import Clip, checked, seconds, segment_id
from lors.speech.corpora.left_out import LeftOut
from lors.speech.corpora.prepared import Part
from lors.speech.corpora.text_files import count_lines, side_by_side
from lors.speech.manifest import Utterance


@dataclass(frozen=True, slots=True)
class Segment:
    """A line of a list of segments: its recording, as a path in the corpus, and its times as they are written."""

    audio: str
    recording: str
    offset: str
    duration: str | None = None
    end: str | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class Listing:
    """The segments of one pair of languages and one split.

    Attributes:
        path: the list, for messages.
        segments: reads it: (line number, segment).
        source, target: the texts, a line a segment.
    """

    path: Path
    segments: Callable[[LeftOut], Iterator[tuple[int, Segment | None]]]
    source: Path
    target: Path


@dataclass(frozen=True)
class Pairs:
    """Several pairs of languages of one corpus.

    Attributes:
        corpus: no audio lies outside it.
        title: for the progress.
        rules: what is left out.
        listing: (source folder, target folder, official split) → its files.
        left_out: where the counts go, by kind of manifest.
    """

    corpus: Path
    title: str
    rules: LeftOut
    listing: Callable[[str, str, str], Listing]
    left_out: dict[str, Counter[str]] = field(default_factory=dict)

    def parts(
        self, source: tuple[str, str], targets: Mapping[str, str], splits: Mapping[str, str]
    ) -> Iterator[Part]:
        """The transcription of the first pair's segments, then the translation of every pair's.

        Args:
            source: folder and code of the language that is spoken.
            targets: folder → code.
            splits: official name → ours.
        """
        folder, language = source
        others = {name: code for name, code in targets.items() if code != language}
        if not others:
            raise UsageError(f"'{folder}': the targets name no other language; its texts lie with its pairs.")
        first = next(iter(others))
        for split, ours in splits.items():
            yield Part(language, language, ours, self._utterances(folder, language, first, language, split))
        for other, target in others.items():
            for split, ours in splits.items():
                yield Part(language, target, ours, self._utterances(folder, language, other, target, split))

    def _utterances(
        self, folder: str, language: str, other: str, target: str, split: str
    ) -> Iterator[Utterance]:
        task = Part(language, target, split, ()).task
        left_out = replace(self.rules, counts=self.left_out.setdefault(f"{language}-{task}", Counter()))
        listing = self.listing(folder, other, split)
        clips = self._clips(listing, language == target, left_out)
        name = f"{self.title} {language}-{task}-{split}"
        return checked(clips, language, target, left_out, name, count_lines(listing.source))

    def _clips(self, listing: Listing, transcripts: bool, left_out: LeftOut) -> Iterator[Clip]:
        times_seen: Counter[str] = Counter()
        texts = (listing.source, listing.target)
        for number, segment, lines in side_by_side(listing.path, listing.segments(left_out), texts):
            where = f"{listing.path}:{number}"
            if segment is None:
                continue
            offset = seconds(segment.offset)
            last = seconds(segment.duration if segment.duration is not None else segment.end or "")
            if offset is None or last is None:
                what = f"'{visible(segment.offset[:40])}' and '{visible((segment.duration or segment.end or '')[:40])}'"
                left_out.bad(
                    where, "malformed row", f"the times are {what}; seconds, zero or more, were expected"
                )
                continue
            duration = last if segment.duration is not None else last - offset
            identifier = segment_id(segment.recording, offset, offset + duration)
            times_seen[identifier] += 1
            if times_seen[identifier] > 1:  # one stretch of speech under two lines of text
                identifier += f"_{times_seen[identifier]}"
            yield Clip(
                where=where,
                id=identifier,
                folder=self.corpus,
                audio=segment.audio,
                text=lines[0 if transcripts else 1],
                offset=offset,
                duration=round(duration, 6),
                speaker=segment.speaker,
            )


def note_on(first_of: Sequence[str]) -> str:
    """What the card says of ids and of the transcriptions."""
    return (
        "An id is the recording and the segment's begin and end in milliseconds. Every pair of languages has segments "
        f"of its own; the transcriptions are those of {', '.join(first_of)}. Texts are in NFC with single spaces."
    )
