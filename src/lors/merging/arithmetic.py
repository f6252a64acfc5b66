"""The arithmetic of one tensor: from the inputs' entries to the entries that are stored.

Task vectors and their sum are float32; what is stored is computed from them in float64 and rounded once: the
last digit of a weight can be as large as a hundredth of what a short training changed in it. All is rounded
entry by entry in the order of the experts, so that working in pieces changes no bit. Float32 inputs are used
where the file maps them, without a copy.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lors.base.errors import LorsError, UsageError
from lors.checkpoints.dtypes import Array, as_array, float32_of, rounded
from lors.merging.measured import Measured, TensorCut, tensor_cuts
from lors.merging.methods.method import Change, Inputs
from lors.merging.methods.task_vectors import Float32Array
from lors.merging.pieces import pieces
from lors.merging.plan import Plan
from lors.merging.tasks import Task

Direction = Callable[[slice], Float32Array]
"""Of a range of flat entries: T in θ = θ0 + λT, or θ itself for a method without a scale."""


@dataclass(frozen=True)
class Rounding:
    """What storing in half precision changed: squared Frobenius norms of the error, and of θ − θ0."""

    error: float
    change: float


def direction(plan: Plan, task: Task, measured: Measured) -> Direction:
    """Entries of the merged task vector, or of the merged weights for a method without a scale.

    A method that looks at whole tensors computes here, any other when a range is asked for.

    Args:
        plan: of the merge.
        task: the tensor.
        measured: of the whole task vectors, where the recipe needs it.

    Raises:
        LorsError: an input holds a NaN or an infinity, or what the method cannot work with.
    """
    if not task.entries:
        return lambda part: np.empty(0, dtype=np.float32)
    method = plan.method_of(task)
    reader = TensorReader(plan, task, checked=task.stepped or not method.shows_not_finite)
    cuts: list[TensorCut] | None = None
    if method.trims:
        cuts = measured.cuts_of(task.name) or tensor_cuts(reader.raw_pieces, plan.keep_counts(task))

    def combined(part: slice, shape: tuple[int, ...]) -> Float32Array:
        base = reader.base(part)

        def read(expert: int) -> Float32Array:
            return reader.expert(expert, part).reshape(shape)

        def difference(expert: int) -> Float32Array:
            return reader.task_vector(expert, part, base).reshape(shape)

        def generator(expert: int) -> np.random.Generator:
            return random_numbers(plan.settings[expert].seed, task.name, expert)

        readers = [partial(read, expert) for expert in range(len(plan.experts))]
        differences = [partial(difference, expert) for expert in range(len(plan.experts))]
        change = _change(plan, task, measured, cuts, part)
        inputs = Inputs(base.reshape(shape), readers, plan.settings, change, generator, differences)
        with _told(task, method.name):
            return method.combine(inputs)

    if task.in_pieces:
        return lambda part: combined(part, (-1,))
    return combined(slice(0, task.entries), task.shape).reshape(-1).__getitem__


def whole_direction(plan: Plan, task: Task, measured: Measured) -> Float32Array:
    """All entries of `direction`, in the tensor's shape."""
    part = direction(plan, task, measured)
    result = np.empty(task.entries, dtype=np.float32)
    for piece in pieces(0, task.entries):
        result[piece] = part(piece)
        if not _is_finite(result[piece]):
            _refuse_not_finite(plan, task)
    return result.reshape(task.shape)


def merged_pieces(
    plan: Plan, task: Task, direction: Direction, scale: float | None, start: int, stop: int
) -> Iterator[tuple[int, Array, Rounding]]:
    """What to store of the flat entries from `start` to `stop`: (start of a piece, its entries, its rounding).

    The entries are θ0 + factor · scale · direction, in the task's dtype.

    Args:
        plan: of the merge.
        task: the tensor.
        direction: as the function `direction` gives it.
        scale: λ; None where the direction is the merged tensor itself.
        start, stop: the range; `start` is the start of a piece.

    Raises:
        LorsError: a result is beyond the range of the dtype.
    """
    base_entries = plan.base.array(task.name).reshape(-1)
    for piece in pieces(start, stop):
        base = float32_of(base_entries[piece])
        exact = direction(piece).astype(np.float64)
        if scale is not None:
            exact *= scale * task.factor
            exact += base
        elif task.factor != 1:
            exact = base + task.factor * (exact - base)
        stored = rounded(exact, task.dtype)
        if not _is_finite(float32_of(stored)):
            _refuse_not_finite(plan, task)
            raise LorsError(
                f"tensor '{task.name}': the merged values leave the range of {plan.recipe.dtype}; lower the "
                "scale or the weights, or store float32."
            )
        rounding = Rounding(0.0, 0.0)
        if task.dtype != "F32":
            rounding = Rounding(_squared_norm(float32_of(stored) - exact), _squared_norm(exact - base))
        yield piece.start, stored, rounding


def common_value(plan: Plan, task: Task) -> Array:
    """A tensor without floating-point numbers, which all models must share.

    Raises:
        UsageError: an expert's differs from the base's.
    """
    value = plan.base.array(task.name)
    for expert in plan.experts:
        if not np.array_equal(expert.array(task.name), value):
            raise UsageError(
                f"{expert.tensors[task.name].file}: the tensor '{task.name}' ({task.dtype}, which cannot be "
                "merged) differs from the base's; expected the same values."
            )
    return value


