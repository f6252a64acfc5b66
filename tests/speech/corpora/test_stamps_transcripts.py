from collections import Counter
from pathlib import Path

import pytest

from lors.base.errors import LorsError
from lors.speech.corpora.stamps_corrections import (
    HEARD,
    NOT_TRANSLATIONS,
    NOT_WHAT_IS_SAID,
    SPELLING,
    WITHOUT_ARTICLE,
)
from lors.speech.corpora.stamps_sources import LANGUAGES
from lors.speech.corpora.stamps_transcripts import clean, count_letters, count_words, parse, read_descriptions


def cleaned(text: str, language: str = "es", identifier: str = "none/such") -> tuple[str, dict[str, int]]:
    repairs: Counter[str] = Counter()
    return clean(identifier, text, language, repairs), dict(+repairs)


def test_parse() -> None:
    content = "A goat. \nca.utf8=Una cabra.\nca@valencia.utf8=Altra\n"
    content += "es.utf8= Una cabra = 1.\r\nes.utf8=no\nel.utf8=...\nnoise\n"
    assert parse(content) == {
        "en": "A goat.",
        "ca": "Una cabra.",
        "ca@valencia": "Altra",
        "es": "Una cabra = 1.",
    }
    assert parse("") == {}


def test_reading_a_folder(tmp_path: Path) -> None:
    (tmp_path / "animals").mkdir()
    (tmp_path / "animals" / "goat.1.txt").write_bytes("\ufeffA goat.\nru.utf8=Козёл.\n".encode())
    (tmp_path / "b.txt").write_text("Boom!!!\n", encoding="utf-8")
    assert read_descriptions(tmp_path) == {
        "en": {"animals/goat.1": "A goat.", "b": "Boom!!!"},
        "ru": {"animals/goat.1": "Козёл."},
    }
    (tmp_path / "c.txt").write_bytes(b"ab\xff")
    with pytest.raises(LorsError, match=r"c.txt: not UTF-8 \(byte 3\)"):
        read_descriptions(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Una moneda ($0,01), conocida como «penique».", "Una moneda, conocida como «penique»."),
        ("Une pièce de 1 centime (0,01 €).", "Une pièce de 1 centime."),
        ("Una moneda japonesa de 1 yen (¥1).", "Una moneda japonesa de 1 yen."),
        ("1 американски цент ($.01)наричан пени.", "1 американски цент наричан пени."),
        ("10 Канадскіх центаў ($0.10) завуцца дайм.", "10 Канадскіх центаў завуцца дайм."),
        ("Un dólar (1,00$) anomenat loonie.", "Un dólar anomenat loonie."),
        ("Una oveja bebé (un cordero).", "Una oveja bebé (un cordero)."),
        ("Loonie (two) (2 of 3)", "Loonie (two) (2 of 3)"),
    ],
)  # fmt: skip
def test_amounts_in_brackets(text: str, expected: str) -> None:
    assert cleaned(text) == (expected, {"amounts in brackets": 1} if text != expected else {})


@pytest.mark.parametrize(
    ("language", "identifier", "text", "expected", "repair"),
    [
        ("ca", "x", "La lletra ç.", "ç.", "spelling"),
        ("ca", "x", 'La lletra alemana "sz".', 'La lletra alemana "sz".', None),
        ("fr", "x", "La lettre Q.", "Q.", "spelling"),
        ("es", "x", "La letra q.", "La letra q.", None),
        ("es", "x", "Zip, zap, ¡Que pasada!", "Zip, zap, ¡Qué pasada!", "spelling"),
        ("ca", "animals/mammals/bears/bear", "Un ós.", "Ós.", "article that is not said"),
        ("ca", "animals/birds/turkey", "Un gall dindi.", "Gall dindi.", "article that is not said"),
        ("ca", "animals/mammals/bears/european-bear", "Un ós bru.", "Un ós bru.", None),
        ("es", "animals/mammals/bears/bear", "Un oso.", "Un oso.", None),
        ("ca", "animals/mammals/dogs/fox", "Una guineu.", "Rabosa.", "not what is heard"),
    ],
)
def test_what_is_said(language: str, identifier: str, text: str, expected: str, repair: str | None) -> None:
    assert cleaned(text, language, identifier) == (expected, {repair: 1} if repair else {})


def test_the_text_is_made_plain() -> None:
    assert cleaned("L’e\u0301té\u00a0 ‘x’", "fr") == ("L'été 'x'", {"typographic apostrophes": 1})
    assert cleaned("") == ("", {})


def test_words_and_letters() -> None:
    assert count_words("¡¡¡Boom!!! — 6x7=42 ...") == 2
    assert count_letters("¡Año 42! Й") == 6


def test_corrections_are_for_the_nine_languages_and_do_not_contradict() -> None:
    for table in (SPELLING, HEARD, NOT_WHAT_IS_SAID, NOT_TRANSLATIONS, WITHOUT_ARTICLE):
        assert set(table) <= set(LANGUAGES)
    for language in LANGUAGES:
        assert not HEARD.get(language, {}).keys() & NOT_WHAT_IS_SAID.get(language, set())
        assert not WITHOUT_ARTICLE.get(language, set()) & (
            HEARD.get(language, {}).keys() | NOT_WHAT_IS_SAID.get(language, set())
        )
        for identifier, text in HEARD.get(language, {}).items():
            assert cleaned(text, language, "other/id")[0] == text
            assert cleaned("anything", language, identifier) == (text, {"not what is heard": 1})
