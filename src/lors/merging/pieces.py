"""Ranges of flat entries that are worked on at once."""

from collections.abc import Iterator

PIECE = 1 << 16
"""Entries: small enough for the processor's cache."""


def pieces(start: int, stop: int) -> Iterator[slice]:
    """The ranges of PIECE entries, the last shorter, that make up `start` … `stop`."""
    return (slice(first, min(first + PIECE, stop)) for first in range(start, stop, PIECE))
