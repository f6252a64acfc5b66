from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lors.merging.ratios import share


@pytest.mark.parametrize(
    ("ratio", "count", "expected"),
    [
        (0.01, 768, 7),  # what the paper's authors use for whisper-small
        (0.01, 512, 5),
        (0.01, 1280, 12),
        (0.07, 100, 7),  # 7.000000000000001 in floating point
        (0.29, 100, 29),  # 28.999999999999996 in floating point
        (0.57, 100, 57),
        (1.0, 12345, 12345),
        (1, 5, 5),
        (1e-9, 1000, 1),
        (0.5, 1, 1),
        (0.2, 0, 0),
    ],
)
def test_share_is_the_floor_of_the_decimal_product(ratio: float, count: int, expected: int) -> None:
    assert share(ratio, count) == expected


@given(st.integers(1, 10_000), st.integers(1, 100_000_000))
def test_share_agrees_with_decimal_arithmetic(ten_thousandths: int, count: int) -> None:
    ratio = ten_thousandths / 10_000
    exact = Decimal(ten_thousandths) / Decimal(10_000) * count
    assert share(ratio, count) == max(1, int(exact))


@pytest.mark.parametrize("ratio", [0, -0.1, 1.0000001, float("nan"), float("inf")])
def test_share_refuses_ratios_out_of_range(ratio: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        share(ratio, 10)
