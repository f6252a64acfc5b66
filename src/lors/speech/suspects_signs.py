"""Signs that a transcript is not what is said, and how suspect a clip is by them."""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from lors.speech.aligned_words import align_words
from lors.speech.cer import character_errors
from lors.speech.manifest import Utterance
from lors.speech.normalisation import Normaliser, fold_diacritics, no_punctuation

_SPREAD = 1.4826  # of a normal distribution: standard deviation by median absolute deviation
_LEAST_SPREAD = 0.15  # of the logarithm of letters a second: a reader's own pace is never steadier
_USUAL = 3.0  # standard deviations from the median that are still a matter of pace
_ONE_ACCENT = 0.4  # how suspect one word is that the model writes with an accent and the text without
_DIGITS = 0.1  # a matter of habit mostly, and of what is said now and then
_TWO_SCRIPTS = 0.6
_NO_ACCENT = 0.4
_ENOUGH_CLIPS = 20  # of a speaker, to tell what is usual of him
_SURELY = 0.05  # the chance at which a long text without any accent stops being one


@dataclass(frozen=True)
class Heard:
    """One clip, its transcript, and what a model made of it.

    Attributes:
        utterance: with the transcript.
        data_set: the manifest's name.
        hypothesis: what the model wrote.
        log_probability: mean of the hypothesis' tokens; None where it is not known.
        looped: the first attempt repeated itself.
        normalise: of both texts before they are compared.
    """

    utterance: Utterance
    data_set: str
    hypothesis: str
    log_probability: float | None
    looped: bool
    normalise: Normaliser

    @property
    def letters_per_second(self) -> float:
        """Letters and digits of the transcript by the clip's length."""
        return count_letters(self.utterance.text) / self.utterance.duration

    @property
    def certainty(self) -> float:
        """How sure the model was of a token in the mean, 0 to 1; half of that where it had looped."""
        sure = 1.0 if self.log_probability is None else min(1.0, math.exp(self.log_probability))
        return sure / 2 if self.looped else sure

    @property
    def distance(self) -> float:
        """Character errors by the length of the longer text: 0 where both are equal, 1 where nothing is."""
        reference, hypothesis = self.normalise(self.utterance.text), self.normalise(self.hypothesis)
        longer = max(len(reference), len(hypothesis))
        return character_errors(reference, hypothesis).errors / longer if longer else 0.0


@dataclass(frozen=True)
class Usual:
    """What is usual among the clips of one language or speaker.

    Attributes:
        distance: median of `Heard.distance`: what the model itself gets wrong.
        pace: median of the natural logarithm of letters a second.
        spread: its standard deviation, from the median absolute deviation.
        accented: share of the letters that the model writes with an accent.
    """

    distance: float
    pace: float
    spread: float
    accented: float


@dataclass(frozen=True)
class Sign:
    """One reason for suspicion: its name, how strong it is (0 to 1), and what was seen."""

    name: str
    strength: float
    detail: str


@dataclass(frozen=True)
class Suspect:
    """A clip with its signs, the strongest first.

    Attributes:
        suspicion: 1 − Π (1 − strength), 0 to 1: each sign counts by itself.
    """

    heard: Heard
    signs: tuple[Sign, ...]
    suspicion: float


def usual_of(clips: Sequence[Heard]) -> Usual:
    """What is usual among these clips, at least one."""
    paces = [math.log(max(clip.letters_per_second, 0.01)) for clip in clips]
    pace = median(paces)
    spread = max(_LEAST_SPREAD, _SPREAD * median(abs(one - pace) for one in paces))
    hypotheses = " ".join(no_punctuation(clip.hypothesis) for clip in clips)
    accented = sum(a != b for a, b in _letters_and_bare(hypotheses))
    return Usual(
        median(clip.distance for clip in clips), pace, spread, accented / max(1, count_letters(hypotheses))
    )


def rank(clips: Iterable[Heard]) -> list[Suspect]:
    """All clips, the most suspect first.

    Each is held against what is usual of its speaker, if enough of his clips are there, else in its language. Of
    equally suspect clips the order given is kept.
    """
    by_language: dict[str, list[Heard]] = {}
    by_speaker: dict[tuple[str, str | None], list[Heard]] = {}
    for clip in clips:
        language, speaker = clip.utterance.source_lang, clip.utterance.speaker
        by_language.setdefault(language, []).append(clip)
        by_speaker.setdefault((language, speaker), []).append(clip)
    usual_in = {language: usual_of(heard) for language, heard in by_language.items()}
    suspects = []
    for (language, speaker), heard in by_speaker.items():
        known = speaker is not None and len(heard) >= _ENOUGH_CLIPS
        usual = usual_of(heard) if known else usual_in[language]
        for clip in heard:
            signs = sorted(signs_of(clip, usual), key=lambda sign: -sign.strength)
            innocence = math.prod(1 - sign.strength for sign in signs)
            suspects.append(Suspect(clip, tuple(signs), 1 - innocence))
    return sorted(suspects, key=lambda suspect: -suspect.suspicion)


