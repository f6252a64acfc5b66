"""What changes are relative to: the base model, or each language and task's own expert."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from lors.speech.evaluation import read_evaluation
from lors.study.tuning.expert_data import Own
from lors.study.tuning.loss import ClipLosses
from lors.study.tuning.measurements import MODEL, PRETRAINED, Measurements
from lors.study.tuning.objective import CellCounts, decoded_cells
from lors.study.tuning.space import Candidate, make_candidate


class Reference:
    """Scores and losses that a candidate's are compared with; each is made once."""

    def __init__(
        self, measurements: Measurements, owns: Sequence[Own], pretrained: Path, beam_size: int
    ) -> None:
        """Nothing is read or computed yet.

        Args:
            measurements: of the search.
            owns: each expert's own data; none where changes are relative to the base.
            pretrained: folder of the base model's evaluation.
            beam_size: of the full beam.
        """
        self._measurements, self._owns = measurements, list(owns)
        self._pretrained, self._beam_size = pretrained, beam_size

    @property
    def name(self) -> str:
        """A key of `AGAINST`."""
        return "experts" if self._owns else "pretrained"

    @property
    def change(self) -> str:
        """What a change is called in a signature."""
        return f"relative change to {self.name}" if self._owns else "relative change"

    @cached_property
    def cells(self) -> list[CellCounts]:
        """Decoded at the full beam: the counts of each language and task."""
        measured = self._measurements
        if not self._owns:
            base = measured.decode_base(measured.dev, self._pretrained, self._beam_size)
            return decoded_cells(base, PRETRAINED)
        cells: list[CellCounts] = []
        for expert, own in zip(self._experts, self._owns, strict=True):
            folder = measured.out / "experts" / expert.name
            measured.decode_merged(expert, {folder: own.manifests}, self._beam_size)
            cells += decoded_cells(read_evaluation(folder), MODEL)
        return sorted(cells, key=lambda cell: (cell.task, cell.source_lang, cell.target_lang))

    @cached_property
    def losses(self) -> ClipLosses:
        """Of every clip."""
        measured = self._measurements
        clips = len(measured.dev_loss)
        if not self._owns:
            return measured.losses(None, clips)
        owners = {group: place for place, own in enumerate(self._owns) for group in own.groups}
        found = [measured.losses(expert, clips) for expert in self._experts]
        of_clips = [owners[group] for group in measured.dev_loss.groups]
        nats = tuple(found[owner].nats[clip] for clip, owner in enumerate(of_clips))
        return ClipLosses(nats, found[0].labels)

    @cached_property
    def _experts(self) -> list[Candidate]:
        """Each by itself; merged at λ = 1, which serves adapters too."""
        plan, alone = self._measurements.plan, []
        for number, expert in enumerate(plan.experts, start=1):
            content = {"base": str(plan.base.directory), "experts": [str(expert.directory)]}
            recipe = make_candidate({**content, "method": "task-arithmetic", "scale": 1.0}, {}).recipe
            alone.append(Candidate({"expert": f"{number}-{expert.directory.name}"}, recipe))
        return alone
