"""One candidate of a search, measured; and all that a search found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HIGHER_IS_BETTER = ("bleu",)

AGAINST = {"pretrained": "the pretrained model", "experts": "the expert trained on each language and task"}
"""What changes can be relative to, in words."""

DIFFER = "where two differ"
"""The look at clips in which two of the short list made different mistakes."""


@dataclass(frozen=True)
class Trial:
    """One candidate, decoded or measured by its loss.

    Attributes:
        values: key → value, of what is tried; empty for the pretrained model.
        look: "loss" (teacher-forced, no decoding), "greedy", `DIFFER` or "beam".
        beam_size: of the decoder; 0 for the loss.
        metric: "wer" (per cent, the lower the better), "bleu" (0 to 100, the higher the better), or what the loss
            and data of both tasks are measured by: "relative", the mean over languages and tasks of the change
            (of loss, WER or BLEU), in per cent, the lower the better.
        value: the mean over languages (and tasks).
        low, high: its 95 % bootstrap interval over utterances; for "relative" the draws are paired.
        n: utterances that were measured.
        loops: hypotheses that looped.
        signature: metric, normaliser, model, data and decoder.
        cells: language and task, as "es-translate" → WER, BLEU, or nats per label.
        retention: relative change on the held-out languages in per cent, above 0 where they got worse; None
            where none are held out, or where it was not measured.
        retention_low, retention_high: its 95 % interval.
        against: what changes are relative to, a key of `AGAINST`.
    """

    values: Mapping[str, Any]
    look: str
    beam_size: int
    metric: str
    value: float
    low: float
    high: float
    n: int
    loops: int
    signature: str
    cells: Mapping[str, float] = field(default_factory=dict)
    retention: float | None = None
    retention_low: float | None = None
    retention_high: float | None = None
    against: str = "pretrained"

    @property
    def cost(self) -> float:
        """The lower the better."""
        return -self.value if self.metric in HIGHER_IS_BETTER else self.value

    def as_good_as(self, best: "Trial") -> bool:
        """Whether it lies within the interval of the best one."""
        return self.value >= best.low if self.metric in HIGHER_IS_BETTER else self.value <= best.high


@dataclass(frozen=True)
class Tuning:
    """What a search found; all of it also stands in `tuning.json`.

    Attributes:
        directory: with `recipe.yaml`, `trials.md`, `curve.png` and `tuning.json`.
        best: the trial that won, at the full beam.
        as_good: of the trials at the full beam, the values of those that lie within the best one's interval.
        pretrained: the base model at the full beam.
        trials: all, the first look before the full beam.
        refused: of the trials at the full beam, the values of those that lost too much on held-out languages.
        seconds: "merging", "losses", "decoding" and "all", of every run of this search together.
    """

    directory: Path
    best: Trial
    as_good: tuple[Mapping[str, Any], ...]
    pretrained: Trial
    trials: tuple[Trial, ...]
    refused: tuple[Mapping[str, Any], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
