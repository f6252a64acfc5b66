"""What a method of merging is: a function on one tensor of every model, and what people need to know of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from lors.merging.methods.task_vectors import Float32Array


@dataclass(frozen=True)
class Settings:
    """What a recipe says for one expert; what the method does not take stays as here.

    The names are the recipe's keys: `lors.merging.methods.parameters` says what each means.
    """

    weight: float = 1.0
    rank_ratio: float = 1.0
    keep_ratio: float = 1.0
    trim: Literal["model", "tensor"] = "model"
    seed: int = 0
    spread: float = 0.0
    outlier_ratio: float = 0.0
    interpolation: float = 0.5
    mask_scale: float = 1.0
    least_experts: int = 1
    energy_ratio: float = 1.0
    common_ratio: float = 1.0
    iterations: int = 1
    learning_rate: float = 0.0


Change = Callable[[int, Float32Array], Float32Array]
"""(index of an expert, its task vector) → what is left of it before the method sees it."""


@dataclass(frozen=True)
class Inputs:
    """One tensor of the base and of every expert, or the same range of flat entries of each.

    Experts are read one at a time as they are taken, so a method that adds up needs one in memory.
    """

    base: Float32Array
    readers: Sequence[Callable[[], Float32Array]]
    """For each expert, reads its entries."""
    settings: Sequence[Settings]
    """For each expert."""
    change: Change | None = None
    """Steps of the recipe before the method; None where it has none."""
    generator: Callable[[int], np.random.Generator] = field(default=np.random.default_rng)
    """Random numbers for an expert; the same on every call."""
    differences: Sequence[Callable[[], Float32Array]] | None = None
    """For each expert, reads θi − θ0 more exactly than it can be computed; None where that is not needed."""

    def task_vectors(self) -> Iterator[Float32Array]:
        """τi = θi − θ0, after the steps before the method."""
        for index, read in enumerate(self.readers):
            task_vector = read() - self.base if self.differences is None else self.differences[index]()
            yield task_vector if self.change is None else self.change(index, task_vector)

    def experts(self) -> Iterator[Float32Array]:
        """θi; with steps before the method, θ0 + what they left of τi."""
        if self.change is None:
            yield from (read() for read in self.readers)
        else:
            yield from (self.base + task_vector for task_vector in self.task_vectors())

    def stack(self) -> Float32Array:
        """All τi, shape (N, ...)."""
        return _stacked(self.task_vectors(), len(self.readers), self.base.shape)

    def stacked_experts(self) -> Float32Array:
        """All θi, shape (N, ...)."""
        return _stacked(self.experts(), len(self.readers), self.base.shape)

    def weights(self) -> list[float]:
        """wi of each expert."""
        return [setting.weight for setting in self.settings]


def one_keep_ratio(settings: Sequence[Settings]) -> str | None:
    """The mistake of experts with ratios of their own, where the method takes one choice for all."""
    ratios = dict.fromkeys(setting.keep_ratio for setting in settings)
    if len(ratios) == 1:
        return None
    return f"it takes one keep_ratio for all experts, not {', '.join(map(str, ratios))}"


Combine = Callable[[Inputs], Float32Array]
"""One tensor of all models → float32 of the same shape: T of θ = θ0 + λT where the method takes `scale`, else θ."""

Source = Callable[[], np.random.Generator]
"""Gives random numbers, the same on every call."""

Keep = Callable[[Float32Array, Settings, Source], Float32Array]
"""f of θ0 + λ Σ wi·f(τi): (a task vector, its settings, source of random numbers) → what is kept of it."""


@dataclass(frozen=True)
class Method:
    """One way to merge."""

    name: str
    summary: str
    equation: str
    citation: str
    parameters: tuple[str, ...]
    """Names in PARAMETERS. Those without an entry in `defaults` are required (`weight` is 1 if not given)."""
    combine: Combine
    keep: Keep | None = None
    """Of methods that add up what they keep of each task vector: these may also stand in `prune`."""
    defaults: Mapping[str, float | int | str] = field(default_factory=dict)
    acts_on: Literal["all", "weights"] = "all"
    """`weights`: unless the recipe's `tensors` say otherwise, the weights of attention and feed-forward."""
    rest: Literal["sum", "mean"] = "sum"
    """What becomes of the task vectors of the tensors that it does not act on."""
    elementwise: bool = False
    """Each entry depends on the same entry of the inputs alone, so tensors may come in pieces."""
    shows_not_finite: bool = False
    """A NaN or an infinity of an input is one in the result, so that looking there is enough."""
    stacks: bool = False
    """Holds the tensor of all experts in memory at once."""
    trims: bool = False
    """Each task vector is first trimmed to its largest entries (`keep_ratio`, over the model or the tensor)."""
    matrices: bool = False
    """Only matrices will do."""
    experts: tuple[int, int | None] = (1, None)
    """The least and the largest number of experts; None for any number."""
    mistake: Callable[[Sequence[Settings]], str | None] = lambda settings: None
    """What is wrong with settings (of each expert) that are in range one by one, in words; None if nothing."""
    work: Callable[[tuple[int, ...]], float] = lambda shape: 1.0
    """Expected time for an entry of a tensor of this shape, in units of reading and adding one."""

    def takes(self, parameter: str) -> bool:
        return parameter in self.parameters

    def requires(self, parameter: str) -> bool:
        return parameter in self.parameters and parameter not in self.defaults and parameter != "weight"

    @property
    def prunes(self) -> bool:
        """Whether it leaves out or changes some of a task vector, rather than weighting it whole."""
        return self.acts_on == "weights" or self.takes("keep_ratio")


def _stacked(parts: Iterator[Float32Array], count: int, shape: tuple[int, ...]) -> Float32Array:
    stack = np.empty((count, *shape), dtype=np.float32)
    for index, part in enumerate(parts):
        stack[index] = part
    return stack


def sum_of(keep: Keep) -> Combine:
    """The method that adds up, Σ wi · keep(τi), in the order of the experts."""

    def combine(inputs: Inputs) -> Float32Array:
        total = np.zeros(inputs.base.shape, dtype=np.float32)
        for index, task_vector in enumerate(inputs.task_vectors()):
            setting = inputs.settings[index]
            kept = keep(task_vector, setting, partial(inputs.generator, index))
            total += kept if setting.weight == 1 else kept * np.float32(setting.weight)
        return total

    return combine


def adding(keep: Keep, **about: Any) -> Method:
    """A method that adds up what it keeps of each task vector; the other fields of Method are `about` it."""
    return Method(combine=sum_of(keep), keep=keep, **about)
