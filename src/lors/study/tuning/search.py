"""Candidates of one search: merged in memory or on disk, measured, and remembered one by one."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lors.base.files import read_json, write_json
from lors.base.progress import progress, say
from lors.checkpoints.read import open_checkpoint
from lors.merging.engine import TaskSum, merge
from lors.merging.plan import Plan
from lors.speech.evaluation import Evaluation, evaluate, read_evaluation
from lors.study.tuning.expert_data import Own
from lors.study.tuning.halving import halved
from lors.study.tuning.loss import BLOCK, ClipLosses, DevLoss
from lors.study.tuning.objective import CellCounts, Relative, decoded_cells, relative_change
from lors.study.tuning.report import unit, with_interval
from lors.study.tuning.space import Candidate, make_candidate
from lors.study.tuning.sums import KeptSums
from lors.study.tuning.trial import Trial

_MODEL, _PRETRAINED = "model", "pretrained"


class Search:
    """Measures candidates; asked again, it reads what `out` holds."""

    def __init__(
        self,
        out: Path,
        plan: Plan,
        dev: Sequence[Path],
        weights: Mapping[str, float],
        *,
        decoding: Mapping[str, Any],
        beam_size: int,
        pretrained: Path | None,
        retain: Sequence[Path],
        rank_ratios: Sequence[float],
        seed: int,
        relative_to: str | None = None,
        owns: Sequence[Own] = (),
    ) -> None:
        """Nothing is read or computed yet.

        Args:
            out: where trials are kept.
            plan: of any candidate, for the base.
            dev: manifests.
            weights: task → weight, of every task of the data.
            decoding: window, quantization and limit, as `evaluate` takes them.
            beam_size: of the full beam.
            pretrained: folder of the base model's evaluation; None for one in `out`.
            retain: manifests of held-out languages.
            rank_ratios: of all candidates; decompositions of the largest serve the others.
            seed: of the clips' order and the bootstrap.
            relative_to: "pretrained" or "experts"; None for plain scores of one task.
            owns: each expert's own data, with "experts".
        """
        self._out, self._plan, self._dev, self._weights = out, plan, list(dev), dict(weights)
        self._decoding, self._beam_size, self._seed = dict(decoding), beam_size, seed
        self._pretrained_folder = pretrained or out / _PRETRAINED
        self._retain = list(retain)
        self._relative = relative_to is not None or len(weights) > 1
        self._against, self._owns = relative_to or _PRETRAINED, list(owns)
        self._sums = KeptSums(plan, rank_ratios)
        self.seconds = {"merging": 0.0, "losses": 0.0, "decoding": 0.0}
        self._dev_loss: DevLoss | None = None

    def losses(self, candidates: Sequence[Candidate], short_list: int) -> list[Trial]:
        """A trial of each by its loss, the less promising on fewer clips (successive halving).

        Args:
            candidates: those that share a sum of task vectors next to one another.
            short_list: how many are wanted in the end; twice as many are measured on all clips.
        """
        dev_loss = self._loaded()
        with progress("Measuring losses", len(candidates), "candidates") as advance:

            def measure(place: int, clips: int) -> float:
                return self._loss(candidates[place], clips).value

            least = 2 * dev_loss.cells
            clips = halved(len(candidates), len(dev_loss), least, 2 * short_list, BLOCK, measure, advance)
        return [self._loss(candidate, count) for candidate, count in zip(candidates, clips, strict=True)]

    def loss(self, candidate: Candidate) -> Trial:
        """The candidate's trial by its loss on all clips."""
        return self._loss(candidate, len(self._loaded()))

    def decode(self, candidate: Candidate, beam_size: int) -> Trial:
        """The candidate's score: what an earlier run has left, or else merged and decoded now."""
        name = candidate.name.replace(" ", "_")
        folder = self._out / "trials" / f"beam-{beam_size}" / name
        held_out = self._out / "trials" / f"retain-beam-{beam_size}" / name
        with_retention = bool(self._retain) and beam_size == self._beam_size
        merged = self._out / "candidate"
        done = [folder] + [held_out] * with_retention
        if not all((path / "results.json").is_file() for path in done):
            known = self._sum(candidate)
            with self._timed("merging"), self._sums.factors():
                merge(candidate.recipe, merged, overwrite=True, known_sum=known)
            self._evaluate(merged, _MODEL, self._dev, folder, beam_size)
            if with_retention:
                self._evaluate(merged, _MODEL, self._retain, held_out, beam_size)
            shutil.rmtree(merged)
        trial = self._of_decoded(candidate.values, read_evaluation(folder), _MODEL, beam_size)
        if with_retention:
            kept = self._retention(held_out)
            trial = replace(trial, retention=kept.value, retention_low=kept.low, retention_high=kept.high)
        _tell(candidate.name, trial)
        return trial

    def pretrained(self) -> Trial:
        """The base model's score at the full beam."""
        trial = self._of_decoded({}, self._base_decoded(), _PRETRAINED, self._beam_size)
        _tell(_PRETRAINED, trial)
        return trial

    def _base_decoded(self) -> Evaluation:
        base = self._plan.base.directory
        return self._evaluate(base, _PRETRAINED, self._dev, self._pretrained_folder, self._beam_size)

    def _evaluate(
        self, model: Path, name: str, data: Sequence[Path], folder: Path, beam_size: int
    ) -> Evaluation:
        with self._timed("decoding"):
            return evaluate(
                [model],
                data,
                folder,
                names={model: name},
                beam_size=beam_size,
                seed=self._seed,
                reuse=True,
                **self._decoding,
            )

    def _of_decoded(self, values: Mapping[str, Any], found: Evaluation, model: str, beam_size: int) -> Trial:
        cells = {f"{s.source_lang}-{s.task}": s.value for s in found.scores if s.source_lang}
        look = "greedy" if beam_size == 1 else "beam"
        if not self._relative:
            (task,) = self._weights
            score = found.score(model, task)
            signatures = [score.signature, *_of_languages(found, task)]
            numbers = (score.metric, score.value, score.low, score.high, score.n, score.loops)
        else:
            change = relative_change(
                decoded_cells(found, model), self._reference(), self._weights, self._seed
            )
            scores = [score for score in found.scores if score.source_lang]
            signatures = [f"{self._change}, {_weighed(self._weights)}", *(s.signature for s in scores)]
            loops = sum(score.loops for score in scores)
            numbers = ("relative", change.value, change.low, change.high, change.n, loops)
        metric, value, low, high, n, loops = numbers
        return Trial(
            dict(values), look, beam_size, metric, value, low, high, n, loops, "; ".join(signatures), cells,
            against=self._against,
        )  # fmt: skip

    @property
    def _change(self) -> str:
        return "relative change" if self._against == _PRETRAINED else f"relative change to {self._against}"

    def _reference(self) -> list[CellCounts]:
        """What a decoded candidate is compared with, in each language and task."""
        if self._against == _PRETRAINED:
            return decoded_cells(self._base_decoded(), _PRETRAINED)
        cells = []
        for expert, own in self._alone():
            folder = self._out / "experts" / expert.name
            if not (folder / "results.json").is_file():
                merged = self._out / "candidate"
                with self._timed("merging"):
                    merge(expert.recipe, merged, overwrite=True)
                self._evaluate(merged, _MODEL, own.manifests, folder, self._beam_size)
                shutil.rmtree(merged)
            cells += decoded_cells(read_evaluation(folder), _MODEL)
        return sorted(cells, key=lambda cell: (cell.task, cell.source_lang, cell.target_lang))

    def _reference_losses(self) -> ClipLosses:
        """What a candidate's losses are compared with, clip by clip."""
        clips = len(self._loaded())
        if self._against == _PRETRAINED:
            return self._clip_losses(None, clips)
        alone = self._alone()
        owners = {group: place for place, (_, own) in enumerate(alone) for group in own.groups}
        found = [self._clip_losses(expert, clips) for expert, _ in alone]
        of_clips = [owners[group] for group in self._loaded().groups]
        nats = tuple(found[owner].nats[clip] for clip, owner in enumerate(of_clips))
        return ClipLosses(nats, found[0].labels)

    def _alone(self) -> list[tuple[Candidate, Own]]:
        """Each expert by itself, with its own data; merged at λ = 1, which serves adapters too."""
        alone = []
        for number, (expert, own) in enumerate(zip(self._plan.experts, self._owns, strict=True), start=1):
            content = {"base": str(self._plan.base.directory), "experts": [str(expert.directory)]}
            recipe = {**content, "method": "task-arithmetic", "scale": 1.0}
            named = {"expert": f"{number}-{expert.directory.name}"}
            alone.append((Candidate(named, make_candidate(recipe, {}).recipe), own))
        return alone

    def _retention(self, folder: Path) -> Relative:
        base = self._evaluate(
            self._plan.base.directory,
            _PRETRAINED,
            self._retain,
            self._out / "pretrained-retain",
            self._beam_size,
        )
        ours = decoded_cells(read_evaluation(folder), _MODEL)
        equal = {cell.task: 1.0 for cell in ours}
        return relative_change(ours, decoded_cells(base, _PRETRAINED), equal, self._seed)

    def _loss(self, candidate: Candidate, clips: int) -> Trial:
        dev_loss = self._loaded()
        base = self._reference_losses()
        found = self._clip_losses(candidate, clips)
        theirs = ClipLosses(base.nats[: len(found)], base.labels[: len(found)])
        cells = dev_loss.by_cell(found)
        change = relative_change(cells, dev_loss.by_cell(theirs), self._weights, self._seed)
        signature = f"{self._change} of the loss, {_weighed(self._weights)}|{dev_loss.signature}"
        return Trial(
            dict(candidate.values), "loss", 0, "relative", change.value, change.low, change.high, change.n, 0,
            signature, {cell.name: cell.value() for cell in cells}, against=self._against,
        )  # fmt: skip

    def _clip_losses(self, candidate: Candidate | None, clips: int) -> ClipLosses:
        """Of the candidate, or of the base: of at least the first `clips`, remembered."""
        dev_loss = self._loaded()
        name = _PRETRAINED if candidate is None else candidate.name.replace(" ", "_")
        path = self._out / "trials" / "loss-of-text" / f"{name}.json"
        known = ClipLosses()
        if path.is_file():
            known = ClipLosses(**{key: tuple(found) for key, found in read_json(path).items()})
        if len(known) < clips:
            if candidate is not None:
                self._load(candidate)
            else:
                base = self._plan.base
                dev_loss.load({name: base.read(name) for name in base.tensors})
            with self._timed("losses"):
                known = dev_loss.measured(clips, known)
            write_json(path, asdict(known))
        if candidate is not None:
            return ClipLosses(known.nats[:clips], known.labels[:clips])
        return known

    def _load(self, candidate: Candidate) -> None:
        """Give the model in memory the values that `merge` writes."""
        dev_loss = self._loaded()
        if (known := self._sum(candidate)) is not None:
            assert candidate.recipe.scale is not None
            with self._timed("merging"):
                parameters = dev_loss.parameters(task.name for task in known.plan.tasks)
                known.write(candidate.recipe.scale, parameters)
            return
        merged = self._out / "candidate"
        with self._timed("merging"), self._sums.factors():
            merge(candidate.recipe, merged, overwrite=True)
            checkpoint = open_checkpoint(merged)
            dev_loss.load({name: checkpoint.read(name) for name in checkpoint.tensors})
        del checkpoint
        shutil.rmtree(merged)

    def _sum(self, candidate: Candidate) -> TaskSum | None:
        if not candidate.recipe.takes("scale"):
            return None
        with self._timed("merging"):
            return self._sums.of(candidate)

    @contextmanager
    def _timed(self, kind: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[kind] += time.monotonic() - start

    def _loaded(self) -> DevLoss:
        if self._dev_loss is None:
            window, limit = self._decoding["window"], self._decoding["limit"]
            self._dev_loss = DevLoss(self._plan.base, self._dev, window, limit, self._seed)
        return self._dev_loss


def _tell(name: str, trial: Trial) -> None:
    beam = "" if trial.look == "loss" else f", beam {trial.beam_size}"
    kept = "" if trial.retention is None else f", held out {trial.retention:+.1f} %"
    say(f"{name}: {unit(trial)} {with_interval(trial)}{kept}{beam}")


def _weighed(weights: Mapping[str, float]) -> str:
    return "weights " + ", ".join(f"{task} {weight:g}" for task, weight in sorted(weights.items()))


def _of_languages(evaluation: Evaluation, task: str) -> list[str]:
    """The signatures behind a mean over languages; none where the score is one language's own."""
    found = [score.signature for score in evaluation.scores if score.task == task and score.source_lang]
    return found if len(found) > 1 else []
