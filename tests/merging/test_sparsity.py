"""Every result is held against a full sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from lors.merging.pieces import PIECE
from lors.merging.sparsity import keep_largest, kept_count, largest, largest_of_difference


def by_sorting(values: NDArray[np.floating], count: int) -> NDArray[np.bool_]:
    order = np.argsort(-np.abs(values).ravel(), kind="stable")
    mask = np.zeros(values.size, dtype=bool)
    mask[order[:count]] = True
    return mask.reshape(values.shape)


shapes = npst.array_shapes(min_dims=1, max_dims=3, max_side=12)


@given(
    st.one_of(
        npst.arrays(np.float32, shapes, elements=st.floats(allow_nan=False, width=32)),
        npst.arrays(np.float64, shapes, elements=st.floats(allow_nan=False)),
        # Few different values: ties everywhere.
        npst.arrays(np.float32, shapes, elements=st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0])),
    ),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_the_mask_is_that_of_a_stable_sort(values: NDArray[np.floating], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, values.size))
    found = largest(values, count)
    assert found.sum() == count
    assert np.array_equal(found, by_sorting(values, count))


def test_float64_values_that_float32_cannot_tell_apart() -> None:
    values = 1.0 + 1e-12 * np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    assert largest(values, 3).tolist() == [True, False, True, False, True]
    tiny = np.array([1e-300, 3e-300, 2e-300])
    assert largest(tiny, 1).tolist() == [False, True, False]
    huge = np.array([1e300, -3e300, 2e300])
    assert largest(huge, 1).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_array_with_many_ties(dtype: type) -> None:
    values = np.random.default_rng(0).integers(-3, 4, 100_000).astype(dtype)
    for count in (1, 20_000, 50_000, 99_999):
        assert np.array_equal(largest(values, count), by_sorting(values, count))


@given(
    npst.arrays(np.float32, shapes, elements=st.floats(-4, 4, width=16)),
    st.sampled_from([0.0, 1e-12, 1.0]),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_the_mask_of_a_difference_is_that_of_a_stable_sort_in_float64(
    values: NDArray[np.float32], size: float, data: st.DataObject
) -> None:
    noise = np.random.default_rng(0).integers(-2, 3, values.shape)
    others = np.round(values).astype(np.float64) + size * noise
    count = data.draw(st.integers(0, values.size))
    found = largest_of_difference(values, others, count)
    assert np.array_equal(found, by_sorting(values - others, count))


def test_a_difference_over_several_pieces() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, PIECE - 17)).astype(np.float32)
    others = (values + 1e-12 * rng.integers(-5, 6, values.shape)).astype(np.float64)
    others[0, :1000] = rng.standard_normal(1000)
    for count in (1, 990, 1000, 1001, values.size // 5, values.size - 1):
        assert np.array_equal(
            largest_of_difference(values, others, count), by_sorting(values - others, count)
        )
    others[2, -1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        largest_of_difference(values, others, 5)
    with pytest.raises(ValueError, match="no 4 largest"):
        largest_of_difference(np.ones(3, dtype=np.float32), np.zeros(3), 4)


def test_all_zero_keeps_the_first() -> None:
    assert largest(np.zeros((2, 3), dtype=np.float32), 2).tolist() == [[True, True, False], [False] * 3]


def test_the_values_are_kept_unscaled() -> None:
    values = np.array([[1.0, -5.0], [0.5, 3.0]], dtype=np.float32)
    kept = keep_largest(values, 2)
    assert kept.dtype == np.float32
    assert kept.tolist() == [[0.0, -5.0], [0.0, 3.0]]


def test_refuses_nan_and_impossible_counts() -> None:
    values = np.array([1.0, np.nan, 2.0], dtype=np.float32)
    for count in (1, 3):
        with pytest.raises(ValueError, match="NaN"):
            largest(values, count)
    with pytest.raises(ValueError, match="no 4 largest"):
        largest(np.ones(3, dtype=np.float32), 4)


def test_kept_count_is_the_exact_floor() -> None:
    assert kept_count((10, 10), 0.29) == 29
    assert kept_count((768, 768), 0.2) == 117964
    assert kept_count((3,), 0.2) == 1
    assert kept_count((), 0.2) == 1
