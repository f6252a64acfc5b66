"""The largest entries of an array by magnitude: exactly so many, ties decided."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lors.merging.low_rank import FloatArray
from lors.merging.ratios import share

# Keys that are looked at first, and by how many places among them the sought one may be off: three times what
# chance does to the middle one.
_SAMPLE = 4096
_MARGIN = 100


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
    if not 0 <= count <= values.size:
        raise ValueError(f"no {count} largest of {values.size} entries")
    if values.size and np.isnan(values.max()):
        raise ValueError("the values hold a NaN")
    if count in (0, values.size):
        return np.full(values.shape, count > 0)
    # Rounding to float32 never swaps two numbers: it can only tie them, and ties are decided below.
    with np.errstate(over="ignore"):
        keys = values.astype(np.float32).ravel()
    np.abs(keys, out=keys)
    threshold = _nth_largest(keys, count)
    mask = keys > threshold
    ties = np.flatnonzero(keys == threshold)
    missing = count - int(np.count_nonzero(mask))
    if missing < len(ties) and values.dtype != np.float32:
        ties = ties[np.argsort(-np.abs(values.ravel()[ties]), kind="stable")]
    mask[ties[:missing]] = True
    return mask.reshape(values.shape)


def _nth_largest(keys: NDArray[np.float32], count: int) -> np.float32:
    """The `count`-th largest of `keys` (1-D, no NaN), 1 ≤ count ≤ the number of keys.

    A sample tells between which two values it must lie, so that few keys have to be put in order; where the
    sample was misleading, all are.
    """
    sample = np.sort(keys[:: max(1, len(keys) // _SAMPLE)])
    place = len(sample) * (1 - count / len(keys))
    low = sample[max(0, int(place - _MARGIN))]
    high = sample[min(len(sample) - 1, int(place + _MARGIN))]
    above = int(np.count_nonzero(keys > high))
    near = keys[(keys >= low) & (keys <= high)]
    among, rank = (near, count - above) if above < count <= above + len(near) else (keys, count)
    return np.float32(np.partition(among, len(among) - rank)[len(among) - rank])


def keep_largest(values: NDArray[Any], count: int) -> NDArray[Any]:
    """M ⊙ W of equation 2 in arXiv:2502.17380: `values` with all but the `count` largest set to zero."""
    return np.asarray(values * largest(values, count))  # several times as fast as np.where
