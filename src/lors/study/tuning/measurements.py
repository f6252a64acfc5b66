"""Models of one search, merged in memory or on disk, decoded or measured by their loss, and remembered."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from lors.base.files import read_json, write_json
from lors.checkpoints.read import open_checkpoint
from lors.merging.engine import TaskSum, merge
from lors.merging.plan import Plan
from lors.speech.evaluation import Evaluation, evaluate
from lors.study.tuning.loss import ClipLosses, DevLoss
from lors.study.tuning.space import Candidate
from lors.study.tuning.sums import KeptSums

MODEL, PRETRAINED = "model", "pretrained"


class Measurements:
    """What candidates, experts and the base score; asked again, it reads what `out` holds."""

    def __init__(
        self,
        out: Path,
        plan: Plan,
        dev: Sequence[Path],
        *,
        decoding: Mapping[str, Any],
        rank_ratios: Sequence[float],
        seed: int,
    ) -> None:
        """Nothing is read or computed yet.

        Args:
            out: where measurements are kept.
            plan: of any candidate, for the base.
            dev: manifests.
            decoding: window, quantization and limit, as `evaluate` takes them.
            rank_ratios: of all candidates; decompositions of the largest serve the others.
            seed: of the clips' order and the bootstrap.
        """
        self.out, self.plan, self.dev, self.seed = out, plan, list(dev), seed
        self.seconds = {"merging": 0.0, "losses": 0.0, "decoding": 0.0}
        self._decoding = dict(decoding)
        self._sums = KeptSums(plan, rank_ratios)

    @cached_property
    def dev_loss(self) -> DevLoss:
        """A model in memory, and the features of all clips."""
        window, limit = self._decoding["window"], self._decoding["limit"]
        return DevLoss(self.plan.base, self.dev, window, limit, self.seed)

    def _decode(
        self, model: Path, name: str, data: Sequence[Path], folder: Path, beam_size: int
    ) -> Evaluation:
        """The evaluation in `folder`, made where it is not there."""
        with self._timed("decoding"):
            return evaluate(
                [model],
                data,
                folder,
                names={model: name},
                beam_size=beam_size,
                seed=self.seed,
                reuse=True,
                **self._decoding,
            )

    def decode_base(self, data: Sequence[Path], folder: Path, beam_size: int) -> Evaluation:
        """The base model's evaluation in `folder`, made where it is not there."""
        return self._decode(self.plan.base.directory, PRETRAINED, data, folder, beam_size)

    def decode_merged(
        self, candidate: Candidate, data: Mapping[Path, Sequence[Path]], beam_size: int
    ) -> None:
        """Make the evaluations that are not there: of each folder's manifests, by the candidate."""
        if not all((folder / "results.json").is_file() for folder in data):
            with self._merged(candidate) as model:
                for folder, manifests in data.items():
                    self._decode(model, MODEL, manifests, folder, beam_size)

    @contextmanager
    def _merged(self, candidate: Candidate) -> Iterator[Path]:
        """The folder of the candidate's checkpoint, for as long as it is needed."""
        folder = self.out / "candidate"
        known = self._sum(candidate)
        with self._timed("merging"), self._sums.factors():
            merge(candidate.recipe, folder, overwrite=True, known_sum=known)
        yield folder
        shutil.rmtree(folder)

    def losses(self, candidate: Candidate | None, clips: int) -> ClipLosses:
        """Of the first `clips` of the search's order, by the candidate, or by the base (None)."""
        name = PRETRAINED if candidate is None else candidate.file_name
        path = self.out / "trials" / "loss-of-text" / f"{name}.json"
        known = ClipLosses()
        if path.is_file():
            known = ClipLosses(**{key: tuple(found) for key, found in read_json(path).items()})
        if len(known) < clips:
            self._load(candidate)
            with self._timed("losses"):
                known = self.dev_loss.measured(clips, known)
            write_json(path, asdict(known))
        return known.first(clips)

    def _load(self, candidate: Candidate | None) -> None:
        """Give the model in memory the values that `merge` writes, or the base's."""
        if candidate is None:
            base = self.plan.base
            self.dev_loss.load({name: base.read(name) for name in base.tensors})
        elif (known := self._sum(candidate)) is not None:
            assert candidate.recipe.scale is not None
            with self._timed("merging"):
                parameters = self.dev_loss.parameters(task.name for task in known.plan.tasks)
                known.write(candidate.recipe.scale, parameters)
        else:
            with self._merged(candidate) as folder, self._timed("merging"):
                checkpoint = open_checkpoint(folder)
                self.dev_loss.load({name: checkpoint.read(name) for name in checkpoint.tensors})
                del checkpoint

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