def random_numbers(seed: int, name: str, expert: int) -> np.random.Generator:
    """Numbers that depend on the recipe's seed, the tensor and the expert alone, not on the order of work."""
    digest = hashlib.sha256(f"{seed} {expert} {name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


class TensorReader:
    """One tensor of every model, its flat entries in float32 and, where they are `checked`, known to be finite."""

    def __init__(self, plan: Plan, task: Task, checked: bool = True) -> None:
        self._plan, self._task, self._is_checked = plan, task, checked
        self._read: dict[int, Array] = {}
        self._changes: dict[int, Float32Array | None] = {}

    def base(self, part: slice) -> Float32Array:
        """Entries of the base; LorsError where one is not finite."""
        return self._finite(0, part)

    def expert(self, index: int, part: slice) -> Float32Array:
        """Entries of an expert; LorsError where one is not finite."""
        return self._finite(index + 1, part)

    def task_vector(self, index: int, part: slice, base: Float32Array) -> Float32Array:
        """θi − θ0 of an expert, with what `base` gave of the same part; LorsError where it is not finite."""
        stored = self._change(index)
        if stored is None:
            return self.expert(index, part) - base
        return self._checked(stored[part], index + 1)

    def raw_pieces(self, expert: int) -> Iterator[Float32Array]:
        """The task vector of an expert after the steps before the method, piece by piece, unchecked."""
        if self._task.stepped:
            whole = slice(0, self._task.entries)
            task_vector = self.task_vector(expert, whole, self.base(whole)).reshape(self._task.shape)
            stepped = _stepped(self._plan, self._task, expert, task_vector).reshape(-1)
            yield from (stepped[piece] for piece in pieces(0, self._task.entries))
            return
        stored = self._change(expert)
        for piece in pieces(0, self._task.entries):
            if stored is not None:
                yield stored[piece]
            else:
                yield float32_of(self._entries(expert + 1)[piece]) - float32_of(self._entries(0)[piece])

    def refuse_not_finite(self, expert: int) -> None:
        """LorsError where an entry of the base or of an expert, or their difference, is not finite."""
        whole = slice(0, self._task.entries)
        if not _is_finite(self.task_vector(expert, whole, self.base(whole))):
            model = self._plan.recipe.experts[expert].model
            raise LorsError(
                f"tensor '{self._task.name}': the task vector of the expert {model} is beyond the range of float32."
            )

    def _change(self, expert: int) -> Float32Array | None:
        """What the expert stores of its task vector as such, flat, read once."""
        if expert not in self._changes:
            found = self._plan.experts[expert].change(self._task.name)
            self._changes[expert] = None if found is None else as_array(found).reshape(-1)
        return self._changes[expert]

    def _entries(self, index: int) -> Array:
        """Of the base (0) or an expert (from 1), read once, when first asked for."""
        if index not in self._read:
            model = self._plan.experts[index - 1] if index else self._plan.base
            self._read[index] = model.array(self._task.name).reshape(-1)
        return self._read[index]

    def _finite(self, index: int, part: slice) -> Float32Array:
        return self._checked(float32_of(self._entries(index)[part]), index)

    def _checked(self, entries: Float32Array, index: int) -> Float32Array:
        if self._is_checked and not _is_finite(entries):
            plan, name = self._plan, self._task.name
            model = plan.experts[index - 1] if index else plan.base
            who = f"expert {plan.recipe.experts[index - 1].model}" if index else f"base {plan.recipe.base}"
            raise LorsError(
                f"{model.tensors[name].file}: the tensor '{name}' of the {who} holds a NaN or an "
                "infinity; its training has diverged, or the file is damaged."
            )
        return entries


def _refuse_not_finite(plan: Plan, task: Task) -> None:
    """LorsError that names the input in which something is not finite; nothing where all of them are."""
    reader = TensorReader(plan, task)
    for expert in range(len(plan.experts)):
        reader.refuse_not_finite(expert)


def _change(
    plan: Plan, task: Task, measured: Measured, cuts: list[TensorCut] | None, part: slice
) -> Change | None:
    """What happens to a task vector before the method sees it."""
    changes: list[Change] = []
    if task.stepped:
        changes.append(partial(_stepped, plan, task))
    if cuts is not None:
        changes.append(lambda i, task_vector: cuts[i].apply(task_vector, part.start))
    if measured.factors is not None:
        factors = measured.factors
        changes.append(lambda i, task_vector: task_vector * np.float32(factors[i]))
    if not changes:
        return None

    def change(index: int, task_vector: Float32Array) -> Float32Array:
        for step in changes:
            task_vector = step(index, task_vector)
        return task_vector

    return change


def _stepped(plan: Plan, task: Task, index: int, task_vector: Float32Array) -> Float32Array:
    """A whole task vector after the steps that the recipe's `prune` names."""
    for number, (method, setting) in enumerate(plan.steps):
        assert method.keep is not None
        generator = partial(random_numbers, setting.seed, f"{task.name} {number}", index)
        with _told(task, method.name):
            task_vector = method.keep(task_vector, setting, generator)
    return task_vector


@contextmanager
def _told(task: Task, method: str) -> Iterator[None]:
    """Lets the user know on what a method failed: a task vector beyond float32, a decomposition without an end."""
    try:
        yield
    except ValueError as error:
        raise LorsError(f"tensor '{task.name}': the method {method} cannot merge it: {error}.") from error


def _is_finite(entries: Float32Array) -> bool:
    # What is not finite passes through a sum, which is the fastest look at all entries; only large finite numbers
    # do, too.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(entries.sum())) or bool(np.isfinite(entries).all())


def _squared_norm(entries: NDArray[np.float64]) -> float:
    return float(np.square(entries).sum())
