"""What a merge will do, worked out from the headers of the files alone."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lors.base.errors import LorsError, UsageError
from lors.base.files import refuse_existing, require_free_space
from lors.checkpoints.dtypes import FLOATS, STORED, float32_of
from lors.checkpoints.read import Checkpoint
from lors.merging.alignment import align
from lors.merging.locate import open_model
from lors.merging.low_rank import kept_rank
from lors.merging.methods.method import Method, Settings
from lors.merging.methods.rest import rest_of
from lors.merging.methods.table import find_method
from lors.merging.ratios import share
from lors.merging.recipe import Recipe
from lors.merging.tasks import Group, Task, make_tasks

_TOO_NARROW = {"F8_E4M3", "F8_E5M2"}


@dataclass(frozen=True)
class Plan:
    """A recipe whose models are found, open, and fit one another."""

    recipe: Recipe
    base: Checkpoint
    experts: tuple[Checkpoint, ...]
    tasks: tuple[Task, ...]
    """Longest first."""
    copies: dict[str, str]
    """Output tensors that are a second copy of another: an output head tied to the embedding."""
    warnings: tuple[str, ...]

    @cached_property
    def settings(self) -> tuple[Settings, ...]:
        """Of the method, for each expert."""
        return self.recipe.settings()

    @cached_property
    def steps(self) -> tuple[tuple[Method, Settings], ...]:
        """What is done to each task vector before the method sees it."""
        return tuple((find_method(step.method), step.setting()) for step in self.recipe.prune or ())

    @property
    def trims_over_model(self) -> bool:
        """Whether task vectors are trimmed to their largest entries over all tensors."""
        return self.recipe.method_entry().trims and self.settings[0].trim == "model"

    @property
    def decomposes(self) -> bool:
        """Whether the method, or a step before it, decomposes matrices."""
        return any(
            method.matrices for method in (self.recipe.method_entry(), *(step for step, _ in self.steps))
        )

    def method_of(self, task: Task) -> Method:
        """What merges the tensor: the recipe's method, or what its rest goes through."""
        method = self.recipe.method_entry()
        return method if task.by_method else rest_of(method)

    def keep_counts(self, task: Task) -> list[int]:
        """For each expert, how many entries of this tensor its keep ratio keeps."""
        return [share(setting.keep_ratio, task.entries) for setting in self.settings]

    def digests(self) -> list[str]:
        """sha256 of the weights of the base, then of each expert, in order."""
        return [checkpoint.sha256() for checkpoint in (self.base, *self.experts)]

    def layout(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """dtype and shape of every output tensor."""
        layout = {task.name: (task.dtype, task.shape) for task in self.tasks}
        layout.update({name: layout[source] for name, source in self.copies.items()})
        return dict(sorted(layout.items()))

    def counts(self) -> dict[Group, tuple[int, int]]:
        """For each group, how many tensors and how many entries."""
        tensors, entries = Counter[Group](), Counter[Group]()
        for task in self.tasks:
            tensors[task.group] += 1
            entries[task.group] += task.entries
        return {group: (tensors[group], entries[group]) for group in ("pruned", "plain", "copied")}

    def ranks(self) -> list[Counter[int]]:
        """For each expert, how many pruned tensors keep each rank; empty for methods without rank_ratio."""
        shapes = [task.shape for task in self.tasks if task.by_method]
        if not self.recipe.takes("rank_ratio"):
            return []
        return [
            Counter(kept_rank(shape, setting.rank_ratio) for shape in shapes) for setting in self.settings
        ]

    def input_bytes(self) -> int:
        """Size of all tensors that the merge reads."""
        return sum(
            model.tensors[task.name].nbytes for model in (self.base, *self.experts) for task in self.tasks
        )

    def output_bytes(self) -> int:
        """Size of the merged weights and of the files that go beside them."""
        sizes = {task.name: task.nbytes for task in self.tasks}
        weights, folder = set(self.base.files()), self.base.directory
        files = folder.iterdir() if folder.is_dir() else ()
        beside = (path for path in files if path.is_file() and path not in weights)
        return (
            sum(sizes.values())
            + sum(sizes[source] for source in self.copies.values())
            + sum(path.stat().st_size for path in beside)
        )

    def check_output(self, out: Path, overwrite: bool) -> None:
        """Refuse an output that exists, that would replace an input, or that does not fit on the disk.

        Raises:
            UsageError: `out` exists and `overwrite` is false, or a model of the recipe lies in it.
            LorsError: no space.
        """
        for model in (self.base, *self.experts):
            if model.directory.is_relative_to(out.resolve()):
                raise UsageError(
                    f"{out}: the output would replace the input {model.directory}; name another."
                )
        refuse_existing(out, overwrite)
        require_free_space(out.parent, self.output_bytes())

    def with_digests_told(self) -> "Plan":
        """The plan with a warning for each expert whose weights are the base's own, to the byte."""
        first, *others = self.digests()
        copies = [
            f"the expert {named.model} is the base itself; its task vector is zero."
            for named, digest in zip(self.recipe.experts, others, strict=True)
            if digest == first
        ]
        return replace(self, warnings=tuple(dict.fromkeys((*self.warnings, *copies))))

    def refuse_empty_experts(self) -> None:
        """LorsError where an expert holds nothing but zeros; it stops reading at the first that is none."""
        names = sorted(task.name for task in self.tasks if task.group != "copied")
        for named, expert in zip(self.recipe.experts, self.experts, strict=True):
            if names and not any(bool(float32_of(expert.array(name)).any()) for name in names):
                raise LorsError(
                    f"{expert.files()[0]}: every entry of the expert {named.model} is zero: not a trained model."
                )

    def memory(self, workers: int, budget: int) -> int:
        """Bytes that `workers` threads hold at most, the inputs' mapped pages aside (they can be dropped).

        It stays below `budget`, unless a single tensor needs more.
        """
        needs = sorted((task.working_bytes for task in self.tasks), reverse=True)
        return max(needs[0], min(budget, sum(needs[:workers])))


def make_plan(recipe: Recipe) -> Plan:
    """Find and open every model, and check that all fit the base. No tensor is read, but for tied heads.

    Raises:
        UsageError: a model is missing, is of another size, lacks a tensor or has one too many; a pattern
            matches nothing; settings that do not go together.
        LorsError: a file is damaged, or a Hub model cannot be had.
    """
    _refuse_mistakes(recipe)
    folders = recipe.folders()
    base = open_model(recipe.base, folders)
    experts = tuple(open_model(expert.model, folders, base) for expert in recipe.experts)
    shared, copies = align(base, experts)
    _refuse_unknown_formats(base, experts, shared)
    warnings = tuple(_warnings(recipe, base, experts))
    if recipe.align is not None:
        from lors.merging.matching import match_units

        experts = match_units(base, experts)
    tasks = make_tasks(recipe, base, experts, shared)
    return Plan(recipe, base, experts, tuple(tasks), copies, warnings)


def _refuse_mistakes(recipe: Recipe) -> None:
    method = recipe.method_entry()
    found = [(f"the method {method.name}", method.mistake(recipe.settings()))]
    for step in recipe.prune or ():
        wrong = find_method(step.method).mistake([step.setting()])
        found.append((f"prune: the method {step.method}", wrong))
    for who, mistake in found:
        if mistake is not None:
            raise UsageError(f"recipe: {who}: {mistake}.")


def _refuse_unknown_formats(base: Checkpoint, experts: tuple[Checkpoint, ...], names: list[str]) -> None:
    for checkpoint in (base, *experts):
        for name in names:
            info = checkpoint.tensors[name]
            if info.dtype not in STORED or info.dtype in _TOO_NARROW:
                raise UsageError(
                    f"{info.file}: the tensor '{name}' is in {info.dtype}, which cannot be merged; take "
                    "weights in float32, float16 or bfloat16."
                )
            if (info.dtype in FLOATS) != (base.tensors[name].dtype in FLOATS):
                raise UsageError(
                    f"{info.file}: the tensor '{name}' is {info.dtype}, but {base.tensors[name].dtype} "
                    f"in the base {base.tensors[name].file}; both must be floating point or both not."
                )


def _warnings(recipe: Recipe, base: Checkpoint, experts: tuple[Checkpoint, ...]) -> list[str]:
    warnings = []
    first: dict[Path, str] = {}
    for expert, checkpoint in zip(recipe.experts, experts, strict=True):
        if checkpoint.directory in first:
            warnings.append(f"the expert {expert.model} is listed more than once; each listing counts.")
        if checkpoint.directory == base.directory:
            warnings.append(f"the expert {expert.model} is the base itself; its task vector is zero.")
        first[checkpoint.directory] = expert.model
    return warnings
