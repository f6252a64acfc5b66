"""What the transcripts of the telephone prompts (release 1.6.1) got wrong, found by listening to them."""

SPOKEN_IN_PARENTHESES = {
    ("fr", "priv-callee-options"),
    ("fr", "screen-callee-options"),
    ("ru", "vm-review-nonurgent"),
}
"""Where parentheses hold words that are spoken; all others, and all square brackets, hold notes."""

HEARD = {
    ("es", "vm-mismatch"): "Las contrasenas que usted tecleo no coinciden.",
    ("es", "vm-invalid-password"): (
        "La contrasenia no cumple los requisitos minimos para este correo de voz."
    ),
    ("fr", "vm-mismatch"): "Les mots de passes que vous avez entrés ne correspondent pas.",
    ("it", "confbridge-mute-in"): "Per disattivare o riattivare la propria voce",
    ("it", "confbridge-mute-out"): "per disattivare o riattivare la propria voce.",
    ("it", "confbridge-only-one"): "C'è attualmente solo un altro partecipante alla conferenza.",
    ("it", "vm-then-pound"): "poi premere cancelletto",
}
"""(language, id) → what is said, where the transcript has other words or another sentence more."""

LOST_ACCENTS = {
    # "?" where an accented letter was, and the apostrophe that stands for an accent on a capital
    "it": {
        r"\bsar\?": "sarà",
        r"\bpu\?": "può",
        r"\bcos\?": "così",
        r"\bpi\?": "più",
        r"(?<=\s)\?(?=\s)": "è",
        r"^E'(?=\s)": "È",
    },
    # "что бы" is "that … would"; every prompt means "in order to"
    "ru": {r"\b([Чч])то бы\b": r"\1тобы", r"\bчтобы бы\b": "чтобы", r"\bза тем\b": "затем"},
}
"""Language → pattern → its certain spelling."""

SYMBOLS = {
    "en": {r"\*": "star", r"#": "pound"},
    "fr": {r"\*": "étoile", r"#": "dièse"},
}
"""Language → the key of a telephone → how it is read."""

NOT_WHAT_IS_SAID: set[tuple[str, str]] = set()
"""(language, id) of recordings that say something else than their transcript, where what is not certain."""
