from collections import Counter

import pytest

from lors.speech.corpora.prompt_transcripts import clean, count_words, is_description, parse


def cleaned(text: str, language: str = "en", identifier: str = "x") -> str:
    return clean(identifier, text, language, Counter())


def test_parse() -> None:
    content = (
        "; a comment: here\n\nvm-no: no\nvm-no: again\n dictate/pause : one: two \nno colon\nvm-empty:\n"
    )
    assert parse(content) == {"vm-no": "no", "dictate/pause": "one: two", "vm-empty": ""}
    assert parse("confbridge-lock-out-0: ...para") == {"confbridge-lock-out": "...para"}


@pytest.mark.parametrize(
    "text", ["[tono simple]", "(ahooga)", "<beep ascending>", "(10 seconds of silence)", "[ x ] ."]
)
def test_descriptions(text: str) -> None:
    assert is_description(text)


@pytest.mark.parametrize("text", ["", "Sus saludos [temporales] estan", "at [@]", "hola"])
def test_speech(text: str) -> None:
    assert not is_description(text)


def test_words() -> None:
    assert count_words("Marque 1 para") == 3
    assert count_words("... hola - mundo !") == 2
    assert count_words("M I S D N") == 1
    assert count_words("Radio U S B") == 2
    assert count_words("и я иду") == 2


@pytest.mark.parametrize(
    ("language", "identifier", "text", "expected"),
    [
        ("en", "x", "  two\u00a0 words ", "two words"),
        ("fr", "x", "e\u0301teint", "éteint"),
        ("es", "x", "Sus saludos [temporales] estan", "Sus saludos estan"),
        ("it", "x", "Prego lasciare. (produrre un beep, ma non in questo file).", "Prego lasciare."),
        ("fr", "screen-callee-options", "poli (ne m'appelez plus), 4", "poli (ne m'appelez plus), 4"),
        ("fr", "x", "“Pour quitter, appuyez sur 8.”", "Pour quitter, appuyez sur 8."),
        ("fr", "x", 'suivi du dièse."', "suivi du dièse."),
        ("ru", "x", "«Эхо-тест» завершён.", "«Эхо-тест» завершён."),
        ("es", "x", "...para salir del menú.", "para salir del menú."),
        ("fr", "x", "... pour quitter, ...", "pour quitter"),
        ("it", "x", "presentato come::", "presentato come:"),
        ("it", "x", "c’è una chiamata", "c'è una chiamata"),
        ("it", "x", "il tempo sar? esattamente..", "il tempo sarà esattamente"),
        ("it", "x", "La conferenza ? piena.", "La conferenza è piena."),
        ("it", "x", "non pu? essere completata cos? come", "non può essere completata così come"),
        ("it", "x", "E' in uso.", "È in uso."),
        ("it", "x", "Login non corretta. Casella di posta?", "Login non corretta. Casella di posta?"),
        ("es", "x", "desea guardar el mensaje ?", "desea guardar el mensaje ?"),
        ("fr", "x", "appuyez sur dièse.vm-review-nonurgent: Pour enlever", "appuyez sur dièse."),
        ("it", "x", "è stato eliminato vm-then-pound: poi premere", "è stato eliminato"),
        ("ru", "conf-adminmenu", "conf-adminmenu: Нажмите 1", "Нажмите 1"),
        ("ru", "x", "... что бы вас было слышно", "чтобы вас было слышно"),
        ("ru", "x", "режим «эхо-теста».Чтобы выйти", "режим «эхо-теста». Чтобы выйти"),
        ("fr", "x", "appuyez sur 5.Pour retourner", "appuyez sur 5. Pour retourner"),
        ("en", "x", "at 3 P.M. on www.asterisk.org, H.323", "at 3 P.M. on www.asterisk.org, H.323"),
        ("en", "x", "press * then #", "press star then pound"),
        (
            "es",
            "x",
            "Marque 3 para volver, marque 0 para salir",
            "Marque número 3 para volver, marque 0 para salir",
        ),
        ("es", "vm-delete", "Marque 7 para borrar el mensaje.", "Marque el número 7 para borrar el mensaje."),
    ],
)
def test_repairs(language: str, identifier: str, text: str, expected: str) -> None:
    assert cleaned(text, language, identifier) == expected


def test_repairs_are_counted_by_kind() -> None:
    repairs: Counter[str] = Counter()
    for text in ("...para salir", "para salir...", "para [x] salir", "para salir"):
        clean("x", text, "es", repairs)
    assert +repairs == {"ellipses at the ends": 2, "notes in brackets": 1}
