"""Sums of task vectors that a search keeps, and the decompositions that they are made of."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lors.merging.engine import TaskSum, task_sum
from lors.merging.factors import Factors, keeping
from lors.merging.plan import Plan
from lors.study.tuning.space import Candidate

# What sums of task vectors may take together; one is kept however large it is.
_SUMS_BYTES = 2 << 30

# Factors of ranks beyond are as large as the matrices.
_LARGEST_KEPT_RATIO = 0.25


class KeptSums:
    """Σ wi·f(τi) of the candidates measured last, for every λ; decomposed once for all ranks."""

    def __init__(self, plan: Plan, rank_ratios: Sequence[float]) -> None:
        """Nothing is computed yet.

        Args:
            plan: of any candidate, for the size of a sum.
            rank_ratios: of all candidates; decompositions of the largest serve the others.
        """
        self._bytes = sum(task.entries * 4 for task in plan.tasks)
        small = [ratio for ratio in rank_ratios if ratio <= _LARGEST_KEPT_RATIO]
        self._factors = Factors(max(small, default=_LARGEST_KEPT_RATIO))
        self._sums: OrderedDict[str, TaskSum] = OrderedDict()

    def of(self, candidate: Candidate) -> TaskSum:
        """The candidate's sum, kept while there is room for it."""
        key = repr(candidate.without_scale())
        if key not in self._sums:
            while self._sums and self._bytes * (len(self._sums) + 1) > _SUMS_BYTES:
                self._sums.popitem(last=False)  # before the next is made
            with self.factors():
                self._sums[key] = task_sum(candidate.recipe)
        self._sums.move_to_end(key)
        return self._sums[key]

    @contextmanager
    def factors(self) -> Iterator[None]:
        """Within it, merges find and keep decompositions."""
        with keeping(self._factors):
            yield
