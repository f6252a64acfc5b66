"""Merging on disk, and the sum of task vectors for many scales: the same arithmetic, the same bits.

Only matrix products depend on the number of threads, and each runs on one; all else is rounded entry by
entry. So neither the number of workers nor the run changes a byte of the output.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lors.base.errors import UsageError
from lors.base.files import atomic_directory, read_json, refuse_existing
from lors.base.progress import progress, say
from lors.checkpoints.beside import write_files_beside
from lors.checkpoints.dtypes import STORED, Array, as_tensor
from lors.checkpoints.weights import WeightsWriter
from lors.merging import lapack
from lors.merging.arithmetic import (
    Direction,
    Rounding,
    common_value,
    direction,
    merged_pieces,
    whole_direction,
)
from lors.merging.device import check_device, computing_on
from lors.merging.measured import Measured
from lors.merging.measuring import measure
from lors.merging.methods.task_vectors import Float32Array
from lors.merging.pieces import PIECE
from lors.merging.plan import Plan, make_plan
from lors.merging.recipe import Recipe, load_recipe
from lors.merging.record import RECORD, half_precision_loss, is_record_of, write_record
from lors.merging.signature import format_signature
from lors.merging.tasks import Group, Task
from lors.merging.workers import default_workers, run

if TYPE_CHECKING:
    import torch

DEFAULT_MEMORY = 2 << 30
"""Bytes that all workers together may hold, the inputs' mapped pages aside."""

# Large tensors that are merged entry by entry are shared out among the workers in such portions.
_PORTION = 64 * PIECE

# Where half precision changes what was merged by more than this, the user is warned.
_NOTABLE_LOSS = 0.01


@dataclass(frozen=True)
class MergeResult:
    """A finished merge."""

    path: Path
    signature: str
    seconds: float
    tensors: dict[Group, int]
    """How many were `pruned`, `plain` (merged whole), `copied`."""
    half_precision_loss: float | None
    """‖stored − exact‖ / ‖exact − θ0‖ over all tensors, where the output is float16 or bfloat16."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class TaskSum:
    """Σ wi · f(τi) of a recipe, for every tensor: θ0 + λ · sum is then the merge at any λ."""

    plan: Plan
    sums: dict[str, "torch.Tensor"] = field(repr=False)
    """float32, by name; tensors without floating-point numbers are not in it."""

    def at(self, scale: float) -> "dict[str, torch.Tensor]":
        """The merged tensors at λ = `scale`: the bits that `merge` writes, in the recipe's dtype."""
        tensors = {t.name: as_tensor(np.empty(t.shape, STORED[t.dtype]), t.dtype) for t in self.plan.tasks}
        self.write(scale, tensors)
        tensors.update({copy: tensors[source] for copy, source in self.plan.copies.items()})
        return dict(sorted(tensors.items()))

    def write(self, scale: float, into: "Mapping[str, torch.Tensor]") -> None:
        """Write what `at` gives into tensors of the same names and shapes; tied copies are none of them."""
        for task in self.plan.tasks:
            if task.group == "copied":
                into[task.name].copy_(self.plan.base.read(task.name))
                continue
            flat = into[task.name].view(-1)
            parts = merged_pieces(self.plan, task, self.direction(task), scale, 0, task.entries)
            for start, part, _ in parts:
                flat[start : start + len(part)].copy_(as_tensor(part, task.dtype))

    def direction(self, task: Task) -> Direction:
        """The sum of one tensor, by ranges of flat entries."""
        return self.sums[task.name].numpy().reshape(-1).__getitem__


