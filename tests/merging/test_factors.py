"""Kept decompositions: against numpy's SVD, counted, and never another matrix's."""

from typing import Any

import numpy as np
import pytest

from lors.merging import factors
from lors.merging.factors import Factors, keeping
from lors.merging.methods.task_vectors import lors, svp


def matrix(seed: int, shape: tuple[int, int] = (60, 40)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def truncated(values: np.ndarray, rank: int) -> np.ndarray:
    u, s, v = np.linalg.svd(values.astype(np.float64), full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


@pytest.fixture
def decomposed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ranks that were really decomposed."""
    ranks: list[int] = []
    original = factors.decompose

    def counting(values: Any, rank: int) -> Any:
        ranks.append(rank)
        return original(values, rank)

    monkeypatch.setattr(factors, "decompose", counting)
    return ranks


def test_one_decomposition_serves_every_smaller_rank_and_every_keep_ratio(decomposed: list[int]) -> None:
    task_vector = matrix(1)
    with keeping(Factors(0.25)):
        for rank_ratio in (0.05, 0.25, 0.1):
            rank = int(40 * rank_ratio)
            expected = truncated(task_vector, rank)
            np.testing.assert_allclose(svp(task_vector, rank_ratio), expected, atol=1e-6)
            for keep_ratio in (0.1, 0.5):
                kept = lors(task_vector, rank_ratio, keep_ratio)
                sparse = kept != expected.astype(np.float32)
                residual = np.abs(task_vector - expected)
                count = int(keep_ratio * task_vector.size)
                assert (
                    residual[np.isclose(kept, task_vector, atol=0)].min() >= np.sort(residual.ravel())[-count]
                )
                assert sparse.sum() >= count - 1
    assert decomposed == [10]


def test_bits_do_not_depend_on_what_was_asked_for_first() -> None:
    task_vector = matrix(2)
    results = []
    for order in ((0.05, 0.25), (0.25, 0.05)):
        with keeping(Factors(0.25)):
            found = {ratio: lors(task_vector, ratio, 0.2) for ratio in order}
        results.append(found)
    for ratio in (0.05, 0.25):
        np.testing.assert_array_equal(results[0][ratio], results[1][ratio])


def test_at_the_kept_ratio_the_bits_are_those_without_keeping() -> None:
    task_vector = matrix(3)
    with keeping(Factors(0.1)):
        kept = [lors(task_vector, 0.1, p) for p in (0.1, 0.2)]
    for found, p in zip(kept, (0.1, 0.2), strict=True):
        np.testing.assert_array_equal(found, lors(task_vector, 0.1, p))


def test_larger_ranks_are_computed_and_not_kept(decomposed: list[int]) -> None:
    task_vector, store = matrix(4), Factors(0.1)
    with keeping(store):
        np.testing.assert_allclose(svp(task_vector, 0.5), truncated(task_vector, 20), atol=1e-6)
    assert len(store) == 0
    assert decomposed == []


def test_one_changed_entry_is_another_matrix(decomposed: list[int]) -> None:
    first = matrix(5)
    second = first.copy()
    second[0, 0] += np.float32(3)
    with keeping(Factors(0.1)):
        svp(first, 0.1)
        np.testing.assert_allclose(svp(second, 0.1), truncated(second, 4), atol=1e-6)
        svp(first.reshape(40, 60), 0.1)
    assert len(decomposed) == 3


def test_nothing_is_kept_outside(decomposed: list[int]) -> None:
    with keeping(Factors(0.1)):
        pass
    svp(matrix(6), 0.1)
    assert decomposed == []
