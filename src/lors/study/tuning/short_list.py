"""Which candidates the decoder decides on, after the first look at all of them."""

from collections.abc import Callable, Mapping, Sequence

from lors.base.errors import UsageError
from lors.study.tuning.space import Candidate
from lors.study.tuning.trial import Trial


def scales_in_turn(ranked: Sequence[Candidate]) -> list[Candidate]:
    """The best of each λ first, then the second of each, and so on.

    Losses and error rates part where experts learn a way of writing that scoring overlooks, and λ decides how much
    of it is taken over; what shares λ differs by less than a short list's data can tell.
    """
    seen: dict[str, int] = {}
    turns = []
    for candidate in ranked:
        scale = repr(candidate.recipe.scale)
        turns.append(seen.get(scale, 0))
        seen[scale] = turns[-1] + 1
    return [ranked[place] for place in sorted(range(len(ranked)), key=lambda place: (turns[place], place))]


def decided(
    decode: Callable[[Candidate, int], Trial],
    in_order: Sequence[Candidate],
    short_list: int,
    beam_size: int,
    within: float | None,
    along_scales: bool,
) -> dict[str, Trial]:
    """Name → trial at the full beam, of so many candidates; further ones until one keeps what it should.

    Args:
        decode: (candidate, beam size) → its trial.
        in_order: all candidates, the most promising first.
        short_list: how many are decoded.
        beam_size: of the full beam.
        within: what a candidate may lose on held-out data, in per cent.
        along_scales: from the third on, go on from the least or the largest λ where the best lies there.

    Raises:
        UsageError: none keeps what it should.
    """
    trials: dict[str, Trial] = {}
    left = list(in_order)
    while left and (len(trials) < short_list or not _any_keeps(trials, within)):
        following = left[0]
        if along_scales and 2 <= len(trials) < short_list:
            following = _beyond(in_order, trials, within) or following
        left.remove(following)
        trials[following.name] = decode(following, beam_size)
    if not _any_keeps(trials, within):
        closest = min(trials.values(), key=lambda trial: trial.retention or 0.0)
        values = ", ".join(f"{key} {value}" for key, value in closest.values.items())
        raise UsageError(
            f"none of {len(trials)} candidates stays within {within:g} % of the pretrained model on the held-out data; "
            f"the closest, {values}, is {closest.retention:.1f} % worse: try smaller scales, or allow more."
        )
    return trials


def keeps(trial: Trial, within: float | None) -> bool:
    """Whether it loses no more on held-out data than `within` per cent."""
    return within is None or trial.retention is None or trial.retention <= within


def _any_keeps(trials: Mapping[str, Trial], within: float | None) -> bool:
    return any(keeps(trial, within) for trial in trials.values())


def _beyond(
    in_order: Sequence[Candidate], trials: Mapping[str, Trial], within: float | None
) -> Candidate | None:
    """The first of the next λ, where the best one's λ is the least or the largest that was decoded."""
    scales = sorted({candidate.recipe.scale for candidate in in_order if candidate.recipe.scale is not None})
    decoded = [candidate for candidate in in_order if candidate.name in trials]
    best = min(decoded, key=lambda one: (not keeps(trials[one.name], within), trials[one.name].cost))
    if best.recipe.scale is None:
        return None
    places = [scales.index(one.recipe.scale) for one in decoded if one.recipe.scale is not None]
    place = scales.index(best.recipe.scale)
    following = place - 1 if place == min(places) else place + 1 if place == max(places) else -1
    if not 0 <= following < len(scales):
        return None
    return next(candidate for candidate in in_order if candidate.recipe.scale == scales[following])
