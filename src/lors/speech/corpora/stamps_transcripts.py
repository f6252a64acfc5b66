"""The descriptions of the stamps: read, and repaired where the repair is certain."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from lors.base.errors import LorsError
from lors.speech.corpora.stamps_corrections import HEARD, SPELLING, WITHOUT_ARTICLE

_TRANSLATION = re.compile(r"(?P<locale>[\w@]+)\.utf8=(?P<text>.*)")
_IN_BRACKETS = r"\s*\((?:[^()\d]*[$€¥]\s*[\d.,]+|\s*[\d.,]+\s*[$€¥])\s*\)"  # ($0.01), (0,01 €)
_AMOUNT, _AMOUNT_BEFORE_A_MARK = re.compile(_IN_BRACKETS), re.compile(rf"{_IN_BRACKETS}(?=\s*[,.])")
_TYPED_APOSTROPHE = str.maketrans("’‘", "''")


def read_descriptions(folder: Path) -> dict[str, dict[str, str]]:
    """Language (Tux Paint's locale, "en" for the first line) → id of the stamp → its description as written.

    Raises:
        LorsError: a text is not UTF-8.
    """
    descriptions: dict[str, dict[str, str]] = {"en": {}}
    for path in sorted(folder.rglob("*.txt")):
        identifier = path.relative_to(folder).with_suffix("").as_posix()
        try:
            texts = parse(path.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError as error:
            raise LorsError(f"{path}: not UTF-8 (byte {error.start + 1}); fetch the package anew.") from None
        for language, text in texts.items():
            descriptions.setdefault(language, {})[identifier] = text
    return descriptions


def parse(content: str) -> dict[str, str]:
    """Read a `NAME.txt`: English in the first line, then lines `LOCALE.utf8=TEXT`; the first of equal locales counts.

    Texts without a word are left out.
    """
    lines = content.split("\n")
    texts = {"en": lines[0].strip()}
    for line in lines[1:]:
        if found := _TRANSLATION.match(line):
            texts.setdefault(found["locale"], found["text"].strip())
    return {locale: text for locale, text in texts.items() if count_words(text)}


def count_words(text: str) -> int:
    """Words with a letter or digit in them."""
    return sum(any(c.isalnum() for c in word) for word in text.split())


def count_letters(text: str) -> int:
    """Letters and digits: what takes time to say."""
    return sum(c.isalnum() for c in text)


def clean(identifier: str, text: str, language: str, repairs: Counter[str]) -> str:
    """Return the text as it is spoken: NFC, single spaces, faults of the description repaired.

    Args:
        identifier: the id of the stamp.
        text: its description.
        language: one of the nine, or "en".
        repairs: counts each kind of repair that changed something.
    """
    for kind, repair in _REPAIRS.items():
        text = " ".join(unicodedata.normalize("NFC", text).split())
        repaired = repair(text, identifier, language)
        repairs[kind] += repaired != text
        text = repaired
    return " ".join(text.split())


def _drop_amounts(text: str, identifier: str, language: str) -> str:
    return _AMOUNT.sub(" ", _AMOUNT_BEFORE_A_MARK.sub("", text))


def _straighten_apostrophes(text: str, identifier: str, language: str) -> str:
    return text.translate(_TYPED_APOSTROPHE)


def _spell(text: str, identifier: str, language: str) -> str:
    words: Mapping[str, str] = SPELLING.get(language, {})
    for wrong, right in words.items():
        text = re.sub(wrong, right, text)
    return text


def _drop_article(text: str, identifier: str, language: str) -> str:
    if identifier not in WITHOUT_ARTICLE.get(language, ()):
        return text
    noun = text.partition(" ")[2]
    return noun[:1].upper() + noun[1:]


def _take_what_is_heard(text: str, identifier: str, language: str) -> str:
    return HEARD.get(language, {}).get(identifier, text)


_REPAIRS: dict[str, Callable[[str, str, str], str]] = {
    "amounts in brackets": _drop_amounts,
    "typographic apostrophes": _straighten_apostrophes,
    "spelling": _spell,
    "article that is not said": _drop_article,
    "not what is heard": _take_what_is_heard,
}
