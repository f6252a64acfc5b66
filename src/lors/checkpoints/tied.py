"""Output heads that are the token embedding again, which some programs store twice."""

import numpy as np

from lors.checkpoints.dtypes import BITS, STORED
from lors.checkpoints.read import Checkpoint

HEADS = ("proj_out.weight", "lm_head.weight")
"""How the names of output heads end."""

EMBEDDINGS = ("embed_tokens.weight", "shared.weight")
"""How the names of the embeddings end that a head may be tied to."""


def hold_the_same(model: Checkpoint, first: str, second: str) -> bool:
    """Whether two tensors of a model are equal in format, shape and every entry."""
    one, other = model.tensors[first], model.tensors[second]
    if (one.dtype, one.shape) != (other.dtype, other.shape) or one.dtype not in STORED:
        return False
    if one.dtype in BITS:
        import torch

        return torch.equal(model.read(first), model.read(second))
    return np.array_equal(model.array(first), model.array(second))
