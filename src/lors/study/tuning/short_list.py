"""Which candidates the decoder decides on, after the first look at all of them."""

from collections.abc import Callable, Mapping, Sequence

from lors.base.errors import UsageError
from lors.study.tuning.space import Candidate
from lors.study.tuning.trial import Trial

FEW = 6
"""So many at the least get a second look, beside those of further λ; twice as many as are then decoded."""


def decided(
    decode: Callable[[Candidate, int], Trial],
    ranked: Sequence[Candidate],
    short_list: int,
    beam_size: int,
    within: float | None,
    look_again: Callable[[Sequence[Candidate], Sequence[Candidate]], Sequence[Trial]] | None,
) -> tuple[dict[str, Trial], list[Trial]]:
    """The trials at the full beam, by name, and the second looks.

    So many candidates are decoded, or more, until one keeps what it should.

    Args:
        decode: (candidate, beam size) → its trial.
        ranked: all candidates, the most promising first.
        short_list: how many are decoded.
        beam_size: of the full beam.
        within: what a candidate may lose on held-out data, in per cent.
        look_again: (candidates, the two that were decoded) → a trial of each, cheaper than `decode`, or none.
            With it the short list begins with two λ, and goes on with what these trials rank highest: losses and
            error rates part where experts learn a way of writing that scoring overlooks, and λ decides how much of
            it is taken over.

    Raises:
        UsageError: none keeps what it should.
    """
    trials: dict[str, Trial] = {}
    second: list[Trial] = []
    decoded: list[Candidate] = []
    left = list(ranked)
    while left and (len(trials) < short_list or not _any_keeps(trials, within)):
        following = left[0]
        if look_again is not None and short_list > len(trials) == 1:
            scale = decoded[0].recipe.scale
            following = next((one for one in left if one.recipe.scale != scale), following)
        elif look_again is not None and len(trials) == 2 and len(left) > short_list - 2 > 0:
            few = _for_second_look(left, decoded, max(FEW, 2 * (short_list - 2)))
            second = list(look_again(few, decoded))
            cost = {few[place].name: trial.cost for place, trial in enumerate(second)}
            left.sort(key=lambda one: cost.get(one.name, float("inf")))
            following = left[0]
        left.remove(following)
        decoded.append(following)
        trials[following.name] = decode(following, beam_size)
    if not _any_keeps(trials, within):
        closest = min(trials.values(), key=lambda trial: trial.retention or 0.0)
        values = ", ".join(f"{key} {value}" for key, value in closest.values.items())
        raise UsageError(
            f"none of {len(trials)} candidates stays within {within:g} % of the pretrained model on the held-out data; "
            f"the closest, {values}, is {closest.retention:.1f} % worse: try smaller scales, or allow more."
        )
    return trials, second


def keeps(trial: Trial, within: float | None) -> bool:
    """Whether it loses no more on held-out data than `within` per cent."""
    return within is None or trial.retention is None or trial.retention <= within


def _any_keeps(trials: Mapping[str, Trial], within: float | None) -> bool:
    return any(keeps(trial, within) for trial in trials.values())


def _for_second_look(left: Sequence[Candidate], decoded: Sequence[Candidate], count: int) -> list[Candidate]:
    """The first so many, and the first of the next λ below and above those decoded."""
    few = list(left[:count])
    known = [one.recipe.scale for one in decoded if one.recipe.scale is not None]
    others = {one.recipe.scale for one in left if one.recipe.scale is not None}
    below = [scale for scale in others if known and scale < min(known)]
    above = [scale for scale in others if known and scale > max(known)]
    for wanted in (*sorted(below)[-1:], *sorted(above)[:1]):
        one = next(candidate for candidate in left if candidate.recipe.scale == wanted)
        if one not in few:
            few.append(one)
    return few
