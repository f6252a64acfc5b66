"""The results of an evaluation, and reading them back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors.base.errors import LorsError
from lors.base.files import read_json
from lors.speech.evaluation_scores import METRICS, Score, read_score

RESULTS = "results.json"


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found, as its `results.json` holds it.

    Attributes:
        directory: where `results.json`, `table.md` and `hypotheses/` lie.
        models: names, in the order of the table.
        scores: model by model, each language of each task, then the task's mean over languages.
        request: what was asked for: settings, models and data with their digests.
    """

    directory: Path
    models: tuple[str, ...]
    scores: tuple[Score, ...]
    request: Mapping[str, Any]

    def score(self, model: str, task: str, source_lang: str | None = None) -> Score:
        """One score; without a language the mean over languages, or that of the only language.

        Raises:
            KeyError: there is none.
        """
        found = [score for score in self.scores if score.model == model and score.task == task]
        exact = [score for score in found if score.source_lang == source_lang]
        if source_lang is None and len(found) == 1:
            return found[0]
        if not exact:
            raise KeyError((model, task, source_lang))
        return exact[0]

    def average_wer(self, model: str) -> float:
        """Plain mean of a model's word error rates over languages, in per cent."""
        return self.score(model, "transcribe").value

    def average_bleu(self, model: str) -> float:
        """Plain mean of a model's BLEU over languages."""
        return self.score(model, "translate").value


def read_evaluation(directory: Path) -> Evaluation:
    """Read the results that `evaluate` wrote to `directory`.

    Raises:
        LorsError: there are none, or another version wrote them.
    """
    path = Path(directory) / RESULTS
    record = read_json(path)
    try:
        scores = [read_score(entry) for entry in record["scores"]]
        models = tuple(model["name"] for model in record["request"]["models"])
        if any(METRICS[score.task] != score.metric for score in scores):
            raise KeyError
        return Evaluation(Path(directory), models, tuple(scores), record["request"])
    except (KeyError, TypeError):
        raise LorsError(
            f"{path}: not the results of an evaluation by this version; evaluate again."
        ) from None
