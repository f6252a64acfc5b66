"""The path of a GPU, computed by the same code on the processor where there is none."""

import numpy as np
import pytest
import torch

from lors.base.errors import UsageError
from lors.merging import device
from lors.merging.low_rank import decompose, low_rank


@pytest.mark.parametrize("shape", [(300, 280), (40, 90), (90, 40)])
def test_the_vectors_are_those_of_the_svd(shape: tuple[int, int]) -> None:
    matrix = (1e-4 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    tall = matrix if shape[0] >= shape[1] else matrix.T
    inner, outer = device.right_singular_vectors(tall, 7)
    u, s, vt = np.linalg.svd(tall.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(outer @ inner.T, (u[:, :7] * s[:7]) @ vt[:7], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(outer, axis=0), s[:7], rtol=1e-9)


def test_low_rank_asks_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.random.default_rng(0).standard_normal((30, 50)).astype(np.float32)
    expected = low_rank(matrix, 4)
    monkeypatch.setattr("lors.merging.low_rank.is_on_gpu", lambda: True)
    np.testing.assert_allclose(low_rank(matrix, 4), expected, atol=1e-9)
    assert decompose(matrix, 4).u.shape == (30, 4)


def test_devices_that_are_not_there() -> None:
    assert device.check_device("cpu") is None
    for name in ("gpu", "mps", f"cuda:{torch.cuda.device_count()}"):
        with pytest.raises(UsageError, match=rf"^device '{name}': "):
            device.check_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_processor() -> None:
    matrix = (1e-4 * np.random.default_rng(0).standard_normal((768, 3072))).astype(np.float32)
    expected = low_rank(matrix, 7)
    with device.computing_on(device.check_device("cuda")):
        found = low_rank(matrix, 7)
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)
