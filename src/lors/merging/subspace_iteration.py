"""The leading singular vectors of a large matrix: looked for in single precision, finished in double."""

from functools import cache
from math import frexp, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

# Vectors sought beyond the rank: the further away the spectrum beyond them, the faster all of this converges.
_SPARE = 16
# Of ‖W‖, the most by which W's approximation may be off.
_TOLERANCE = 1e-9
# A filter may raise the largest eigenvalue's direction by exp(this): in single precision others drown beyond.
_GROWTH = 18.0
_HIGHEST_DEGREE = 12
# What is left outside the span, once it has been suppressed by exp(this), is single precision's own error.
_ENOUGH = 12.0
_MOST_DEGREES = 14
_SQUARABLE = 30
_MOST_CORRECTIONS = 6
_MOST_CONJUGATE_GRADIENT_STEPS = 5
# A product of so many scalar products or fewer, BLAS computes from the matrices where they lie, in cache.
_SMALL_PRODUCT = 1_000_000
# Where fewer rows than this would make one, larger products are cheaper: of so many rows.
_FEWEST_ROWS, _ROWS = 16, 256


def leading_vectors(
    tall: Float32Array, rank: int, largest: float
) -> tuple[Float64Array, Float64Array] | None:
    """The first `rank` right singular vectors V of W, and W·V, if they can surely be had to 1e-9.

    In single precision, subspace iteration with Chebyshev polynomials of WᵀW gives a span for a few vectors more
    than asked for (Zhou and Saad 2007, doi:10.1137/050630404). In double precision, without forming WᵀW, the
    vectors within the span (Rayleigh–Ritz) are then corrected by what their residuals tell of the directions
    outside it (Davidson's method), a factor of a thousand or so at each step, until residuals over the distance
    to the spectrum beyond bound the error (Davis–Kahan).

    Args:
        tall: W, d×k with d ≥ k, finite.
        rank: 1 … k − 17.
        largest: magnitude of the largest entry of W.

    Returns:
        V (k×rank), orthonormal, and W·V (d×rank); None where the bound on the error of W's approximation does not
        fall below 1e-9 · ‖W‖, for want of a gap between the singular values near σ_rank and σ_(rank+16).
    """
    if largest == 0:
        return None
    # A power of two changes no digit, and keeps squares within single precision's range.
    exponent = frexp(largest)[1]
    power = 1.0 if abs(exponent) < _SQUARABLE else 2.0**exponent
    scaled: Float32Array = tall if power == 1 else tall * np.float32(1 / power)
    gram: Float32Array = scaled.T @ scaled
    try:
        with np.errstate(all="ignore"):
            span = _filtered(gram, rank, rank + _SPARE)
            return None if span is None else _corrected(tall, gram, span, rank, power)
    except np.linalg.LinAlgError:  # of numbers that are not finite
        return None


