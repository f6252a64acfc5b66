"""Search the settings of a merge on development data."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError, did_you_mean
from lors.base.files import sha256_of
from lors.base.lock import exclusive
from lors.base.progress import say
from lors.merging.plan import make_plan
from lors.speech.manifest import read_manifest
from lors.study.tuning.drawing import draw_trials
from lors.study.tuning.expert_data import shared_out
from lors.study.tuning.files import RECIPE, RECORD, STAGES, add_seconds, claim, finished, write_results
from lors.study.tuning.measurements import PRETRAINED, Measurements
from lors.study.tuning.objective import check_weights
from lors.study.tuning.reference import Reference
from lors.study.tuning.search import Search
from lors.study.tuning.short_list import decided, keeps
from lors.study.tuning.space import Candidate, Tried, check_space, ends_of, make_candidate, read_candidates
from lors.study.tuning.trial import AGAINST, Trial, Tuning

__all__ = ["RECIPE", "RECORD", "STAGES", "Trial", "Tuning", "tune"]

FIRST_LOOKS = ("loss", "greedy")
RELATIVE_TO = tuple(AGAINST)


def tune(
    recipe: Path | Mapping[str, Any],
    dev: Sequence[Path],
    out: Path,
    *,
    tried: Tried | None = None,
    trials: int | None = None,
    first_look: str = "loss",
    short_list: int = 3,
    beam_size: int = 5,
    window: int = 1500,
    quantization: str | None = None,
    limit: int | None = None,
    weigh: Mapping[str, float] | None = None,
    relative_to: str | None = None,
    pretrained: Path | None = None,
    retain: Sequence[Path] = (),
    retain_within: float | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Tuning:
    """Merge at every combination of the values, measure on development data, and keep the best recipe.

    All candidates get a cheap first look, by default their teacher-forced loss in a model that stays in memory; the
    best few, of several λ, and the pretrained model, are decoded with the full beam, which decides. Where the first
    two of them make different mistakes, more are decoded, to choose those that follow. Matrices are
    decomposed once for all scales and keep ratios, and for all smaller rank ratios. Of equal candidates the first
    wins, so the smaller λ, which stays closer to the base. `out` keeps each trial's scores and hypotheses, not its
    weights: a search that was killed goes on where it stood, one that has ended costs nothing.

    The objective is the mean WER over languages, or the mean BLEU; for data of both tasks, the mean over languages
    and tasks of the relative change against the pretrained model, or against the experts.

    Args:
        recipe: a recipe file or a mapping of its keys; keys that are tried may be missing in it.
        dev: manifests of transcriptions, of translations, or of both.
        out: the folder to make.
        tried: key → values, or with `trials` a range of them; λ alone by default.
        trials: draw so many candidates one by one (Optuna's TPE) instead of all combinations.
        first_look: "loss", or "greedy" to decode every candidate without a beam.
        short_list: how many are decoded with the full beam; 1 or more.
        beam_size: 1 (greedy) to 100.
        window, quantization, limit: as in `evaluate`. The loss leaves out clips that are longer than the window.
        weigh: task → weight in the mean over both tasks; 1 by default.
        relative_to: "pretrained", or "experts", each language and task against the expert that was trained on it:
            what changes are relative to; by default "pretrained" for both tasks, and for one task nothing.
        pretrained: folder of the base model's evaluation, made if it is not there, for searches to share.
        retain: manifests of held-out languages, decoded by the short list.
        retain_within: refuse candidates whose mean relative change on them is worse than this many per cent.
        seed: of the trials that are drawn, the order of clips and the bootstrap.
        overwrite: replace what is at `out`.

    Raises:
        UsageError: recipe, values, data or a setting are wrong, `out` holds something else, or no candidate keeps
            the held-out languages as well as asked for.
        LorsError: a model cannot be merged or decoded.
    """
    start, out, dev, retain = time.monotonic(), Path(out), [Path(p) for p in dev], [Path(p) for p in retain]
    _check(first_look, short_list, retain, retain_within, relative_to)
    space = check_space(recipe, tried or {}) if trials is not None else {}
    candidates = [] if trials is not None else read_candidates(recipe, tried or {})
    ends = candidates or [make_candidate(recipe, ends_of(space, place)) for place in (0, -1)]
    weights = check_weights(weigh or {}, _tasks(dev))
    plan = make_plan(ends[0].recipe)
    homes = [expert.directory for expert in plan.experts] if relative_to == "experts" else []
    owns = shared_out(homes, dev, "--relative-to experts") if homes else []
    decoding: dict[str, Any] = {"window": window, "quantization": quantization, "limit": limit}
    request = {
        "recipes": [candidate.recipe.resolved() for candidate in ends],
        "space": {key: str(values) for key, values in space.items()},
        "inputs": plan.digests(),
        "dev": [sha256_of(path) for path in dev],
        "retain": [sha256_of(path) for path in retain],
        "retain_within": retain_within,
        "weights": weights,
        "first_look": first_look,
        "short_list": short_list,
        "beam_size": beam_size,
        "seed": seed,
        **decoding,
    }
    if relative_to is not None:  # a search of an earlier version, which lacks the key, can be gone on with
        request["relative_to"] = relative_to
    with exclusive(out):
        claim(out, request, overwrite)
        if (earlier := finished(out, trials)) is not None:
            return earlier
        pretrained = pretrained or out / PRETRAINED
        ratios = [setting.rank_ratio for end in ends for setting in end.recipe.settings()]
        measurements = Measurements(out, plan, dev, decoding=decoding, rank_ratios=ratios, seed=seed)
        search = Search(
            measurements,
            Reference(measurements, owns, pretrained, beam_size),
            weights,
            beam_size=beam_size,
            relative=relative_to is not None or len(weights) > 1,
            pretrained=pretrained,
            retain=retain,
        )
        try:
            if trials is not None:
                candidates, first = _drawn(search, recipe, space, trials, first_look, out, seed)
            elif first_look == "greedy":
                first = [search.decode(candidate, 1) for candidate in candidates]
            else:
                few = len(candidates) <= short_list
                first = [] if few else search.losses(candidates, short_list)
            # Those that were measured on more clips have come further.
            ranked = sorted(range(len(first)), key=lambda place: (-first[place].n, first[place].cost, place))
            in_order = [candidates[place] for place in ranked] or candidates
            again = search.look_again if first_look == "loss" else None
            found, second = decided(search.decode, in_order, short_list, beam_size, retain_within, again)
            chosen = [candidate for candidate in candidates if candidate.name in found]
            last = [found[candidate.name] for candidate in chosen]
            base = search.pretrained()
        finally:
            seconds = add_seconds(out, measurements.seconds, time.monotonic() - start)
        kept = [place for place, trial in enumerate(last) if keeps(trial, retain_within)]
        winner = min(kept, key=lambda place: last[place].cost)
        best = last[winner]
        as_good = tuple(last[place].values for place in kept if last[place].as_good_as(best))
        refused = tuple(trial.values for trial in last if not keeps(trial, retain_within))
        greedy_alone = first_look == "greedy" and beam_size == 1
        told = tuple(first if greedy_alone and not retain else [*first, *second, *last])
        result = Tuning(out, best, as_good, base, told, refused, seconds)
        write_results(result, chosen[winner].recipe, trials)
    say(cost_of(result))
    return result


def cost_of(tuning: Tuning) -> str:
    """In words: candidates a minute, and the share of the time that decoding took."""
    seconds, looks = tuning.seconds, {repr(trial.values) for trial in tuning.trials}
    return (
        f"{len(looks)} candidates in {seconds['all']:.0f} s: {60 * len(looks) / seconds['all']:.1f} a minute; "
        f"merging {seconds['merging'] / seconds['all']:.0%}, losses {seconds['losses'] / seconds['all']:.0%}, "
        f"decoding {seconds['decoding'] / seconds['all']:.0%} of the time"
    )


def _drawn(
    search: Search,
    recipe: Path | Mapping[str, Any],
    space: Tried,
    trials: int,
    first_look: str,
    out: Path,
    seed: int,
) -> tuple[list[Candidate], list[Trial]]:
    """The candidates that were drawn, each once, and their trials."""
    found: dict[str, tuple[Candidate, Trial]] = {}

    def measure(values: Mapping[str, Any]) -> float:
        candidate = make_candidate(recipe, values)
        trial = search.decode(candidate, 1) if first_look == "greedy" else search.loss(candidate)
        found[candidate.name] = candidate, trial
        return trial.cost

    for values in draw_trials(out, space, trials, seed, measure):
        if make_candidate(recipe, values).name not in found:
            measure(values)  # what an earlier run has left
    # In an order that does not depend on which run measured what.
    pairs = [found[name] for name in sorted(found)]
    return [candidate for candidate, _ in pairs], [trial for _, trial in pairs]


def _check(
    first_look: str, short_list: int, retain: Sequence[Path], within: float | None, relative_to: str | None
) -> None:
    if first_look not in FIRST_LOOKS:
        raise UsageError(
            f"first look '{first_look}': expected loss or greedy.{did_you_mean(first_look, FIRST_LOOKS)}"
        )
    if relative_to not in (None, *RELATIVE_TO):
        hint = did_you_mean(str(relative_to), RELATIVE_TO)
        raise UsageError(f"relative to '{relative_to}': expected pretrained or experts.{hint}")
    if short_list < 1:
        raise UsageError(f"short list {short_list}: expected 1 or more.")
    if within is not None and not retain:
        raise UsageError("--retain-within: name the held-out data with --retain.")
    if within is not None and not 0 <= within < float("inf"):
        raise UsageError(f"retain within {within:g} %: expected 0 or more.")


def _tasks(dev: Sequence[Path]) -> list[str]:
    if not dev:
        raise UsageError("no development data: name a manifest with --dev.")
    return sorted({utterance.task for path in dev for utterance in read_manifest(path, check_audio=False)})
