"""The largest eigenvalues of a symmetric matrix, from the LAPACK that scipy brings.

`scipy.linalg.eigh` holds Python's interpreter lock while it computes, so that threads would wait for one
another. The same routine called through scipy's published function pointers (`scipy.linalg.cython_lapack`)
gives the same numbers and lets the other threads run.
"""

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

_DSYEVR_ARGUMENTS = 21


def largest_eigenpairs(
    matrix: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The `count` largest eigenvalues, in decreasing order, and their eigenvectors as columns.

    Args:
        matrix: n×n float64, symmetric, finite. It is overwritten.
        count: 1 … n.

    Returns:
        eigenvalues (count,) and orthonormal eigenvectors (n, count).

    Raises:
        ValueError: the matrix is not square, of another dtype, or `count` is out of range.
        ArithmeticError: LAPACK did not converge (entries that are not finite).
    """
    n = len(matrix)
    if matrix.shape != (n, n) or matrix.dtype != np.float64 or not 1 <= count <= n:
        raise ValueError(f"no {count} eigenpairs of a {matrix.dtype} matrix of shape {matrix.shape}")
    routine = _dsyevr()
    entries = np.ascontiguousarray(matrix)
    values = np.empty(n)
    vectors = np.empty((count, n))  # rows here are LAPACK's columns
    support = np.empty(2 * count, dtype=np.intc)
    found, info = ctypes.c_int(), ctypes.c_int()

    def call(work: NDArray[np.float64], lwork: int, iwork: NDArray[np.intc], liwork: int) -> None:
        # Job: vectors too; range: by index; the lower triangle. The tolerance 0 asks for the best there is.
        routine(
            b"V", b"I", b"L", _integer(n), _address(entries), _integer(n),
            _real(0), _real(0), _integer(n - count + 1), _integer(n), _real(0),
            ctypes.byref(found), _address(values), _address(vectors), _integer(n), _address(support),
            _address(work), _integer(lwork), _address(iwork), _integer(liwork), ctypes.byref(info),
        )  # fmt: skip

    best = np.empty(1), np.empty(1, dtype=np.intc)
    call(best[0], -1, best[1], -1)
    lwork, liwork = int(best[0][0]), int(best[1][0])
    call(np.empty(lwork), lwork, np.empty(liwork, dtype=np.intc), liwork)
    if info.value != 0 or found.value != count:
        raise ArithmeticError(f"LAPACK dsyevr found {found.value} of {count} eigenpairs (info {info.value})")
    return values[:count][::-1], vectors[::-1].T


def load() -> None:
    """Load scipy's LAPACK now, which takes a third of a second, rather than when it is first called.

    The number of threads can be limited only for libraries that are loaded by then.
    """
    _dsyevr()


@cache
def _dsyevr() -> Callable[..., None]:
    from scipy.linalg import cython_lapack

    capsule = cython_lapack.__pyx_capi__["dsyevr"]
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    arguments = [ctypes.c_void_p] * _DSYEVR_ARGUMENTS
    return ctypes.CFUNCTYPE(None, *arguments)(pointer_of(capsule, name_of(capsule)))


def _integer(value: int) -> object:
    return ctypes.byref(ctypes.c_int(value))


def _real(value: float) -> object:
    return ctypes.byref(ctypes.c_double(value))


def _address(array: NDArray[np.generic]) -> int:
    return array.ctypes.data
