"""Whole numbers from ratios, by exact decimal arithmetic."""

from fractions import Fraction


def share(ratio: float, count: int) -> int:
    """max(1, floor(ratio · count)), never more than `count`; 0 where `count` is 0.

    `ratio` is taken as the decimal number that was written: 0.29 of 100 is 29, though the nearest binary
    number to 0.29 lies below it and 100 · 0.29 is 28.999999999999996 in floating point.

    Args:
        ratio: in (0, 1].
        count: how many there are, at least 0.

    Raises:
        ValueError: `ratio` is outside (0, 1] or no number.

    Examples:
        >>> share(0.01, 768), share(0.07, 100), share(0.01, 64)
        (7, 7, 1)
    """
    if not 0 < ratio <= 1:
        raise ValueError(f"the ratio {ratio} is outside (0, 1]")
    exact = Fraction(str(ratio)) * count
    return min(count, max(1, exact.numerator // exact.denominator))
