"""The transcripts of the telephone prompts: read, and repaired where the repair is certain."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping

from lors.speech.corpora.prompt_corrections import HEARD, SPELLING, SPOKEN_IN_PARENTHESES, SYMBOLS

_ENTRY = re.compile(r"(?:^|(?<=[\s.]))[a-z]+(?:-[a-z0-9]+)+:\s")  # the id of another entry, run into a text
_NOTE = re.compile(r"\[[^\]]*\]")
_NOTE_OR_ASIDE = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")
_SPELLED = re.compile(r"(?<=\b[^\W\d_])\s(?=[^\W\d_]\b)")
_MISTYPED_IDS = {"confbridge-lock-out-0": "confbridge-lock-out"}


def parse(content: str) -> dict[str, str]:
    """Read a `core-sounds-XX.txt`: lines `id: text`, comments after `;`; the first of equal ids counts."""
    texts: dict[str, str] = {}
    for line in content.splitlines():
        identifier, colon, text = line.partition(":")
        if colon and not line.startswith(";"):
            identifier = _MISTYPED_IDS.get(identifier.strip(), identifier.strip())
            texts.setdefault(identifier, text.strip())
    return texts


def is_description(text: str) -> bool:
    """Whether a text only describes a sound, in brackets: `[tono simple]`, `(ahooga)`, `<beep ascending>`."""
    return bool(text) and not _NOTE_OR_ASIDE.sub("", text).strip(" .")


def count_words(text: str) -> int:
    """Words with a letter or digit in them; letters spelled one by one (`N B S`) are one word."""
    return sum(any(c.isalnum() for c in word) for word in _SPELLED.sub("", text).split())


def clean(identifier: str, text: str, language: str, repairs: Counter[str]) -> str:
    """Return the text as it is spoken: NFC, single spaces, faults of the transcript repaired.

    Args:
        identifier: the id of the prompt.
        text: its text, no description of a sound.
        language: one of the five.
        repairs: counts each kind of repair that changed something.
    """
    for kind, repair in _REPAIRS.items():
        text = " ".join(unicodedata.normalize("NFC", text).split())
        repaired = repair(text, identifier, language)
        repairs[kind] += repaired != text
        text = repaired
    return " ".join(text.split())


def _cut_run_together(text: str, identifier: str, language: str) -> str:
    before, *after = _ENTRY.split(text)
    return before if before.strip() or not after else after[0]


def _drop_notes(text: str, identifier: str, language: str) -> str:
    spoken = (language, identifier) in SPOKEN_IN_PARENTHESES
    without = (_NOTE if spoken else _NOTE_OR_ASIDE).sub(" ", text)
    return re.sub(r"\s+\.$", "", without) if without != text else text


def _drop_stray_quotes(text: str, identifier: str, language: str) -> str:
    if text.startswith("“") and text.endswith("”"):
        return text[1:-1]
    return text[:-1] if text.endswith('"') and text.count('"') == 1 else text


def _drop_ellipses(text: str, identifier: str, language: str) -> str:
    text = re.sub(r"^(\.{2,}|…)\s*", "", text)
    return re.sub(r"[\s,]*(\.{2,}|…|(?<=:):)$", "", text)


def _straighten_apostrophes(text: str, identifier: str, language: str) -> str:
    return text.replace("’", "'")


def _spell(text: str, identifier: str, language: str) -> str:
    return _replace_all(text, SPELLING.get(language, {}))


def _spell_symbols(text: str, identifier: str, language: str) -> str:
    return _replace_all(text, SYMBOLS.get(language, {}))


def _space_after_sentence(text: str, identifier: str, language: str) -> str:
    return re.sub(r"(?:(?<=[\w»]{2})|(?<=\d))([.:])(?=[^\W\d_])(?![a-z])", r"\1 ", text)


def _take_what_is_heard(text: str, identifier: str, language: str) -> str:
    return HEARD.get(language, {}).get(identifier, text)


def _replace_all(text: str, words: Mapping[str, str]) -> str:
    for wrong, right in words.items():
        text = re.sub(wrong, right, text)
    return text


_REPAIRS: dict[str, Callable[[str, str, str], str]] = {
    "entries run together": _cut_run_together,
    "notes in brackets": _drop_notes,
    "stray quotation marks": _drop_stray_quotes,
    "ellipses at the ends": _drop_ellipses,
    "typographic apostrophes": _straighten_apostrophes,
    "spelling": _spell,
    "symbols for words": _spell_symbols,
    "no space between sentences": _space_after_sentence,
    "not what is heard": _take_what_is_heard,
}