def _filtered(gram: Float32Array, rank: int, count: int) -> Float32Array | None:
    """Vectors (k×count) whose span holds the leading `rank` eigenvectors of WᵀW to single precision."""
    vectors = _product(gram, _start(len(gram), count))
    suppressed, degrees = 0.0, 0
    while suppressed < _ENOUGH:
        values, span = _ritz(gram, vectors)
        first, last, beyond = float(values[0]), float(values[rank - 1]), float(values[-1])
        if not 0 < beyond < last:
            return None
        # T_n(x) is about exp(n · arccosh x) / 2 where x > 1, and at most 1 on [-1, 1], where [0, beyond] goes.
        growth = float(np.arccosh(2 * first / beyond - 1))
        least_growth = float(np.arccosh(2 * last / beyond - 1))
        degree = int(min(max(1.0, _GROWTH // growth), _HIGHEST_DEGREE))
        if degrees and degrees + (_ENOUGH - suppressed) / least_growth > _MOST_DEGREES:
            return None
        vectors = _chebyshev(gram, span, beyond, degree)
        suppressed += degree * least_growth
        degrees += degree
    return vectors


def _chebyshev(gram: Float32Array, span: Float32Array, beyond: float, degree: int) -> Float32Array:
    """T_degree(2/beyond · WᵀW − 1) applied to vectors, which are then scaled to length 1."""
    slope = np.float32(2 / beyond)
    before, result = span, _product(gram, span) * slope - span
    for _ in range(degree - 1):
        before, result = result, _product(gram, result) * (2 * slope) - 2 * result - before
    return np.asarray(result / np.linalg.norm(result, axis=0))


def _ritz(gram: Float32Array, vectors: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Eigenvalues, decreasing, and eigenvectors of WᵀW within the span of `vectors`."""
    basis, _ = np.linalg.qr(vectors)
    values, turn = np.linalg.eigh(basis.T @ _product(gram, basis))
    return values[::-1], basis @ turn[:, ::-1]


def _corrected(
    tall: Float32Array, gram: Float32Array, span: Float32Array, rank: int, power: float
) -> tuple[Float64Array, Float64Array] | None:
    """V and W·V from a span that holds V to single precision.

    Args:
        tall: W.
        gram: WᵀW / power², in single precision.
        span: k×count.
        rank: how many of V.
        power: the scale of `gram`.
    """
    count = span.shape[1]
    tolerance = _TOLERANCE * power * sqrt(float(np.trace(gram, dtype=np.float64)))
    inner, _ = np.linalg.qr(span.astype(np.float64))
    inner, outer, squared, values = _rotated(inner, *_through(tall, inner), count)
    before = np.inf
    for _ in range(_MOST_CORRECTIONS):
        residual = squared[:, :rank] - inner[:, :rank] * values[:rank]
        distance = values[:rank] - values[-1]
        lengths = np.linalg.norm(residual, axis=0)
        error = float(np.linalg.norm(np.sqrt(values[:rank]) * lengths / distance))
        if distance.min() <= 0 or not error < before:
            return None
        if error <= tolerance:
            return inner[:, :rank].copy(), outer[:, :rank].copy()
        before = error
        lengths = np.where(lengths > 0, lengths, 1.0)
        correction = _solve(
            gram,
            inner.astype(np.float32),
            (values[:rank] / power**2).astype(np.float32),
            (residual / lengths).astype(np.float32),
            0.1 * tolerance / error,
        )
        new = correction.astype(np.float64) * lengths
        new, _ = np.linalg.qr(new - inner @ (inner.T @ new))
        # Once more: the first time left what rounding makes of the larger parts.
        new -= inner @ (inner.T @ new)
        image, square = _through(tall, new)
        inner, outer, squared, values = _rotated(
            np.hstack([inner, new]), np.hstack([outer, image]), np.hstack([squared, square]), count
        )
    return None


def _through(tall: Float32Array, vectors: Float64Array) -> tuple[Float64Array, Float64Array]:
    """W·X and WᵀW·X in double precision, some rows of W at a time: these stay in the processor's cache."""
    rows, columns = tall.shape
    count = vectors.shape[1]
    step = min(rows, _rows_at_once(columns, count))
    image = np.empty((rows, count))
    square = np.zeros((columns, count))
    # In the order of W in memory, so that rows are copied as they lie.
    part = np.empty((step, columns), order="C" if tall.flags.c_contiguous else "F")
    for start in range(0, rows, step):
        some = part[: rows - start]
        some[...] = tall[start : start + step]
        image[start : start + step] = found = some @ vectors
        square += some.T @ found
    return image, square


def _rotated(
    basis: Float64Array, image: Float64Array, square: Float64Array, count: int
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """The leading right singular vectors V of W within an orthonormal basis, W·V, WᵀW·V, and σ² of each."""
    values, turn = np.linalg.eigh(image.T @ image)
    turn = turn[:, ::-1][:, :count]
    return basis @ turn, image @ turn, square @ turn, values[::-1][:count]


def _solve(
    gram: Float32Array, inner: Float32Array, values: Float32Array, residual: Float32Array, enough: float
) -> Float32Array:
    """Roughly, for each column, x in (θ − WᵀW) x = residual among all that is orthogonal to `inner`.

    There the operator is positive definite and well conditioned: a few steps of conjugate gradients do, the fewer
    the sooner no more than the share `enough` of the residuals is left.
    """

    def outside(vectors: Float32Array) -> Float32Array:
        return vectors - inner @ (inner.T @ vectors)

    rest = outside(residual)
    solution, direction = np.zeros_like(rest), rest
    squared = first = _squares(rest)
    for _ in range(_MOST_CONJUGATE_GRADIENT_STEPS):
        image = outside(direction * values - _product(gram, direction))
        step = _ratio(squared, (direction * image).sum(axis=0))
        solution = solution + direction * step
        rest = rest - image * step
        squared, previous = _squares(rest), squared
        if (squared <= enough**2 * first).all():
            break
        direction = rest + direction * _ratio(squared, previous)
    return solution


def _product(gram: Float32Array, vectors: Float32Array) -> Float32Array:
    """WᵀW·X, some rows at a time."""
    product = np.empty_like(vectors, order="C")
    step = _rows_at_once(*vectors.shape)
    for start in range(0, len(gram), step):
        np.matmul(gram[start : start + step], vectors, out=product[start : start + step])
    return product


def _rows_at_once(columns: int, count: int) -> int:
    """How many rows of a matrix to multiply at once with `count` vectors."""
    rows = _SMALL_PRODUCT // (columns * count)
    return rows if rows >= _FEWEST_ROWS else _ROWS


def _squares(vectors: Float32Array) -> Float32Array:
    return np.asarray(np.square(vectors).sum(axis=0))


def _ratio(numerator: Float32Array, denominator: Float32Array) -> Float32Array:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


@cache
def _start(size: int, count: int) -> Float32Array:
    """The same random vectors for every matrix, so that every run gives the same bits."""
    numbers: NDArray[Any] = np.random.default_rng(0).standard_normal((size, count), dtype=np.float32)
    return numbers
