"""Choose a merge's scaling factor λ on development data."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lors.base.files import read_json, write_json
from lors.base.progress import say
from lors.merging.engine import merge
from lors.speech.evaluation import evaluate


@dataclass(frozen=True)
class ScaleSearch:
    """What was tried, and what won."""

    scale: float
    trials: dict[float, float]
    """λ → WER in percent, averaged over the languages of the development data."""


def choose_scale(
    recipe: Mapping[str, Any],
    scales: Sequence[float],
    dev: Sequence[Path],
    folder: Path,
    decoding: Mapping[str, Any],
) -> ScaleSearch:
    """Merge at each λ, decode the development data, and take the λ with the lowest WER.

    The word error rate is averaged over languages, each counting alike; of equal ones the smaller λ wins,
    which stays closer to the base model. Every trial is kept in `folder`, so a search that was killed goes on
    behind the last trial that ended; the merged weights of a trial are deleted.

    Args:
        recipe: a recipe without `scale`.
        scales: the λ to try.
        dev: manifests of development data.
        folder: where trials are kept.
        decoding: arguments for `evaluate`, the same for every trial.
    """
    trials = {scale: _trial(recipe, scale, dev, folder / f"{scale:g}", decoding) for scale in scales}
    best = min(trials, key=lambda scale: (trials[scale], scale))
    return ScaleSearch(best, trials)


