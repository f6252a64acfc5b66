"""What a study found: rows of scores, as tables, figures and the report read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SETTINGS = (
    "pretrained",
    "finetuned",
    "multilingual-training",
    "multitask-training",
    "joint-training",
    "multilingual-merging",
    "multitask-merging",
    "joint-merging",
    "multitask-training-multilingual-merging",
    "multilingual-training-multitask-merging",
)
"""The paper's settings (section 5.3): what is trained together, and what is merged."""

ANALYSES = ("main", "number-of-languages", "training-hours", "redundancy")
"""What a row belongs to: the tables, or Figures 3, 4 and 5."""


@dataclass(frozen=True)
class CellScore:
    """One language and task of one row.

    Attributes:
        metric: "wer" (per cent) or "bleu" (0 to 100).
        value: the score.
        low, high: its 95 % bootstrap interval over utterances.
        n: utterances.
        loops: hypotheses that looped and were decoded again.
        signature: metric, normaliser, model, data and decoder.
        evaluation: the folder that `lors.speech.evaluation.read_evaluation` reads; its only model is "model".
        seconds: of decoding.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    loops: int
    signature: str
    evaluation: Path
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RowLabels:
    """Which system of the study a row is.

    Attributes:
        language_set: name of the set of languages that it belongs to.
        setting: one of `SETTINGS`.
        method: of merging; None where nothing is merged.
        languages: what its models were trained on; all of the set, but for the number-of-languages analysis.
        hours: of training data for each language and task; None for all that there is.
        seed: of training.
        ratio: the rank ratio (method "svp") or keep ratio (method "mp") of the redundancy analysis, where each
            expert's own task vector is pruned and added alone, with λ = 1.
        analysis: one of `ANALYSES`.
    """

    language_set: str
    setting: str
    method: str | None = None
    languages: tuple[str, ...]
    hours: float | None = None
    seed: int = 0
    ratio: float | None = None
    analysis: str = "main"


@dataclass(frozen=True, kw_only=True)
class Row(RowLabels):
    """One system of the study: a line of a table, or a point of a figure.

    Attributes:
        cells: (language, task) → score; a cell whose job failed is missing. Languages of the study's `held_out`
            stand here too.
        chosen: name of the model ("es-transcribe", "transcribe" where it serves one task, "es" one language, "all") →
            key → value: of a merge, what the search on development data chose: {"transcribe": {"scale": 0.4}}; of a
            training its learning rate.
    """

    cells: Mapping[tuple[str, str], CellScore] = field(default_factory=dict)
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class JobCost:
    """What one job cost.

    Attributes:
        name: "finetune es-transcribe".
        kind: "subset", "finetune", "tune", "merge" or "evaluate".
        seconds: how long it took, since it was last interrupted.
        processor_seconds: of all threads.
        machine: where it ran.
        energy: joules of the processors, where the machine tells them; else None.
    """

    name: str
    kind: str
    seconds: float
    processor_seconds: float
    machine: str
    energy: float | None = None


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """All of it.

    Attributes:
        name: the study's.
        base: the pretrained model.
        language_sets: name → languages; the tables of the first set are numbered 1 to 4 and 11, of the second 7 to 10.
        tasks: "transcribe", "translate", or both.
        methods: of merging, in the order of the study file.
        held_out: languages that no model was trained on, decoded for retention.
        rows: of every finished system.
        costs: of every job.
        failures: name of a job → why it failed, in one sentence.
        signature: settings, versions, hashes of base and data.
    """

    name: str
    base: str
    language_sets: Mapping[str, tuple[str, ...]]
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    costs: tuple[JobCost, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    signature: str = ""

    def languages(self) -> tuple[str, ...]:
        """All languages of all sets, each once."""
        return tuple(dict.fromkeys(one for languages in self.language_sets.values() for one in languages))
