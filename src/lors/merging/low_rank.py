"""The best rank-r approximation of a matrix."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from lors.merging.device import is_on_gpu, right_singular_vectors
from lors.merging.lapack import largest_eigenpairs
from lors.merging.ratios import share
from lors.merging.subspace_iteration import Float64Array, leading_vectors

FloatArray = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class Decomposition:
    """The r largest singular values of a d×k matrix W, with their vectors: L = U_r Σ_r V_rᵀ.

    L is accurate to 1e-9 of ‖W‖ whatever the spectrum. Where a singular value lies below some 1e-7 of the
    largest, its own vector in U or V is not to be relied upon (its share of L is that small).
    """

    u: NDArray[np.float64]
    """d×r; columns are left singular vectors (zero where the singular value is zero)."""
    s: NDArray[np.float64]
    """(r,), decreasing."""
    v: NDArray[np.float64]
    """k×r; columns are right singular vectors (zero where the singular value is zero)."""

    def low_rank(self) -> NDArray[np.float64]:
        """L = U_r Σ_r V_rᵀ, d×k."""
        return (self.u * self.s) @ self.v.T


def kept_rank(shape: tuple[int, ...], rank_ratio: float) -> int:
    """r = max(1, floor(min(d, k) · rank_ratio)) of a d×k matrix: 7 of 768 at 0.01."""
    return share(rank_ratio, min(shape))


def decompose(matrix: FloatArray, rank: int) -> Decomposition:
    """The top of the singular value decomposition W = U Σ Vᵀ (arXiv:2502.17380, equations 3 and 4).

    The eigenvectors of the smaller Gram matrix, WᵀW or WWᵀ, are one side's singular vectors; multiplying W
    by them gives the other side and Σ. Few of a large matrix's are found by iterating on the leading ones alone,
    which takes about half the time; where that is not surely accurate, all is done at once.

    Args:
        matrix: d×k, finite; any float32, or float64 of magnitudes that can be squared (1e-150 … 1e150).
        rank: 1 … min(d, k).

    Raises:
        ValueError: not a matrix, `rank` out of range, or entries that are not finite.
    """
    if matrix.ndim != 2 or not 1 <= rank <= min(matrix.shape):
        raise ValueError(f"no rank {rank} approximation of an array of shape {matrix.shape}")
    largest = max(float(matrix.max()), -float(matrix.min()))
    if not isfinite(largest):
        raise ValueError("the matrix has entries that are not finite")
    wide = matrix.shape[0] < matrix.shape[1]
    tall = matrix.T if wide else matrix
    inner, outer = (
        right_singular_vectors(tall, rank) if is_on_gpu() else _inner_and_outer(tall, rank, largest)
    )
    singular = np.linalg.norm(outer, axis=0)
    outer = np.divide(outer, singular, out=np.zeros_like(outer), where=singular > 0)
    inner = np.where(singular > 0, inner, 0.0)
    u, v = (inner, outer) if wide else (outer, inner)
    return Decomposition(u, singular, v)


def _inner_and_outer(tall: FloatArray, rank: int, largest: float) -> tuple[Float64Array, Float64Array]:
    """The first `rank` right singular vectors V (k×rank) of W (d×k, d ≥ k), and W·V."""
    if tall.dtype == np.float32 and _is_worth_iterating(tall.shape[1], rank):
        found = leading_vectors(tall.astype(np.float32, copy=False), rank, largest)
        if found is not None:
            return found
    exact = tall.astype(np.float64)
    _, inner = largest_eigenpairs(exact.T @ exact, rank)
    return inner, exact @ inner


def _is_worth_iterating(columns: int, rank: int) -> bool:
    # Measured: of smaller matrices, or for more directions, all eigenvectors' reduction is as fast.
    return columns >= 384 and 20 * rank <= columns


def low_rank(matrix: FloatArray, rank: int) -> NDArray[np.float64]:
    """The best rank-`rank` approximation L of a d×k matrix, in float64; the matrix itself at full rank."""
    if rank >= min(matrix.shape):
        return matrix.astype(np.float64)
    return decompose(matrix, rank).low_rank()
