"""Decompositions that are kept, so that another keep ratio, scale or smaller rank costs none.

A matrix is known again by the digest of its entries: its factors can never be taken for those of another.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from lors.merging import low_rank as exact
from lors.merging.low_rank import Decomposition, FloatArray, decompose
from lors.merging.ratios import share


class Factors:
    """Decompositions at one rank ratio, which serve every smaller rank too.

    They hold (d + k)·r numbers in float64 for each d×k matrix: at a ratio of 0.05, two fifths of its own bytes in
    float32 where it is square.
    """

    def __init__(self, rank_ratio: float) -> None:
        """Keep what has up to `rank_ratio` of the rank, in (0, 1]; larger ranks are computed and not kept."""
        self._rank_ratio = rank_ratio
        self._found: dict[tuple[bytes, tuple[int, ...]], Decomposition] = {}

    def __len__(self) -> int:
        return len(self._found)

    def low_rank(self, matrix: FloatArray, rank: int) -> NDArray[np.float64]:
        """`low_rank.low_rank` to 1e-9 of ‖W‖; the same bits whichever rank was asked for first."""
        highest = share(self._rank_ratio, min(matrix.shape))
        if rank > highest or rank >= min(matrix.shape):
            return exact.low_rank(matrix, rank)
        key = (hashlib.sha256(np.ascontiguousarray(matrix).data).digest(), matrix.shape)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = decompose(matrix, highest)
        return Decomposition(found.u[:, :rank], found.s[:rank], found.v[:, :rank]).low_rank()


_current: Factors | None = None


@contextmanager
def keeping(factors: Factors | None) -> Iterator[None]:
    """Let all threads take low-rank approximations from `factors` for as long as the block lasts."""
    global _current
    before, _current = _current, factors
    try:
        yield
    finally:
        _current = before


def low_rank(matrix: FloatArray, rank: int) -> NDArray[np.float64]:
    """The best rank-`rank` approximation of a d×k matrix, from kept factors where there are such."""
    return exact.low_rank(matrix, rank) if _current is None else _current.low_rank(matrix, rank)
