"""Every result is held against numpy's SVD in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lors.merging.lapack import largest_eigenpairs
from lors.merging.low_rank import decompose, kept_rank, low_rank
from lors.merging.subspace_iteration import leading_vectors


def truncated_svd(matrix: NDArray[np.float32], rank: int) -> NDArray[np.float64]:
    u, s, vt = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


def distance(found: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(found - reference) / (np.linalg.norm(reference) or 1.0))


def with_spectrum(
    shape: tuple[int, int], singular: NDArray[np.float64], seed: int = 0
) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    u, _ = np.linalg.qr(rng.standard_normal((shape[0], len(singular))))
    v, _ = np.linalg.qr(rng.standard_normal((shape[1], len(singular))))
    return ((u * singular) @ v.T).astype(np.float32)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_any_shape_and_rank(d: int, k: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, min(d, k)))
    scale = data.draw(st.sampled_from([1.0, 1e-4, 1e-8, 1e-41, 1e37]))
    noise = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))).standard_normal((d, k))
    matrix = (noise * scale).astype(np.float32)
    assert distance(low_rank(matrix, rank), truncated_svd(matrix, rank)) < 1e-7


@pytest.mark.parametrize("shape", [(192, 192), (192, 48), (48, 192)])
@pytest.mark.parametrize("largest", [1.0, 30.0, 1000.0])
def test_neighbouring_singular_values(shape: tuple[int, int], largest: float) -> None:
    """σ_r / σ_(r+1) = 1.006 at every r, as in real task vectors, also far below the largest."""
    singular = 1.006 ** -np.arange(40.0)
    singular[:3] *= largest
    matrix = with_spectrum(shape, singular)
    for rank in (1, 7, 20):
        assert distance(low_rank(matrix, rank), truncated_svd(matrix, rank)) < 1e-6


@pytest.mark.parametrize("shape", [(384, 400), (512, 512), (700, 520), (512, 640)])
@pytest.mark.parametrize("largest", [1.0, 30.0, 1000.0, 1e5])
@pytest.mark.parametrize("size", [1.0, 1e-25])
def test_neighbouring_singular_values_of_large_matrices(
    shape: tuple[int, int], largest: float, size: float
) -> None:
    """Where the leading vectors are found by iteration: σ_r / σ_(r+1) = 1.006 around them, a slope beyond."""
    singular = size * np.where(np.arange(min(shape)) < 12, 1.006, 1.03) ** -np.arange(float(min(shape)))
    singular[:3] *= largest
    matrix = with_spectrum(shape, singular)
    whole = np.linalg.norm(matrix.astype(np.float64))
    u, s, vt = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    for rank in (2, 7, 25):
        error = np.linalg.norm(low_rank(matrix, rank) - (u[:, :rank] * s[:rank]) @ vt[:rank])
        assert error < 1e-9 * whole


@pytest.mark.parametrize("falling", [1.0, 1.001, 1.02, 1.1, 2.0])
def test_leading_vectors_are_right_or_refused(falling: float) -> None:
    """From equal singular values, of which iteration can tell nothing, to those that float32 hardly holds."""
    matrix = with_spectrum((560, 512), falling ** -np.arange(512.0))
    found = leading_vectors(matrix, 10, float(np.abs(matrix).max()))
    assert (found is None) == (falling in (1.0, 1.001, 2.0))
    if found is not None:
        inner, outer = found
        np.testing.assert_allclose(inner.T @ inner, np.eye(10), atol=1e-12)
        error = np.linalg.norm(outer @ inner.T - truncated_svd(matrix, 10))
        assert error < 1e-9 * np.linalg.norm(matrix)


@pytest.mark.parametrize("shape", [(512, 512), (640, 528)])
def test_equal_singular_values_of_large_matrices(shape: tuple[int, int]) -> None:
    """No best approximation is unique here, but each leaves the same rest."""
    matrix = with_spectrum(shape, np.ones(min(shape)))
    rest = np.linalg.norm(matrix.astype(np.float64) - low_rank(matrix, 5)) ** 2
    assert abs(rest - (min(shape) - 5)) < 1e-4


@pytest.mark.parametrize("decades", [8, 16, 30])
def test_graded_spectrum(decades: int) -> None:
    matrix = with_spectrum((60, 50), np.logspace(0, -decades, 50))
    for rank in (1, 10, 40, 50):
        assert distance(low_rank(matrix, rank), truncated_svd(matrix, rank)) < 2e-7


def test_rank_above_the_matrix_own() -> None:
    matrix = with_spectrum((50, 40), np.array([2.0, 1.0]))
    assert distance(low_rank(matrix, 10), matrix.astype(np.float64)) < 1e-7


def test_zero_matrix() -> None:
    zero = np.zeros((9, 6), dtype=np.float32)
    found = decompose(zero, 4)
    assert not found.s.any()
    assert not found.low_rank().any()
    assert np.isfinite(found.u).all()


def test_full_rank_is_the_matrix_itself() -> None:
    matrix = np.random.default_rng(0).standard_normal((20, 30)).astype(np.float32)
    assert np.array_equal(low_rank(matrix, 20), matrix)
    assert np.array_equal(low_rank(matrix, 99), matrix)


@pytest.mark.parametrize("shape", [(70, 40), (40, 70), (50, 50)])
def test_factors_are_those_of_the_svd(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    found = decompose(matrix, 9)
    assert found.u.shape == (shape[0], 9)
    assert found.v.shape == (shape[1], 9)
    reference = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[:9]
    np.testing.assert_allclose(found.s, reference, rtol=1e-12)
    np.testing.assert_allclose(found.u.T @ found.u, np.eye(9), atol=1e-12)
    np.testing.assert_allclose(found.v.T @ found.v, np.eye(9), atol=1e-12)
    np.testing.assert_allclose(matrix @ found.v, found.u * found.s, atol=1e-12)


def test_same_bits_wherever_the_matrix_lies_in_memory() -> None:
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((150, 100)).astype(np.float32)
    reference = low_rank(matrix, 5)
    for offset in range(1, 17):
        moved = np.empty(matrix.size + 32, dtype=np.float32)[offset : offset + matrix.size]
        moved[:] = matrix.ravel()
        assert np.array_equal(low_rank(moved.reshape(matrix.shape), 5), reference)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_what_is_not_finite(bad: float) -> None:
    matrix = np.ones((4, 3), dtype=np.float32)
    matrix[2, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        decompose(matrix, 1)


@pytest.mark.parametrize(("shape", "rank"), [((4, 3), 0), ((4, 3), 4), ((4,), 1), ((2, 3, 4), 1)])
def test_refuses_impossible_ranks_and_shapes(shape: tuple[int, ...], rank: int) -> None:
    with pytest.raises(ValueError, match="no rank"):
        decompose(np.ones(shape, dtype=np.float32), rank)


def test_kept_rank_is_a_share_of_the_smaller_side() -> None:
    assert kept_rank((3072, 768), 0.01) == 7
    assert kept_rank((768, 3072), 0.05) == 38
    assert kept_rank((10, 20), 0.01) == 1


def test_largest_eigenpairs_agree_with_numpy() -> None:
    factor = np.random.default_rng(3).standard_normal((60, 60))
    matrix = factor + factor.T
    values, vectors = largest_eigenpairs(matrix.copy(), 6)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1][:6], rtol=1e-12)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-10)
