"""What a search minimises where languages and tasks are mixed: the mean relative change against the base model."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lors.base.errors import UsageError
from lors.speech import bootstrap
from lors.speech.bleu import bleu_statistics
from lors.speech.evaluation_results import Evaluation
from lors.speech.evaluation_scores import METRICS

RESAMPLES = 1000

# What a change is divided by at the least, for a base model that is next to perfect, or next to nothing.
LEAST = {"wer": 1.0, "bleu": 1.0, "loss": 1e-3}
NATS = 1_000_000
"""Nats are counted in millionths, whole, as the bootstrap adds up counts."""


@dataclass(frozen=True)
class CellCounts:
    """What one model's score on one pair of languages is computed from.

    Attributes:
        task, source_lang, target_lang: of the utterances.
        metric: "wer", "bleu" or "loss".
        counts: int64 [utterances, k]: errors and words; BLEU's ten; millionths of nats and labels.
    """

    task: str
    source_lang: str
    target_lang: str
    metric: str
    counts: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.source_lang}-{self.task}"

    @property
    def stratum(self) -> str:
        """As in an evaluation, so that the draws are the same."""
        return f"{self.task} {self.source_lang} {self.target_lang}"

    def value(self) -> float:
        return float(_SCORES[self.metric](self.counts.sum(axis=0, keepdims=True))[0])


@dataclass(frozen=True)
class Mean:
    """A mean over languages and tasks, of scores or of relative changes in per cent, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


def loss_of(sums: np.ndarray) -> np.ndarray:
    """Nats per label, float64 [n], of counts [n, 2]: millionths of nats, labels."""
    return sums[:, 0] / NATS / np.maximum(sums[:, 1], 1)


_SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {**bootstrap.SCORES, "loss": loss_of}


_Line = Mapping[str, str | int]


def decoded_lines(evaluation: Evaluation, model: str) -> dict[tuple[str, str, str], list[tuple[int, _Line]]]:
    """One model's kept hypotheses: (task, source, target language) → (place of the manifest, line) in their order."""
    rows: dict[tuple[str, str, str], list[tuple[int, _Line]]] = {}
    for place, data in enumerate(evaluation.request["data"]):
        path = evaluation.directory / "hypotheses" / model / f"{data['name']}.jsonl"
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            rows.setdefault((line["task"], line["source_lang"], line["target_lang"]), []).append(
                (place, line)
            )
    return dict(sorted(rows.items()))


def counts_of(key: tuple[str, str, str], lines: Sequence[_Line]) -> CellCounts:
    """The counts of lines of one (task, source, target language)."""
    return CellCounts(*key, METRICS[key[0]], _counts(key[0], lines))


def decoded_cells(evaluation: Evaluation, model: str) -> list[CellCounts]:
    """The counts behind one model's scores, each pair of languages of each task, from its kept hypotheses."""
    found = decoded_lines(evaluation, model)
    return [counts_of(key, [line for _, line in lines]) for key, lines in found.items()]


def mean_score(cells: Sequence[CellCounts], seed: int = 0) -> Mean:
    """The plain mean over cells of one task's scores, each cell's draws by itself, as in an evaluation."""
    draws = np.mean(
        [
            _SCORES[cell.metric](bootstrap.resampled_sums(cell.counts, RESAMPLES, seed, cell.stratum))
            for cell in cells
        ],
        axis=0,
    )
    interval = bootstrap.interval(draws)
    value = float(np.mean([cell.value() for cell in cells]))
    return Mean(value, interval.low, interval.high, sum(len(cell.counts) for cell in cells))


def relative_change(
    cells: Sequence[CellCounts], base: Sequence[CellCounts], weights: Mapping[str, float], seed: int = 0
) -> Mean:
    """Σ w·change / Σ w over the cells, in per cent: (WER − WER0)/WER0, (BLEU0 − BLEU)/BLEU0, (loss − loss0)/loss0.

    What is divided by is at least 1 for WER and BLEU, and 0.001 for a loss. The interval's draws are the same
    utterances for both models, drawn in each cell by itself.

    Args:
        cells: of the candidate.
        base: of the pretrained model, the same cells and utterances.
        weights: task → weight.
        seed: of the bootstrap.
    """
    total = sum(weights[cell.task] for cell in cells)
    value, draws = 0.0, np.zeros(RESAMPLES)
    for ours, theirs in zip(cells, base, strict=True):
        assert (ours.stratum, len(ours.counts)) == (theirs.stratum, len(theirs.counts))
        weight = weights[ours.task] / total
        value += weight * float(
            _change(ours.metric, *(c.counts.sum(0, keepdims=True) for c in (ours, theirs)))[0]
        )
        sums = (bootstrap.resampled_sums(c.counts, RESAMPLES, seed, ours.stratum) for c in (ours, theirs))
        draws += weight * _change(ours.metric, *sums)
    interval = bootstrap.interval(draws)
    return Mean(value, interval.low, interval.high, sum(len(cell.counts) for cell in cells))


def check_weights(weights: Mapping[str, float], tasks: Sequence[str]) -> dict[str, float]:
    """Task → weight, 1 where nothing is said.

    Raises:
        UsageError: an unknown task, one that the data lack, or a weight that is not above 0.
    """
    for task, weight in weights.items():
        if task not in METRICS:
            raise UsageError(f"--weigh {task}: expected {' or '.join(METRICS)}, as translate=2.")
        if task not in tasks:
            raise UsageError(f"--weigh {task}: the development data hold nothing of this task.")
        if not 0 < weight < float("inf"):
            raise UsageError(f"--weigh {task}={weight:g}: expected a number above 0.")
    return {task: float(weights.get(task, 1.0)) for task in tasks}


def _change(metric: str, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    mine, base = _SCORES[metric](ours), _SCORES[metric](theirs)
    sign = -1.0 if metric == "bleu" else 1.0
    return 100.0 * sign * (mine - base) / np.maximum(base, LEAST[metric])


def _counts(task: str, lines: Sequence[Mapping[str, str | int]]) -> np.ndarray:
    if METRICS[task] == "bleu":
        return bleu_statistics([str(x["reference"]) for x in lines], [str(x["hypothesis"]) for x in lines])
    wrong = ("substitutions", "deletions", "insertions")
    return np.asarray([(sum(int(x[kind]) for kind in wrong), int(x["words"])) for x in lines], dtype=np.int64)
