"""What a search for suspect transcripts found: the clips in order, and what each language's have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from lors.speech.suspects_signs import Heard, Suspect, has_accents, has_digits
from lors.speech.wer import total, word_errors


@dataclass(frozen=True)
class LanguageFacts:
    """What the clips of one language have in common.

    Attributes:
        clips: their number; `hours` their length.
        wer: of all together, in per cent.
        letters_per_second: median.
        digits: transcripts with a digit or a sign that is read as a word.
        accents: transcripts with an accent.
        heard_accents: hypotheses with an accent.
    """

    clips: int
    hours: float
    wer: float
    letters_per_second: float
    digits: int
    accents: int
    heard_accents: int


@dataclass(frozen=True)
class Suspects:
    """What `find_suspects` wrote.

    Attributes:
        html, tsv: the files.
        signature: of the model and the decoder.
        facts: language → what its clips have in common.
        ranked: all clips, the most suspect first; `listed` of them are in the HTML file.
    """

    html: Path
    tsv: Path
    signature: str
    facts: dict[str, LanguageFacts]
    ranked: list[Suspect]
    listed: int


def facts_of(heard: Sequence[Heard]) -> dict[str, LanguageFacts]:
    """Language → what its clips have in common, in the order in which the languages come."""
    languages: dict[str, list[Heard]] = {}
    for clip in heard:
        languages.setdefault(clip.utterance.source_lang, []).append(clip)
    return {
        language: LanguageFacts(
            clips=len(clips),
            hours=sum(clip.utterance.duration for clip in clips) / 3600,
            wer=total(
                word_errors(clip.normalise(clip.utterance.text), clip.normalise(clip.hypothesis))
                for clip in clips
            ).wer,
            letters_per_second=median(clip.letters_per_second for clip in clips),
            digits=sum(has_digits(clip.utterance.text) for clip in clips),
            accents=sum(has_accents(clip.utterance.text) for clip in clips),
            heard_accents=sum(has_accents(clip.hypothesis) for clip in clips),
        )
        for language, clips in languages.items()
    }
