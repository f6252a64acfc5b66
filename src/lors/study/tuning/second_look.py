"""A second look at candidates: only the clips that tell two of them apart, by their mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lors.speech.evaluation_results import Evaluation
from lors.speech.manifest import read_manifest, write_manifest
from lors.study.tuning.objective import CellCounts, counts_of, decoded_lines


@dataclass(frozen=True)
class Differing:
    """The utterances in which two models that decoded the same data made different mistakes.

    Attributes:
        rows: `CellCounts.stratum` → bool [utterances], of those of `objective.decoded_cells`.
        utterances: for each manifest (id, task, source language, target language).
    """

    rows: Mapping[str, np.ndarray]
    utterances: Sequence[frozenset[tuple[str, ...]]]

    @property
    def n(self) -> int:
        return sum(int(rows.sum()) for rows in self.rows.values())


def differing(first: Evaluation, second: Evaluation, model: str) -> Differing:
    """The utterances of two evaluations of `model` whose word errors, or n-grams found by BLEU, are not the same."""
    rows: dict[str, np.ndarray] = {}
    utterances: list[set[tuple[str, ...]]] = [set() for _ in first.request["data"]]
    theirs = decoded_lines(second, model)
    for key, ours in decoded_lines(first, model).items():
        counts = [counts_of(key, [line for _, line in lines]) for lines in (ours, theirs[key])]
        rows[counts[0].stratum] = unlike = (counts[0].counts != counts[1].counts).any(axis=1)
        for (manifest, line), differs in zip(ours, unlike, strict=True):
            if differs:
                utterances[manifest].add((str(line["id"]), *key))
    return Differing(rows, [frozenset(found) for found in utterances])


def write_differing(found: Differing, dev: Sequence[Path], folder: Path) -> list[Path]:
    """Write those utterances of each manifest to one in `folder`; none for a manifest that holds none."""
    paths = []
    for place, (manifest, wanted) in enumerate(zip(dev, found.utterances, strict=True), start=1):
        if wanted:
            path = folder / f"{place}-{manifest.stem}.jsonl"
            every = read_manifest(manifest, check_audio=False)
            write_manifest(path, [u for u in every if (u.id, u.task, u.source_lang, u.target_lang) in wanted])
            paths.append(path)
    return paths


def put_in(cells: Sequence[CellCounts], part: Sequence[CellCounts], found: Differing) -> list[CellCounts]:
    """The cells of one model with the counts of another in place of those of the utterances that differ."""
    theirs = {cell.stratum: cell.counts for cell in part}
    whole = []
    for cell in cells:
        counts = cell.counts.copy()
        if found.rows[cell.stratum].any():
            counts[found.rows[cell.stratum]] = theirs[cell.stratum]
        whole.append(replace(cell, counts=counts))
    return whole
