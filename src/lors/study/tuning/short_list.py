"""Which candidates the decoder decides on, after the first look at all of them."""

from collections.abc import Callable, Mapping, Sequence

from lors.base.errors import UsageError
from lors.study.tuning.space import Candidate
from lors.study.tuning.trial import Trial


def decided(
    decode: Callable[[Candidate, int], Trial],
    ranked: Sequence[Candidate],
    short_list: int,
    beam_size: int,
    within: float | None,
    along_scales: bool,
) -> dict[str, Trial]:
    """Name → trial at the full beam, of so many candidates; further ones until one keeps what it should.

    Args:
        decode: (candidate, beam size) → its trial.
        ranked: all candidates, the most promising first.
        short_list: how many are decoded.
        beam_size: of the full beam.
        within: what a candidate may lose on held-out data, in per cent.
        along_scales: begin with two λ, and go on from the least or the largest as long as the best lies there. Losses
            and error rates part where experts learn a way of writing that scoring overlooks, and λ decides how much
            of it is taken over.

    Raises:
        UsageError: none keeps what it should.
    """
    trials: dict[str, Trial] = {}
    left = list(ranked)
    while left and (len(trials) < short_list or not _any_keeps(trials, within)):
        following = left[0]
        if along_scales and 1 <= len(trials) < short_list:
            following = _other_scale(ranked, trials, within) or following
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


def _other_scale(
    ranked: Sequence[Candidate], trials: Mapping[str, Trial], within: float | None
) -> Candidate | None:
    """The first of a second λ; then of the next one, where the best λ is the least or the largest that was decoded."""
    scales = sorted({candidate.recipe.scale for candidate in ranked if candidate.recipe.scale is not None})
    decoded = [candidate for candidate in ranked if candidate.name in trials]
    best = min(decoded, key=lambda one: (not keeps(trials[one.name], within), trials[one.name].cost))
    if best.recipe.scale is None:
        return None
    places = [scales.index(one.recipe.scale) for one in decoded if one.recipe.scale is not None]
    place = scales.index(best.recipe.scale)
    if len(set(places)) == 1:
        wanted = {scale for scale in scales if scale != best.recipe.scale}
    else:
        following = place - 1 if place == min(places) else place + 1 if place == max(places) else -1
        wanted = {scales[following]} if 0 <= following < len(scales) else set()
    return next((candidate for candidate in ranked if candidate.recipe.scale in wanted), None)
