"""Which candidates are decoded: so many, of two λ first, then what a second look ranks highest."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lors.study.tuning.short_list import FEW, decided
from lors.study.tuning.space import Candidate
from lors.study.tuning.trial import DIFFER, Trial

SCALES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
RATIOS = (0.1, 0.2, 0.4)
Costs = dict[str, float]


def candidate(scale: float, ratio: float) -> Candidate:
    recipe: Any = SimpleNamespace(scale=scale)
    return Candidate({"keep_ratio": ratio, "scale": scale}, recipe)


EVERY = [candidate(scale, ratio) for scale in SCALES for ratio in RATIOS]


class Run:
    """What was decoded, one after another, and what was looked at again."""

    def __init__(
        self, ranked: Sequence[Candidate], costs: Costs, short_list: int, differ: bool = True
    ) -> None:
        self.order: list[Candidate] = []
        self.looked: list[Candidate] = []

        def trial(one: Candidate, look: str) -> Trial:
            cost = costs[one.name]
            return Trial(one.values, look, 5, "wer", cost, cost, cost, 50, 0, "")

        def decode(one: Candidate, _: int) -> Trial:
            self.order.append(one)
            return trial(one, "beam")

        def look_again(few: Sequence[Candidate], decoded: Sequence[Candidate]) -> list[Trial]:
            assert list(decoded) == self.order
            self.looked += few
            return [trial(one, DIFFER) for one in few] if differ else []

        found, second = decided(decode, ranked, short_list, 5, None, look_again)
        assert list(found) == [one.name for one in self.order]
        assert [one.values for one in second] == ([one.values for one in self.looked] if differ else [])


def test_two_scales_then_the_best_of_the_second_look() -> None:
    costs = {one.name: abs(one.values["scale"] - 0.3) + one.values["keep_ratio"] / 10 for one in EVERY}
    ranked = sorted(EVERY, key=lambda one: abs(one.values["scale"] - 0.54))  # 0.5, 0.6, 0.4, …
    run = Run(ranked, costs, 4)
    assert [one.values["scale"] for one in run.order[:2]] == [0.5, 0.6]
    # None of the six next in rank has a λ above those two: the best of the next one is looked at too.
    assert {one.values["scale"] for one in run.looked} == {0.4, 0.5, 0.6, 0.8}
    best = sorted(run.looked, key=lambda one: costs[one.name])[:2]
    assert run.order[2:] == best and best[0].values == {"keep_ratio": 0.1, "scale": 0.4}


@given(
    st.permutations(EVERY),
    st.lists(st.integers(0, 30), min_size=len(EVERY), max_size=len(EVERY)),
    st.integers(1, len(EVERY)),
)
def test_so_many_are_decoded_and_the_best_that_was_looked_at_is_among_them(
    ranked: list[Candidate], values: list[int], short_list: int
) -> None:
    costs = {one.name: float(value) for one, value in zip(EVERY, values, strict=True)}
    run = Run(ranked, costs, short_list)
    names = [one.name for one in run.order]
    assert len(names) == len(set(names)) == short_list and names[0] == ranked[0].name
    if short_list > 1:
        assert run.order[0].values["scale"] != run.order[1].values["scale"]
    if 2 < short_list < len(EVERY):
        seen = [*run.order[:2], *run.looked]
        assert min(costs[one.name] for one in run.order) <= min(costs[one.name] for one in seen)
        left = [one for one in ranked if one not in run.order[:2]]
        count = max(FEW, 2 * (short_list - 2))
        assert run.looked[:count] == left[:count] and len(run.looked) <= count + 2
        known = [one.values["scale"] for one in run.order[:2]]
        beyond = [s for s in SCALES if s < min(known)][-1:] + [s for s in SCALES if s > max(known)][:1]
        assert {one.values["scale"] for one in run.looked} >= set(beyond)
    else:
        assert run.looked == []


def test_where_two_make_the_same_mistakes_the_first_look_decides() -> None:
    costs = {one.name: 1.0 for one in EVERY}
    run = Run(EVERY, costs, 4, differ=False)
    assert run.order == [EVERY[0], EVERY[3], EVERY[1], EVERY[2]]


def test_without_a_second_look_it_keeps_to_the_order() -> None:
    def decode(one: Candidate, _: int) -> Trial:
        return Trial(one.values, "beam", 5, "wer", 1.0, 1.0, 1.0, 50, 0, "")

    found, second = decided(decode, EVERY, 3, 5, None, None)
    assert list(found) == [one.name for one in EVERY[:3]] and second == []
