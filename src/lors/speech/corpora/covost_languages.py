"""The languages of CoVoST-2, by Common Voice's names (facebookresearch/covost, get_covost_splits.py)."""

from collections.abc import Sequence
from typing import Literal

from lors.base.errors import UsageError, did_you_mean
from lors.speech.corpora.common_voice_layout import whisper_code
from lors.speech.languages import LANGUAGES

Direction = Literal["into-english", "from-english"]

INTO_ENGLISH = (
    "ar", "ca", "cy", "de", "es", "et", "fa", "fr", "id", "it", "ja", "lv", "mn", "nl", "pt", "ru", "sl",
    "sv-SE", "ta", "tr", "zh-CN",
)  # fmt: skip
"""The 21 languages that are translated into English."""

FROM_ENGLISH = (
    "ar", "ca", "cy", "de", "et", "fa", "id", "ja", "lv", "mn", "sl", "sv-SE", "ta", "tr", "zh-CN",
)  # fmt: skip
"""The 15 languages into which English is translated."""


def choose_languages(names: Sequence[str], direction: Direction) -> list[str]:
    """Common Voice's names of the languages, each once, for names, Whisper's codes or English names.

    Examples:
        >>> choose_languages(["sv", "Chinese", "sv-SE"], "into-english")
        ['sv-SE', 'zh-CN']

    Raises:
        UsageError: there is none, or one has no translations in this direction.
    """
    if direction not in ("into-english", "from-english"):
        raise UsageError(f"direction '{direction}': into-english or from-english was expected.")
    known = INTO_ENGLISH if direction == "into-english" else FROM_ENGLISH
    by_name = {spelling: locale for locale in known for spelling in _spellings(locale)}
    chosen = {}
    for name in names:
        locale = by_name.get(name.strip().lower().replace("_", "-"))
        if locale is None:
            raise UsageError(
                f"'{name}': CoVoST-2 has no translations {direction.replace('-', ' ')} of it; there are "
                f"{', '.join(known)}.{did_you_mean(name, by_name)}"
            )
        chosen[locale] = True
    if not chosen:
        raise UsageError(f"no language is named; choose of {', '.join(known)}.")
    return list(chosen)


def _spellings(locale: str) -> tuple[str, str, str]:
    code = whisper_code(locale)
    return locale.lower(), code, LANGUAGES[code]
