"""Methods that add up task vectors: θ = θ0 + λ Σ wi · f(τi), with τi = θi − θ0.

Each function here is one f. It takes the task vector of one tensor (float32) and gives what is kept of it.
"""

import numpy as np
from numpy.typing import NDArray

from lors.merging.factors import low_rank
from lors.merging.low_rank import kept_rank
from lors.merging.pieces import pieces
from lors.merging.sparsity import keep_largest, kept_count, largest_of_difference

Float32Array = NDArray[np.float32]


def task_arithmetic(task_vector: Float32Array) -> Float32Array:
    """f(τ) = τ. Ilharco et al. 2023, "Editing models with task arithmetic", arXiv:2212.04089."""
    return task_vector


def svp(task_vector: Float32Array, rank_ratio: float) -> Float32Array:
    """Singular value pruning, f(τ) = U_r Σ_r V_rᵀ: the best approximation of rank r. arXiv:2502.17380, eq. 4.

    Args:
        task_vector: d×k, finite.
        rank_ratio: in (0, 1]; r = max(1, floor(min(d, k) · rank_ratio)).

    Raises:
        ValueError: not a matrix, not finite, or a ratio out of range.
    """
    rank = kept_rank(task_vector.shape, rank_ratio)
    return low_rank(task_vector, rank).astype(np.float32)


def mp(task_vector: Float32Array, keep_ratio: float) -> Float32Array:
    """Magnitude pruning, f(τ) = M ⊙ τ: the largest entries as they are, else 0. arXiv:2502.17380, eq. 2.

    Args:
        task_vector: any shape, finite.
        keep_ratio: in (0, 1]; exactly max(1, floor(keep_ratio · entries)) are kept, ties by lowest index.

    Raises:
        ValueError: a NaN, or a ratio out of range.
    """
    return keep_largest(task_vector, kept_count(task_vector.shape, keep_ratio))


def lors(task_vector: Float32Array, rank_ratio: float, keep_ratio: float) -> Float32Array:
    """Low-rank and sparse, f(τ) = L + S, with L = SVP(τ) and S = M ⊙ (τ − L). arXiv:2502.17380, eq. 5 to 7.

    Args:
        task_vector: d×k, finite.
        rank_ratio: in (0, 1], as in `svp`.
        keep_ratio: in (0, 1], as in `mp`, of the entries of the residual τ − L.

    Raises:
        ValueError: not a matrix, not finite, or a ratio out of range.
    """
    approximation = low_rank(task_vector, kept_rank(task_vector.shape, rank_ratio))
    return add_sparse(task_vector, approximation, keep_ratio)


def add_sparse(
    task_vector: Float32Array, approximation: NDArray[np.float64], keep_ratio: float
) -> Float32Array:
    """L + M ⊙ (τ − L) for an approximation L that is known already, in float64.

    The residual is compared in float64: rounded to float32, one entry in some ten million would change places
    with its neighbour across the threshold.
    """
    kept = largest_of_difference(
        task_vector, approximation, kept_count(task_vector.shape, keep_ratio)
    ).ravel()
    result = np.empty(task_vector.shape, dtype=np.float32)
    flat, whole, low = result.reshape(-1), task_vector.ravel(), approximation.ravel()
    for piece in pieces(0, flat.size):
        # Where the residual is kept, L + (τ − L) is τ itself. Products with 0 and 1 are faster than np.where.
        flat[piece] = low[piece]
        flat[piece] *= ~kept[piece]
        flat[piece] += whole[piece] * kept[piece]
    return result
