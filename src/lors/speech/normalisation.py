"""Named, versioned text normalisers: what is done to references and hypotheses before words are compared.

A word error rate means nothing without the normaliser that it was counted with, so every result carries its
name and version. A profile whose rules change gets a new version.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from lors.base.errors import UsageError, did_you_mean

_APOSTROPHES = "’‘ʼʹ′´`＇‛"
_HYPHENS = "‐‑"
_INVISIBLE = "\u00ad\ufeff\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069"
_UNIFIED = str.maketrans(
    {c: "'" for c in _APOSTROPHES}
    | {c: "-" for c in _HYPHENS}
    | dict.fromkeys(_INVISIBLE, "")
    | {"ŀ": "l·", "Ŀ": "L·"}
)
_BETWEEN_LETTERS = "'-·"
_BETWEEN_DIGITS = ".,"
# What Unicode does not decompose; the list of Whisper's own normaliser, and the Turkish dotless i.
_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i"}
_CYRILLIC = {"ё": "е", "ѐ": "е", "ѝ": "и"}
_STRESS_MARKS = "\u0300\u0301"


def none(text: str) -> str:
    """The text as it is; words are still what stands between white space."""
    return text


def lower(text: str) -> str:
    """Unicode NFC, lower case in every script, one space between words."""
    return " ".join(_nfc_lower(text).split())


def no_punctuation(text: str) -> str:
    """`lower`, and only letters, vowel signs and digits are left.

    Kept inside a word: apostrophe (l'été), hyphen (anak-anak) and middle dot (col·legi), with their
    typographic variants made one; full stop and comma between digits (3.5, 10.000). Every other sign
    becomes a space. Digits stay digits.
    """
    text = _nfc_lower(_nfc_lower(text).translate(_UNIFIED))
    kept = (c if _is_kept(text, i) else " " for i, c in enumerate(text))
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())


def fold_diacritics(text: str) -> str:
    """`no_punctuation`, and accents are dropped: for transcripts that were written without them.

    Latin and Greek letters lose every mark (é→e, ñ→n, ș→s, ώ→ω), and ß→ss, æ→ae, œ→oe, ø→o, ł→l, đ→d, ð→d,
    þ→th, ı→i. Cyrillic loses what writers leave out at will, ё→е and the stress marks, but keeps й, ї, ў, ѓ
    and ќ, which are letters that no one writes as и, і, у, г and к. Marks of other scripts are
    vowels or consonants of their own and stay.
    """
    return no_punctuation(_fold(no_punctuation(text)))


def whisper_basic(text: str) -> str:
    """`BasicTextNormalizer` of Whisper and transformers: NFKC, no brackets, marks and signs to spaces."""
    return " ".join(_basic_text_normalizer()(text).split())


@dataclass(frozen=True)
class Normaliser:
    """A profile: call it with a text; its `signature` ("fold-diacritics-1") goes with every result."""

    name: str
    version: int
    function: Callable[[str], str]

    @property
    def signature(self) -> str:
        return f"{self.name}-{self.version}"

    def __call__(self, text: str) -> str:
        return self.function(text)


NORMALISERS = {
    profile.name: profile
    for profile in (
        Normaliser("none", 1, none),
        Normaliser("lower", 1, lower),
        Normaliser("no-punctuation", 1, no_punctuation),
        Normaliser("fold-diacritics", 1, fold_diacritics),
        Normaliser("whisper-basic", 1, whisper_basic),
    )
}
DEFAULT_NORMALISER = "no-punctuation"


def find_normaliser(name: str) -> Normaliser:
    """The profile called `name`; an unknown name is a UsageError that lists all."""
    if name not in NORMALISERS:
        raise UsageError(
            f"normaliser '{name}' is not known; choose one of {', '.join(NORMALISERS)}."
            + did_you_mean(name, NORMALISERS)
        )
    return NORMALISERS[name]


def _nfc_lower(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def _is_kept(text: str, i: int) -> bool:
    c = text[i]
    if _is_letter_or_digit(c):
        return True
    before, after = text[i - 1 : i], text[i + 1 : i + 2]
    if c in _BETWEEN_LETTERS:
        return _is_letter_or_digit(before) and _is_letter_or_digit(after)
    return c in _BETWEEN_DIGITS and before.isdecimal() and after.isdecimal()


@cache
def _is_letter_or_digit(c: str) -> bool:
    # U+200C and U+200D join or part letters inside Persian and Indic words.
    return bool(c) and (unicodedata.category(c)[0] in "LMN" or c in "\u200c\u200d")


def _fold(text: str) -> str:
    folded: list[str] = []
    for c in text:
        if not 0x300 <= ord(c) <= 0x36F:
            folded.append(_fold_letter(c))
        elif folded and _is_cyrillic(folded[-1][-1:]) and c not in _STRESS_MARKS:
            folded.append(c)
    return unicodedata.normalize("NFC", "".join(folded))


@cache
def _fold_letter(c: str) -> str:
    if _is_cyrillic(c):
        return _CYRILLIC.get(c, c)
    parts = unicodedata.normalize("NFD", c)
    if not unicodedata.name(parts[0], "").startswith(("LATIN", "GREEK")):
        return c
    bare = "".join(part for part in parts if not 0x300 <= ord(part) <= 0x36F)
    return "".join(_LETTERS.get(letter, letter) for letter in bare)


def _is_cyrillic(c: str) -> bool:
    return bool(c) and 0x400 <= ord(c) <= 0x52F


@cache
def _basic_text_normalizer() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return BasicTextNormalizer()
