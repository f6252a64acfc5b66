"""Candidates of one search as trials: each measured against the reference, one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lors.base.progress import progress, say
from lors.speech.evaluation import Evaluation, read_evaluation
from lors.study.tuning.halving import halved
from lors.study.tuning.loss import BLOCK
from lors.study.tuning.measurements import MODEL, PRETRAINED, Measurements
from lors.study.tuning.objective import CellCounts, Mean, decoded_cells, mean_score, relative_change
from lors.study.tuning.reference import Reference
from lors.study.tuning.report import unit, with_interval
from lors.study.tuning.second_look import differing, put_in, write_differing
from lors.study.tuning.space import Candidate
from lors.study.tuning.trial import DIFFER, Trial


class Search:
    """Makes trials of candidates."""

    def __init__(
        self,
        measurements: Measurements,
        reference: Reference,
        weights: Mapping[str, float],
        *,
        beam_size: int,
        relative: bool,
        pretrained: Path,
        retain: Sequence[Path],
    ) -> None:
        """Nothing is read or computed yet.

        Args:
            measurements: of the search.
            reference: what changes are relative to.
            weights: task → weight, of every task of the data.
            beam_size: of the full beam.
            relative: changes are minimised, not plain scores of one task.
            pretrained: folder of the base model's evaluation.
            retain: manifests of held-out languages.
        """
        self._measurements, self._reference, self._weights = measurements, reference, dict(weights)
        self._beam_size, self._relative = beam_size, relative
        self._pretrained, self._retain = pretrained, list(retain)

    def losses(self, candidates: Sequence[Candidate], short_list: int) -> list[Trial]:
        """A trial of each by its loss, the less promising on fewer clips (successive halving).

        Args:
            candidates: those that share a sum of task vectors next to one another.
            short_list: how many are wanted in the end; twice as many are measured on all clips.
        """
        dev_loss = self._measurements.dev_loss
        with progress("Measuring losses", len(candidates), "candidates") as advance:

            def measure(place: int, clips: int) -> float:
                return self._loss(candidates[place], clips).value

            least = 2 * dev_loss.cells
            clips = halved(len(candidates), len(dev_loss), least, 2 * short_list, BLOCK, measure, advance)
        return [self._loss(candidate, count) for candidate, count in zip(candidates, clips, strict=True)]

    def loss(self, candidate: Candidate) -> Trial:
        """The candidate's trial by its loss on all clips."""
        return self._loss(candidate, len(self._measurements.dev_loss))

    def look_again(self, candidates: Sequence[Candidate], decoded: Sequence[Candidate]) -> list[Trial]:
        """A trial of each at the full beam, on the clips in which two of the short list made different mistakes.

        On all other clips it is counted as the first of the two.

        Args:
            candidates: that are not decoded yet.
            decoded: two of the short list; where they made the same mistakes, there is nothing to look at.
        """
        measured = self._measurements
        first, second = (read_evaluation(self._folder(one, self._beam_size)) for one in decoded)
        found = differing(first, second, MODEL)
        if not found.n:
            return []
        cells = decoded_cells(first, MODEL)
        parts = measured.out / "trials" / "where-two-differ"
        data = write_differing(found, measured.dev, parts)
        trials = []
        for candidate in candidates:
            folder = parts / candidate.file_name
            measured.decode_merged(candidate, {folder: data}, self._beam_size)
            whole = put_in(cells, decoded_cells(read_evaluation(folder), MODEL), found)
            trials.append(self._where_two_differ(candidate, whole, found.n, decoded))
            _tell(candidate.name, trials[-1])
        return trials

    def _folder(self, candidate: Candidate, beam_size: int) -> Path:
        return self._measurements.out / "trials" / f"beam-{beam_size}" / candidate.file_name

    def decode(self, candidate: Candidate, beam_size: int) -> Trial:
        """The candidate's score: what an earlier run has left, or else merged and decoded now."""
        trials = self._measurements.out / "trials"
        folder = self._folder(candidate, beam_size)
        held_out = trials / f"retain-beam-{beam_size}" / candidate.file_name
        with_retention = bool(self._retain) and beam_size == self._beam_size
        data = {folder: self._measurements.dev, **({held_out: self._retain} if with_retention else {})}
        self._measurements.decode_merged(candidate, data, beam_size)
        trial = self._of_decoded(candidate.values, read_evaluation(folder), MODEL, beam_size)
        if with_retention:
            kept = self._retention(held_out)
            trial = replace(trial, retention=kept.value, retention_low=kept.low, retention_high=kept.high)
        _tell(candidate.name, trial)
        return trial

    def pretrained(self) -> Trial:
        """The base model's score at the full beam."""
        measured = self._measurements
        found = measured.decode_base(measured.dev, self._pretrained, self._beam_size)
        trial = self._of_decoded({}, found, PRETRAINED, self._beam_size)
        _tell(PRETRAINED, trial)
        return trial

    def _of_decoded(self, values: Mapping[str, Any], found: Evaluation, model: str, beam_size: int) -> Trial:
        cells = {f"{s.source_lang}-{s.task}": s.value for s in found.scores if s.source_lang}
        look = "greedy" if beam_size == 1 else "beam"
        if not self._relative:
            (task,) = self._weights
            score = found.score(model, task)
            signatures = [score.signature, *_of_languages(found, task)]
            numbers = (score.metric, score.value, score.low, score.high, score.n, score.loops)
        else:
            ours = decoded_cells(found, model)
            change = self._change(ours)
            scores = [score for score in found.scores if score.source_lang]
            first = f"{self._reference.change}, {_weighed(self._weights)}"
            signatures = [first, *(score.signature for score in scores)]
            loops = sum(score.loops for score in scores)
            numbers = ("relative", change.value, change.low, change.high, change.n, loops)
        metric, value, low, high, n, loops = numbers
        return Trial(
            dict(values), look, beam_size, metric, value, low, high, n, loops, "; ".join(signatures), cells,
            against=self._reference.name,
        )  # fmt: skip

    def _change(self, cells: Sequence[CellCounts]) -> Mean:
        return relative_change(cells, self._reference.cells, self._weights, self._measurements.seed)

    def _where_two_differ(
        self, candidate: Candidate, cells: Sequence[CellCounts], clips: int, decoded: Sequence[Candidate]
    ) -> Trial:
        mean = self._change(cells) if self._relative else mean_score(cells, self._measurements.seed)
        one, other = (candidate.name for candidate in decoded)
        return Trial(
            dict(candidate.values), DIFFER, self._beam_size,
            "relative" if self._relative else cells[0].metric, mean.value, mean.low, mean.high, clips, 0,
            f"decoded where {one} and {other} differ, else as {one}", {cell.name: cell.value() for cell in cells},
            against=self._reference.name,
        )  # fmt: skip

    def _retention(self, folder: Path) -> Mean:
        measured = self._measurements
        base = measured.decode_base(self._retain, measured.out / "pretrained-retain", self._beam_size)
        ours = decoded_cells(read_evaluation(folder), MODEL)
        equal = {cell.task: 1.0 for cell in ours}
        return relative_change(ours, decoded_cells(base, PRETRAINED), equal, measured.seed)

    def _loss(self, candidate: Candidate, clips: int) -> Trial:
        measured, dev_loss = self._measurements, self._measurements.dev_loss
        base = self._reference.losses
        cells = dev_loss.by_cell(measured.losses(candidate, clips))
        theirs = dev_loss.by_cell(base.first(clips))
        change = relative_change(cells, theirs, self._weights, measured.seed)
        signature = f"{self._reference.change} of the loss, {_weighed(self._weights)}|{dev_loss.signature}"
        return Trial(
            dict(candidate.values), "loss", 0, "relative", change.value, change.low, change.high, change.n, 0,
            signature, {cell.name: cell.value() for cell in cells}, against=self._reference.name,
        )  # fmt: skip


def _tell(name: str, trial: Trial) -> None:
    beam = "" if trial.look == "loss" else f", beam {trial.beam_size}"
    beam += f", {trial.n} clips {DIFFER}" * (trial.look == DIFFER)
    kept = "" if trial.retention is None else f", held out {trial.retention:+.1f} %"
    say(f"{name}: {unit(trial)} {with_interval(trial)}{kept}{beam}")


def _weighed(weights: Mapping[str, float]) -> str:
    return "weights " + ", ".join(f"{task} {weight:g}" for task, weight in sorted(weights.items()))


def _of_languages(evaluation: Evaluation, task: str) -> list[str]:
    """The signatures behind a mean over languages; none where the score is one language's own."""
    found = [score.signature for score in evaluation.scores if score.task == task and score.source_lang]
    return found if len(found) > 1 else []
