"""The largest entries of an array by magnitude: exactly so many, ties decided."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lors.merging.low_rank import FloatArray
from lors.merging.pieces import pieces
from lors.merging.ratios import share

# Keys that are looked at first, and by how many places among them the sought one may be off: three times what
# chance does to the middle one.
_SAMPLE = 16384
_MARGIN = 192


def kept_count(shape: tuple[int, ...], keep_ratio: float) -> int:
    """max(1, floor(keep_ratio · number of entries))."""
    return share(keep_ratio, int(np.prod(shape, dtype=np.int64)))


def largest(values: FloatArray, count: int) -> NDArray[np.bool_]:
    """Where the `count` entries of largest magnitude are; among equals the lowest flat index comes first.

    M of equation 1 in arXiv:2502.17380.

    Args:
        values: float32 or float64, any shape.
        count: 0 … the number of entries.

    Returns:
        a mask of the same shape with exactly `count` true entries.

    Raises:
        ValueError: `count` out of range, or a NaN among the values.
    """
    flat = values.ravel()
    if values.size and np.isnan(values.max()):
        raise ValueError("the values hold a NaN")
    # Rounding to float32 never swaps two numbers: it can only tie them, and ties are decided below.
    with np.errstate(over="ignore"):
        keys = flat.astype(np.float32)
    np.abs(keys, out=keys)
    exact = None if values.dtype == np.float32 else lambda ties: np.abs(flat[ties])
    return _largest(keys, count, exact).reshape(values.shape)


def largest_of_difference(
    values: NDArray[np.float32], others: NDArray[np.float64], count: int
) -> NDArray[np.bool_]:
    """`largest` of values − others in float64, which is never held whole.

    Raises:
        ValueError: `count` out of range, or a NaN among the differences.
    """
    ours, theirs = values.ravel(), others.ravel()
    keys = np.empty(ours.shape, dtype=np.float32)
    with np.errstate(over="ignore"):
        for piece in pieces(0, keys.size):
            difference = ours[piece] - theirs[piece]
            np.abs(difference, out=difference)
            keys[piece] = difference
            if np.isnan(keys[piece].max()):
                raise ValueError("the values hold a NaN")
    return _largest(keys, count, lambda ties: np.abs(ours[ties] - theirs[ties])).reshape(values.shape)


def _largest(
    keys: NDArray[np.float32], count: int, exact: Callable[[NDArray[np.intp]], FloatArray] | None
) -> NDArray[np.bool_]:
    """Where the `count` largest of `keys` are; `exact` gives what decides among equal ones at some places."""
    if not 0 <= count <= keys.size:
        raise ValueError(f"no {count} largest of {keys.size} entries")
    if count in (0, keys.size):
        return np.full(keys.shape, count > 0)
    threshold = _nth_largest(keys, count)
    mask = keys >= threshold
    surplus = int(np.count_nonzero(mask)) - count
    if surplus:
        ties = np.flatnonzero(keys == threshold)
        if exact is not None:
            ties = ties[np.argsort(-exact(ties), kind="stable")]
        mask[ties[-surplus:]] = False
    return mask


def _nth_largest(keys: NDArray[np.float32], count: int) -> np.float32:
    """The `count`-th largest of `keys` (1-D, no NaN), 1 ≤ count ≤ the number of keys.

    A sample tells between which two values it must lie, so that few keys have to be put in order; where the
    sample was misleading, all are.
    """
    sample = np.sort(keys[:: max(1, len(keys) // _SAMPLE)])
    place = len(sample) * (1 - count / len(keys))
    low = sample[max(0, int(place - _MARGIN))]
    high = sample[min(len(sample) - 1, int(place + _MARGIN))]
    above, between = 0, []
    for piece in pieces(0, len(keys)):
        part = keys[piece]
        beyond = part > high
        above += int(np.count_nonzero(beyond))
        between.append(part[(part >= low) ^ beyond])
    near = np.concatenate(between)
    among, rank = (near, count - above) if above < count <= above + len(near) else (keys, count)
    return np.float32(np.partition(among, len(among) - rank)[len(among) - rank])


def keep_largest(values: NDArray[Any], count: int) -> NDArray[Any]:
    """M ⊙ W of equation 2 in arXiv:2502.17380: `values` with all but the `count` largest set to zero."""
    return np.asarray(values * largest(values, count))  # several times as fast as np.where
