"""Telling a hypothesis that repeats itself without end, as Whisper does when it has lost the speech."""

import zlib
from collections.abc import Sequence

MAX_COMPRESSION_RATIO = 2.4
"""Whisper's own threshold (`compression_ratio_threshold`)."""

_REPEATS = 4
_REPEATED_TOKENS = 16

NO_REPEAT_NGRAM_SIZE = 4
"""Tokens that a second attempt may not repeat in the same order."""


def is_loop(tokens: Sequence[int], text: str) -> bool:
    """Whether the text compresses better than speech does, or says one thing four times or more in a row.

    The second rule finds what the first, made for segments of thirty seconds, misses in short clips:
    a run of 16 tokens or more that is one sequence, of any length, at least four times.
    """
    return compression_ratio(text) > MAX_COMPRESSION_RATIO or _repeats(tokens)


def compression_ratio(text: str) -> float:
    """Bytes of the text by bytes of it compressed; about 1.2 to 2 for speech, 0 for no text."""
    encoded = text.encode("utf-8")
    return len(encoded) / len(zlib.compress(encoded))


def token_limit(duration: float, longest: int) -> int:
    """Tokens beyond which a clip of `duration` seconds is suspect, at most `longest`.

    Spanish and French speech has 3 to 7 tokens a second. The limit bounds what a loop may cost, and nothing
    else: a text that reaches it without looping is decoded again with all of `longest`.
    """
    return min(longest, 32 + round(16 * duration))


def _repeats(tokens: Sequence[int]) -> bool:
    count = len(tokens)
    for period in range(1, count // _REPEATS + 1):
        wanted = max(_REPEATED_TOKENS, _REPEATS * period) - period
        run = 0
        for i in range(period, count):
            run = run + 1 if tokens[i] == tokens[i - period] else 0
            if run >= wanted:
                return True
    return False