def signs_of(clip: Heard, usual: Usual) -> list[Sign]:
    """The signs that a clip's transcript is not what is said; those without any strength are left out."""
    text = clip.utterance.text
    found = [
        _other_words(clip, usual),
        _other_length(clip),
        _other_pace(clip, usual),
        _missing_accents(clip),
        _no_accent_at_all(text, usual),
        _digits(text),
        _two_scripts(text),
    ]
    return [sign for sign in found if sign is not None and sign.strength > 0]


def count_letters(text: str) -> int:
    """Letters and digits."""
    return sum(c.isalnum() for c in text)


def has_digits(text: str) -> bool:
    """Whether something is written that is read as a word: a digit, or a sign as $, %, + and =."""
    return any(c.isdigit() or unicodedata.category(c) in ("Sc", "Sm") or c in "%&@#*" for c in text)


def has_accents(text: str) -> bool:
    """Whether a letter has an accent that `fold-diacritics` would drop."""
    return any(a != b for a, b in _letters_and_bare(no_punctuation(text)))


def _other_words(clip: Heard, usual: Usual) -> Sign:
    beyond = max(0.0, clip.distance - usual.distance) / max(1e-9, 1 - usual.distance)
    return Sign(
        "other words", beyond * clip.certainty, f"{100 * clip.distance:.0f} % of the characters differ"
    )


def _other_length(clip: Heard) -> Sign | None:
    written, heard = count_letters(clip.utterance.text), count_letters(clip.hypothesis)
    if not written or not heard:
        return None
    missing = 1 - min(written, heard) / max(written, heard)
    return Sign("other length", missing * clip.certainty, f"{written} letters written, {heard} heard")


def _other_pace(clip: Heard, usual: Usual) -> Sign | None:
    away = (math.log(max(clip.letters_per_second, 0.01)) - usual.pace) / usual.spread
    if abs(away) <= _USUAL:
        return None
    pace = "fast" if away > 0 else "slow"
    return Sign(
        f"too {pace}",
        1 - _USUAL / abs(away),
        f"{clip.letters_per_second:.1f} letters a second, usual are {math.exp(usual.pace):.1f}",
    )


def _missing_accents(clip: Heard) -> Sign | None:
    """Words that the model writes with an accent and the text without; less where the text has accents elsewhere."""
    # Whether a Russian writes е or ё is a matter of taste.
    hypothesis = no_punctuation(clip.hypothesis).replace("ё", "е")
    words = [
        f"{word.reference} → {word.hypothesis}"
        for word in align_words(no_punctuation(clip.utterance.text).split(), hypothesis.split())
        if word.step == "S"
        and word.reference == fold_diacritics(str(word.reference)) == fold_diacritics(str(word.hypothesis))
    ]
    if not words:
        return None
    strength = (1 - (1 - _ONE_ACCENT) ** len(words)) * clip.certainty
    if has_accents(clip.utterance.text):
        strength /= 2
    return Sign("accents missing", strength, ", ".join(words))


def _no_accent_at_all(text: str, usual: Usual) -> Sign | None:
    letters = count_letters(text)
    chance = (1 - usual.accented) ** letters
    if chance >= _SURELY or has_accents(text):
        return None
    return Sign("no accent at all", _NO_ACCENT * (1 - chance), f"in {letters} letters")


def _digits(text: str) -> Sign | None:
    return Sign("digits or signs", _DIGITS, "written as no word") if has_digits(text) else None


def _two_scripts(text: str) -> Sign | None:
    for word in no_punctuation(text).split():
        scripts = {unicodedata.name(c, "").partition(" ")[0] for c in word if c.isalpha()}
        if len(scripts & {"LATIN", "CYRILLIC", "GREEK"}) > 1:
            return Sign("two scripts in a word", _TWO_SCRIPTS, word)
    return None


def _letters_and_bare(text: str) -> list[tuple[str, str]]:
    return [(c, fold_diacritics(c)) for c in text if c.isalpha()]
