"""Normalisers: what each keeps and drops in five scripts, and that a second pass changes nothing."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lors.base.errors import UsageError
from lors.speech.normalisation import NORMALISERS, find_normaliser

OWN = ["none", "lower", "no-punctuation", "fold-diacritics"]
TRICKY = st.text(
    st.sampled_from("aéÑßИйёЁїў'’-‐·.,5 3ΆςŀĿİıæǅﬁあが\u0301\u0306\u0345\u0300\u200d\u00ad%—¿(«")
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("¿Dónde está EL Niño?  ¡Aquí!", "dónde está el niño aquí"),
        ("L’été, c'est « l'hôtel » – d'accord…", "l'été c'est l'hôtel d'accord"),
        ("El Col·legi i el coŀlegi", "el col·legi i el col·legi"),
        ("anak‑anak - dan (10.000) 3,5 km.", "anak-anak dan 10.000 3,5 km"),
        ("rock 'n' roll 'quoted' perche' -5", "rock n roll quoted perche 5"),
        ("ЕЩЁ РАЗ, «йод»!", "ещё раз йод"),
        ("ΆΛΦΑ· Ωμέγα;", "άλφα ωμέγα"),
        ("नमस्ते, दुनिया।", "नमस्ते दुनिया"),
        ("مرحبا، كيف الحال؟", "مرحبا كيف الحال"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("こんにちは。カメラ", "こんにちは カメラ"),
        ("50% de 20 €", "50 de 20"),
        ("co\u00adope\u00adrar\ufeff", "cooperar"),
        ("e\u0301te\u0301", "été"),
        ("…!?", ""),
    ],
)
def test_no_punctuation(text: str, expected: str) -> None:
    assert find_normaliser("no-punctuation")(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("¿Dónde está el número del niño?", "donde esta el numero del nino"),
        ("L'élève a déjà reçu l'œuvre à Noël", "l'eleve a deja recu l'oeuvre a noel"),
        ("Straße, Ærø, Łódź, Đorđe, þorn, ışık", "strasse aero lodz dorde thorn isik"),
        ("Ещё ёлка, йод и мой край", "еще елка йод и мой край"),
        ("за́мок", "замок"),
        ("їжа, ў, ѓ ќ", "їжа ў ѓ ќ"),
        ("Άνθρωπος ώρα", "ανθρωπος ωρα"),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("がぎぐ", "がぎぐ"),
        ("șapte țări", "sapte tari"),
        ("perché è così", "perche e cosi"),
    ],
)
def test_fold_diacritics(text: str, expected: str) -> None:
    assert find_normaliser("fold-diacritics")(text) == expected


def test_folding_makes_accented_and_bare_spelling_equal_but_keeps_letters_apart() -> None:
    fold = find_normaliser("fold-diacritics")
    assert fold("Número de extensión") == fold("numero de extension")
    assert fold("всё") == fold("все")
    assert fold("мой") != fold("мои")


def test_none_and_lower() -> None:
    assert find_normaliser("none")(" Été,  OUI ") == " Été,  OUI "
    assert find_normaliser("lower")(" E\u0301te\u0301,  ЁЖ ") == "été, ёж"


@pytest.mark.parametrize("name", OWN)
@given(text=st.text() | TRICKY)
def test_a_second_pass_changes_nothing(name: str, text: str) -> None:
    normalise = find_normaliser(name)
    once = normalise(text)
    assert normalise(once) == once


@pytest.mark.parametrize("name", ["no-punctuation", "fold-diacritics"])
@given(text=st.text() | TRICKY)
def test_only_letters_marks_digits_and_inner_signs_are_left(name: str, text: str) -> None:
    words = find_normaliser(name)(text).split(" ")
    for c in "".join(words):
        assert unicodedata.category(c)[0] in "LMN" or c in "'-·.,\u200c\u200d"
        assert c == c.lower() or len(c.lower()) > 1
    for word in words:
        assert not word or (word[0] not in "'-·.," and word[-1] not in "'-·.,")


@given(st.text(st.characters(codec="ascii")))
def test_folding_is_no_punctuation_on_ascii(text: str) -> None:
    assert find_normaliser("fold-diacritics")(text) == find_normaliser("no-punctuation")(text)


def test_whisper_basic_is_whispers() -> None:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    for text in ("L'été [rires] (bis), 10.000!", "Ещё раз", "col·legi ½ ﬁn"):
        assert find_normaliser("whisper-basic")(text) == " ".join(BasicTextNormalizer()(text).split())


def test_signatures_name_profile_and_version() -> None:
    signatures = [profile.signature for profile in NORMALISERS.values()]
    assert "fold-diacritics-1" in signatures
    assert len(set(signatures)) == len(NORMALISERS)
    assert all(name == profile.name for name, profile in NORMALISERS.items())


def test_unknown_name_says_what_was_meant() -> None:
    with pytest.raises(UsageError, match="Did you mean 'fold-diacritics'"):
        find_normaliser("fold-diacritic")