def merge(
    recipe: Recipe | Path | str | Mapping[str, Any],
    out: Path | str,
    *,
    workers: int | None = None,
    memory: int = DEFAULT_MEMORY,
    device: str = "cpu",
    shard_size: int | None = None,
    overwrite: bool = False,
    reuse: bool = False,
    known_sum: TaskSum | None = None,
) -> MergeResult:
    """Merge fine-tuned models into one, and write it as a complete checkpoint directory.

    The directory holds `model.safetensors` (or shards and their index), every file of the base that is no
    weights, `merge.json` (recipe, digests of inputs and output, versions, signature) and `README.md`. It
    appears whole or not at all. The same inputs give the same bytes on one machine, whatever `workers` and
    `memory` are.

    Args:
        recipe: a recipe, a recipe file (YAML), or a mapping of its keys.
        out: directory to make.
        workers: threads; the number of processors where not given.
        memory: bytes that all workers together may hold, the inputs' mapped pages aside; a tensor that needs
            more is worked on alone.
        device: where decompositions are computed, "cpu", "cuda" or "cuda:N"; the results agree to 1e-4.
        shard_size: most bytes of tensors in one weight file; None for one file.
        overwrite: replace what is at `out`.
        reuse: return what is at `out` if its `merge.json` says that this very merge made it.
        known_sum: what `task_sum` gave for this recipe at any scale; the same result in less time.

    Raises:
        UsageError: the recipe is wrong, a model is missing or does not fit, `out` exists.
        LorsError: a file is damaged or holds a number that is not finite, no space on the disk.
    """
    start = time.monotonic()
    out, recipe, chosen = Path(out), load_recipe(recipe), check_device(device)
    if not reuse:
        refuse_existing(out, overwrite)
    if known_sum is not None and not _differ_in_scale_alone(known_sum.plan.recipe, recipe):
        raise UsageError("the known sum belongs to another recipe; only scale and dtype may differ.")
    plan = make_plan(recipe)
    counts = {group: tensors for group, (tensors, _) in plan.counts().items()}
    if reuse and (out / RECORD).is_file():
        plan, digests = _hash_inputs(plan, workers)
        signature = format_signature(recipe, digests)
        if is_record_of(out, plan, digests, signature):
            loss = read_json(out / RECORD).get("half_precision_loss")
            return MergeResult(out, signature, time.monotonic() - start, counts, loss, plan.warnings)
    plan.check_output(out, overwrite)
    plan.refuse_empty_experts()
    with atomic_directory(out, overwrite) as partial:
        plan, digests = _hash_inputs(plan, workers)
        signature = format_signature(recipe, digests)
        for warning in plan.warnings:
            say(f"warning: {warning}")
        # First, as a tokenizer that cannot be had should not be found out after the work.
        write_files_beside(plan.base, partial, [model.directory for model in plan.experts])
        writer = WeightsWriter(partial, plan.layout(), {"lors": signature}, shard_size)
        with computing_on(chosen):
            roundings = _write_weights(plan, writer, workers or default_workers(), memory, known_sum)
        loss = half_precision_loss(recipe, roundings)
        write_record(partial, plan, digests, signature, loss)
    if loss is not None and loss >= _NOTABLE_LOSS:
        say(f"warning: storing {recipe.dtype} changed what was merged by {loss:.1%}; float32 keeps it.")
    return MergeResult(out, signature, time.monotonic() - start, counts, loss, plan.warnings)


def task_sum(
    recipe: Recipe | Path | str | Mapping[str, Any],
    *,
    workers: int | None = None,
    memory: int = DEFAULT_MEMORY,
) -> TaskSum:
    """Compute the merged task vector T of θ0 + λT once, to merge at many λ.

    It takes as much memory as the base in float32, beside `memory`.

    Raises:
        UsageError: as `merge`; and for a method without a scale.
        LorsError: as `merge`.
    """
    plan = make_plan(load_recipe(recipe))
    if not plan.recipe.takes("scale"):
        raise UsageError(f"the method {plan.recipe.method} takes no scale: there is no sum to multiply.")
    plan.refuse_empty_experts()
    workers = workers or default_workers()
    if plan.decomposes:
        lapack.load()
    measured = measure(plan, workers, memory)
    sums: dict[str, Float32Array] = {}

    def produce(portion: _Portion) -> None:
        task = portion.task
        if task.group == "copied":
            common_value(plan, task)
        else:
            sums[task.name] = whole_direction(plan, task, measured)

    portions = [_Portion(task, 0, task.entries) for task in plan.tasks]
    _run(plan, portions, produce, "Adding task vectors", workers, memory)
    return TaskSum(plan, {name: as_tensor(found, "F32") for name, found in sorted(sums.items())})


