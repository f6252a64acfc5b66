"""What corpora share whose recordings are fetched and converted: languages, limits, FLAC files."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import soundfile

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.speech.audio import SAMPLE_RATE
from lors.speech.languages import language_code

LONGEST_SECONDS = 30.0
"""What Whisper hears at once."""


def choose_languages(languages: Sequence[str], offered: Collection[str], spoken: str) -> list[str]:
    """The codes, each once, in the order given.

    Args:
        languages: codes or English names.
        offered: codes of the corpus.
        spoken: for the sentence, as "the telephone prompts are spoken in".

    Raises:
        UsageError: none is named, or one that is not offered.
    """
    chosen = []
    for name in languages:
        try:
            code = language_code(name)
        except UsageError:
            code = name
        if code not in offered:
            raise UsageError(
                f"'{name}': {spoken} {', '.join(offered)}; choose of these.{did_you_mean(name, offered)}"
            )
        chosen.append(code)
    if not chosen:
        raise UsageError(f"no language is named; choose of {', '.join(offered)}.")
    return list(dict.fromkeys(chosen))


def check_limits(minimum_words: int, maximum_seconds: float) -> None:
    """UsageError for fewer than one word, or seconds that are not above 0 and at most 30."""
    if minimum_words < 1:
        raise UsageError(f"minimum words: {minimum_words} was given; 1 or more is expected.")
    if not 0 < maximum_seconds <= LONGEST_SECONDS:
        raise UsageError(
            f"maximum seconds: {maximum_seconds:g} was given; more than 0 and at most {LONGEST_SECONDS:g} "
            "(what Whisper hears at once) is expected."
        )


def write_flac(samples: np.ndarray, path: Path) -> None:
    """Write float32 [samples] at 16 kHz as FLAC of 16 bit, its folder made where it is missing.

    Raises:
        LorsError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    integers = np.round(samples * 32768).clip(-32768, 32767).astype(np.int16)
    try:
        soundfile.write(str(path), integers, SAMPLE_RATE, subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise LorsError(f"{path}: cannot be written ({error.error_string.rstrip('.')}).") from None
