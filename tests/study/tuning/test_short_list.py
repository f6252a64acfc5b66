"""Which candidates are decoded: so many, and towards the λ at which the scores get better."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lors.study.tuning.short_list import decided
from lors.study.tuning.space import Candidate
from lors.study.tuning.trial import Trial

SCALES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
RATIOS = (0.1, 0.2, 0.4)


def candidate(scale: float, ratio: float) -> Candidate:
    recipe: Any = SimpleNamespace(scale=scale)
    return Candidate({"keep_ratio": ratio, "scale": scale}, recipe)


def decoded(
    first: list[Candidate], costs: dict[float, float], short_list: int, along: bool = True
) -> list[float]:
    """The λ of what is decoded, one after another."""
    order: list[float] = []

    def decode(one: Candidate, beam_size: int) -> Trial:
        order.append(one.values["scale"])
        cost = costs[one.values["scale"]]
        return Trial(one.values, "beam", beam_size, "wer", cost, cost, cost, 50, 0, "")

    trials = decided(decode, first, short_list, 5, None, along)
    assert len(trials) == len(order) == min(short_list, len(first))
    return order


def every(scales: tuple[float, ...] = SCALES) -> list[Candidate]:
    return [candidate(scale, ratio) for scale in scales for ratio in RATIOS]


def test_where_smaller_scales_are_better_it_goes_on_to_them() -> None:
    costs = {scale: abs(scale - 0.3) for scale in SCALES}
    first = every((0.6, 0.8, 0.5, 0.4, 1.0, 0.3, 0.2))
    assert decoded(first, costs, 6) == [0.6, 0.8, 0.5, 0.4, 0.3, 0.2]
    assert decoded(first, costs, 6, along=False) == [0.6, 0.6, 0.6, 0.8, 0.8, 0.8]


def test_between_worse_ones_it_keeps_to_the_first_look() -> None:
    costs = {scale: abs(scale - 0.6) for scale in SCALES}
    assert decoded(every((0.5, 0.6, 0.8, 0.2, 0.3, 0.4, 1.0)), costs, 5) == [0.5, 0.6, 0.8, 0.5, 0.5]


@given(st.permutations(every()), st.sampled_from(SCALES), st.integers(1, 30))
def test_with_as_many_as_there_are_scales_the_best_is_not_beyond_them(
    first: list[Candidate], best: float, short_list: int
) -> None:
    found = decoded(first, {scale: abs(scale - best) for scale in SCALES}, short_list)
    assert short_list < len(SCALES) or min(found) <= best <= max(found)


def test_a_scale_between_two_that_were_decoded_is_left_to_the_first_look() -> None:
    costs = {scale: abs(scale - 0.3) for scale in SCALES}
    first = every((0.2, 0.4, 0.3, 0.5, 0.6, 0.8, 1.0))
    assert decoded(first, costs, 7) == [0.2, 0.4, 0.2, 0.2, 0.4, 0.4, 0.3]