@dataclass(frozen=True)
class _Portion:
    """Flat entries of a tensor, from `start` to `stop`."""

    task: Task
    start: int
    stop: int

    @property
    def share(self) -> float:
        """Of the tensor's work."""
        return self.task.work * (self.stop - self.start) / max(1, self.task.entries)


def _write_weights(
    plan: Plan, weights: WeightsWriter, workers: int, memory: int, known_sum: TaskSum | None
) -> dict[str, Rounding]:
    """Write every tensor; gives what storing changed, by tensor and place."""
    if plan.recipe.dtype != "float32":
        import torch  # noqa: F401  # rounds to half precision; only what is loaded can be held to one thread
    if plan.decomposes:
        lapack.load()
    measured = Measured() if known_sum is not None else measure(plan, workers, memory)
    roundings: dict[str, Rounding] = {}
    names = {task.name: [task.name] for task in plan.tasks}
    for copy, source in plan.copies.items():
        names[source].append(copy)
    with weights as writer:

        def produce(portion: _Portion) -> None:
            task = portion.task
            if task.group == "copied" or not task.entries:
                tensor = common_value(plan, task) if task.entries else _nothing(task)
                for name in names[task.name]:
                    writer.write(name, tensor)
                return
            part = direction(plan, task, measured) if known_sum is None else known_sum.direction(task)
            pieces = merged_pieces(plan, task, part, plan.recipe.scale, portion.start, portion.stop)
            for start, entries, rounding in pieces:
                roundings[f"{task.name} {start:015d}"] = rounding
                for name in names[task.name]:
                    writer.write_part(name, start, entries)

        _run(plan, _portions(plan, measured), produce, "Merging", workers, memory)
    return roundings


def _nothing(task: Task) -> Array:
    return np.empty(task.shape, STORED[task.dtype])


def _portions(plan: Plan, measured: Measured) -> list[_Portion]:
    """The tensors, longest first; large ones in several portions where no work is done twice for it."""
    portions = []
    for task in plan.tasks:
        cut_alone = task.by_method and plan.recipe.method_entry().trims and task.name not in measured.cuts
        size = _PORTION if task.in_pieces and not cut_alone else max(1, task.entries)
        portions += [
            _Portion(task, start, min(start + size, task.entries))
            for start in range(0, max(1, task.entries), size)
        ]
    return sorted(portions, key=lambda portion: -portion.share)


def _run(
    plan: Plan,
    portions: Sequence[_Portion],
    produce: Callable[[_Portion], None],
    description: str,
    workers: int,
    memory: int,
) -> None:
    total = sum(portion.share for portion in portions) or 1
    mebibytes = plan.input_bytes() / 2**20
    with progress(description, mebibytes, "MiB") as advance:

        def work(portion: _Portion) -> None:
            # An overflow is found, and named, where the results are checked.
            with np.errstate(over="ignore", invalid="ignore"):
                produce(portion)
            advance(mebibytes * portion.share / total)

        run(work, portions, workers, lambda portion: portion.task.working_bytes, memory)


def _hash_inputs(plan: Plan, workers: int | None) -> tuple[Plan, list[str]]:
    """The plan with what the digests tell, and the digests of base and experts in order."""
    models = {tuple(model.files()): model for model in (plan.base, *plan.experts)}
    # A checkpoint remembers its digest, so that asking in order below costs nothing.
    run(lambda model: model.sha256(), models.values(), workers or default_workers())
    return plan.with_digests_told(), plan.digests()


def _differ_in_scale_alone(first: Recipe, second: Recipe) -> bool:
    free = {"scale", "dtype"}
    return first.model_dump(exclude=free) == second.model_dump(exclude=free)
