"""Choose a merge's scaling factor λ on development data."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors.base.files import read_json, sha256_of, write_json
from lors.base.progress import say
from lors.merging.engine import TaskSum, merge, task_sum
from lors.merging.plan import make_plan
from lors.merging.recipe import load_recipe
from lors.speech.evaluation import evaluate


@dataclass(frozen=True)
class ScaleSearch:
    """What was tried, and what won."""

    scale: float
    trials: dict[float, float]
    """λ → word error rate in per cent, averaged over the languages of the development data."""


def choose_scale(
    recipe: Mapping[str, Any],
    scales: Sequence[float],
    dev: Sequence[Path],
    folder: Path,
    decoding: Mapping[str, Any],
) -> ScaleSearch:
    """Merge at each λ, decode the development data, and take the λ with the lowest word error rate.

    The rate is averaged over languages, each counting alike; of equal ones the smaller λ wins, which stays
    closer to the base model. Task vectors are pruned once for all λ. `folder` keeps every trial's scores and
    hypotheses, not its weights: a search that was killed goes on in its unfinished trial, one that ended costs
    nothing. Where the recipe, the models or the data have changed, it starts anew.

    Args:
        recipe: the keys of a recipe, without `scale`.
        scales: the λ to try.
        dev: manifests of development data.
        folder: where trials are kept.
        decoding: further arguments for `evaluate`, the same for every trial.

    Raises:
        UsageError, LorsError: as `merge` and `evaluate`.
    """
    request = {
        "recipe": dict(recipe),
        "inputs": make_plan(load_recipe({**recipe, "scale": scales[0]})).digests(),
        "dev": [sha256_of(path) for path in dev],
        "decoding": dict(decoding),
    }
    _keep_if_same(folder, request)
    trials: dict[float, float] = {}
    sums: TaskSum | None = None
    for scale in sorted(scales):
        score = folder / f"{scale:g}.json"
        if not score.is_file():
            complete = {**recipe, "scale": scale}
            sums = sums or task_sum(complete)
            wer = _try(complete, sums, dev, folder / f"{scale:g}", decoding)
            write_json(score, {"scale": scale, "wer": wer})
        trials[scale] = read_json(score)["wer"]
    best = min(trials, key=lambda scale: (trials[scale], scale))
    rates = ", ".join(f"{wer:.1f} at λ = {scale:g}" for scale, wer in trials.items())
    say(f"{recipe['method']}: WER on dev {rates}; chosen: {best:g}")
    return ScaleSearch(best, trials)


def _keep_if_same(folder: Path, request: Mapping[str, Any]) -> None:
    """Empty `folder` unless its trials belong to this request."""
    record = folder / "request.json"
    if record.is_file() and read_json(record) == request:
        return
    shutil.rmtree(folder, ignore_errors=True)
    write_json(record, request)


def _try(
    recipe: Mapping[str, Any], sums: TaskSum, dev: Sequence[Path], results: Path, decoding: Mapping[str, Any]
) -> float:
    candidate = results.with_name("candidate")
    merge(recipe, candidate, overwrite=True, known_sum=sums)
    evaluation = evaluate([candidate], dev, results, reuse=True, **decoding)
    shutil.rmtree(candidate)
    return evaluation.average_wer("candidate")
