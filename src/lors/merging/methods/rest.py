"""What becomes of the tensors on which a method does not act."""

import numpy as np

from lors.merging.methods.method import Inputs, Method
from lors.merging.methods.table import METHODS
from lors.merging.methods.task_vectors import Float32Array


def rest_of(method: Method) -> Method:
    """Task arithmetic, the mean of the task vectors, or, for a method without a scale, the mean of the experts."""
    if not method.takes("scale"):
        return METHODS["weight-averaging"]
    return METHODS["task-arithmetic"] if method.rest == "sum" else _MEAN


def _mean_of_task_vectors(inputs: Inputs) -> Float32Array:
    """Σ wi·τi / N."""
    total = METHODS["task-arithmetic"].combine(inputs)
    total /= np.float32(len(inputs.settings))
    return total


_MEAN = Method(
    name="mean-task-vector",
    summary="the base plus the scaled mean of the task vectors",
    equation="θ = θ0 + λ Σ wi·τi / N",
    citation="",
    parameters=("scale", "weight"),
    combine=_mean_of_task_vectors,
    elementwise=True,
    shows_not_finite=True,
)
