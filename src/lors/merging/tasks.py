"""What is to be done with each tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import prod
from typing import Literal

from lors.base.errors import UsageError, did_you_mean
from lors.checkpoints.dtypes import FLOATS, STORED
from lors.checkpoints.read import Checkpoint
from lors.merging.layer_depth import depth_of, lines_factor
from lors.merging.methods.method import Method
from lors.merging.methods.rest import rest_of
from lors.merging.methods.table import find_method
from lors.merging.pieces import PIECE
from lors.merging.recipe import Recipe
from lors.merging.tensors import pruned_tensors

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}

Group = Literal["pruned", "plain", "copied"]

# Bytes for an entry of a tensor that is worked on whole, at the peak: the task vector, the sum and the result in
# float32; the approximation and the residual in float64, its magnitudes in both, a mask.
_BYTES_PER_ENTRY = 48
# And for each expert's, where a method holds the tensor of all: the stack, and what is computed of it in float64.
_BYTES_PER_STACKED_ENTRY = 24
# And for each model that is no mapped file: its tensor, and what is computed on the way to it.
_BYTES_PER_BUILT_ENTRY = 12


@dataclass(frozen=True)
class Task:
    """One tensor of the output."""

    name: str
    shape: tuple[int, ...]
    group: Group
    """`pruned` by the method or a step before it, `plain` (merged whole), or `copied` (no floating point)."""
    dtype: str
    """Of the output, as safetensors names it."""
    work: float
    """Expected time, in no unit: to start with the longest and to tell how much is left."""
    by_method: bool = False
    """The recipe's method acts on it; otherwise it is merged as the method's rest."""
    stepped: bool = False
    """The recipe's steps before the method act on it."""
    in_pieces: bool = False
    """Its entries are merged one by one, so that any range of them can be asked for."""
    working_bytes: int = 0
    """Held while it is merged."""
    factor: float = 1.0
    """Multiplies what the merge changes in it."""

    @property
    def entries(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.entries * STORED[self.dtype].itemsize


def make_tasks(
    recipe: Recipe, base: Checkpoint, experts: Sequence[Checkpoint], names: Sequence[str]
) -> list[Task]:
    """A task for each of `names`, the longest first.

    Raises:
        UsageError: a pattern of the recipe matches nothing, or what its method cannot act on.
    """
    method = recipe.method_entry()
    steps = [find_method(step.method) for step in recipe.prune or ()]
    floats = {name: base.tensors[name].shape for name in names if base.tensors[name].dtype in FLOATS}
    acted = frozenset(floats)
    if method.acts_on == "weights" or recipe.tensors is not None:
        acted = pruned_tensors(floats, recipe.tensors, only_matrices=method.matrices)
    stepped: frozenset[str] = frozenset()
    if steps:
        stepped = pruned_tensors(floats, recipe.tensors, only_matrices=any(step.matrices for step in steps))
    factors = _factors(recipe, floats)
    built = sum(model.builds_tensors for model in (base, *experts))
    tasks = []
    for name in names:
        if name not in floats:
            info = base.tensors[name]
            tasks.append(
                Task(name, info.shape, "copied", info.dtype, prod(info.shape), working_bytes=info.nbytes)
            )
            continue
        used = [method if name in acted else rest_of(method), *(steps if name in stepped else ())]
        task = _task(name, floats[name], recipe, used, name in acted, name in stepped)
        held = task.working_bytes + built * task.entries * _BYTES_PER_BUILT_ENTRY
        tasks.append(replace(task, working_bytes=held, factor=factors.get(name, 1.0)))
    return sorted(tasks, key=lambda task: (-task.work, task.name))


def _task(
    name: str,
    shape: tuple[int, ...],
    recipe: Recipe,
    used: Sequence[Method],
    by_method: bool,
    stepped: bool,
) -> Task:
    entries, experts = prod(shape), len(recipe.experts)
    in_pieces = used[0].elementwise and not stepped
    held = min(entries, PIECE) if in_pieces else entries
    return Task(
        name,
        shape,
        "pruned" if any(method.prunes for method in used) else "plain",
        DTYPES[recipe.dtype],
        float(entries) * experts * sum(method.work(shape) for method in used),
        by_method,
        stepped,
        in_pieces,
        held * (_BYTES_PER_ENTRY + (_BYTES_PER_STACKED_ENTRY * experts if used[0].stacks else 0)),
    )


def _factors(recipe: Recipe, names: Mapping[str, object]) -> dict[str, float]:
    factors: dict[str, float] = {}
    if recipe.layer_scale is not None:
        first, last = recipe.layer_scale.first, recipe.layer_scale.last
        factors = {name: lines_factor(depth_of(name, names), first, last) for name in names}
    patterns = recipe.tensor_scales or {}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"the pattern '{pattern}' in tensor_scales matches nothing.{did_you_mean(pattern, names)}"
            )
    for name in names:
        factor = next((patterns[pattern] for pattern in patterns if fnmatchcase(name, pattern)), 1.0)
        factors[name] = factors.get(name, 1.0) * factor
    return factors
