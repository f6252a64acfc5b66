"""Differences between systems of a study, by the paired bootstrap over the utterances that both decoded."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lors.base.errors import LorsError
from lors.base.files import read_json, sha256_of_text
from lors.speech import bootstrap
from lors.speech.bleu import bleu_statistics
from lors.speech.evaluation_results import RESULTS
from lors.study.results import CellScore, Row

SIGNIFICANT = 0.05
"""p below it is marked in tables and told as a difference."""

_SAME = 1e-6
_ERRORS = ("substitutions", "deletions", "insertions")


@dataclass(frozen=True)
class Difference:
    """How much a second system differs from a first one.

    Attributes:
        metric: "wer" or "bleu".
        first, second: plain means of their scores over the cells.
        difference: second minus first; low and high are its 95 % interval.
        relative: the difference in per cent of `first`, with its interval; None where a resample's first is zero.
        p_value: two-sided.
        cells: how many (language, task) both have.
        n: utterances in them.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    relative: tuple[float, float, float] | None
    p_value: float
    cells: int
    n: int

    @property
    def shown(self) -> bool:
        """Whether the data show a difference: p below 0.05, and an interval on one side of zero."""
        return self.p_value < SIGNIFICANT and (self.low > 0 or self.high < 0)

    @property
    def gain(self) -> float:
        """The difference, above zero where the second system is the better one."""
        return -self.difference if self.metric == "wer" else self.difference


@dataclass(frozen=True)
class _Drawn:
    """One cell of one evaluation.

    Attributes:
        value: its score.
        resampled: the scores of its resamples, float64 [resamples].
        clips: a digest of what was decoded.
        errors: of transcriptions, the id, word errors and words of the reference of each.
    """

    value: float
    resampled: np.ndarray
    clips: str
    errors: tuple[tuple[str, int, int], ...] = ()


class Hypotheses:
    """Reads the hypotheses of evaluations, each folder once, and draws the resamples of their scores."""

    def __init__(self) -> None:
        self._folders: dict[Path, Mapping[tuple[str, str], _Drawn]] = {}

    def drawn(self, score: CellScore, language: str, task: str) -> _Drawn | None:
        """The resamples of a cell; None where its evaluation is no longer there.

        Raises:
            LorsError: the evaluation is damaged, or its hypotheses are not those of the score.
        """
        folder = score.evaluation
        cells = self._cells(folder)
        if not cells:
            return None
        found = cells.get((language, task))
        if found is None or abs(found.value - score.value) > _SAME:
            raise LorsError(
                f"{folder}: the hypotheses of '{language}', {task}, are not those that the study scored; "
                "run the study again."
            )
        return found

    def word_errors(self, folder: Path, language: str) -> tuple[tuple[str, int, int], ...]:
        """(id, word errors, words of the reference) of each transcription, in the evaluation's order."""
        found = self._cells(folder).get((language, "transcribe"))
        return found.errors if found else ()

    def _cells(self, folder: Path) -> Mapping[tuple[str, str], _Drawn]:
        if folder not in self._folders:
            self._folders[folder] = _read(folder) if (folder / RESULTS).is_file() else {}
        return self._folders[folder]


def mean_interval(
    rows: Sequence[Row], cells: Iterable[tuple[str, str]], hypotheses: Hypotheses
) -> bootstrap.Interval | None:
    """95 % interval of the plain mean of the cells' scores; of several rows (seeds) the mean over them.

    Returns:
        None where hypotheses of a cell are missing.
    """
    parts = [_mean_of_rows(rows, cell, hypotheses) for cell in cells]
    drawn = [part.resampled for part in parts if part is not None]
    if not drawn or len(drawn) < len(parts) or len({len(one) for one in drawn}) > 1:
        return None
    return bootstrap.interval(np.mean(drawn, axis=0))


def compare(
    first: Sequence[Row], second: Sequence[Row], cells: Iterable[tuple[str, str]], hypotheses: Hypotheses
) -> Difference | None:
    """The second system against the first, on the cells that both have.

    Both systems' scores come from the same draws of utterances, in each language by itself, and are averaged over
    languages draw by draw, as an evaluation does for its mean. Of several rows (seeds) of a system the mean is
    compared: p tells of other utterances, not of other seeds.

    Args:
        first, second: the rows of each system, one for each seed.
        cells: (language, task), all of one task.

    Returns:
        None where no cell is in common, or hypotheses are missing or not of the same utterances.

    Raises:
        LorsError: as `Hypotheses.drawn`.
    """
    common = [cell for cell in dict.fromkeys(cells) if _has(first, cell) and _has(second, cell)]
    pairs = [
        (_mean_of_rows(first, cell, hypotheses), _mean_of_rows(second, cell, hypotheses)) for cell in common
    ]
    whole = [(one, other) for one, other in pairs if one is not None and other is not None]
    if not whole or len(whole) < len(pairs):
        return None
    if any(a.clips != b.clips or len(a.resampled) != len(b.resampled) for a, b in whole):
        return None
    if len({len(one.resampled) for one, _ in whole}) > 1:
        return None
    before, after = (float(np.mean([pair[side].value for pair in whole])) for side in (0, 1))
    drawn = [np.mean([pair[side].resampled for pair in whole], axis=0) for side in (0, 1)]
    interval = bootstrap.interval(drawn[1] - drawn[0])
    scores = [next(row.cells[cell] for row in second if cell in row.cells) for cell in common]
    return Difference(
        metric=scores[0].metric,
        first=before,
        second=after,
        difference=after - before,
        low=interval.low,
        high=interval.high,
        relative=_relative(before, after, drawn[0], drawn[1]),
        p_value=bootstrap.paired_p_value(drawn[0], drawn[1], after - before),
        cells=len(common),
        n=sum(score.n for score in scores),
    )


def _relative(
    before: float, after: float, first: np.ndarray, second: np.ndarray
) -> tuple[float, float, float] | None:
    if before <= 0 or first.min() <= 0:
        return None
    interval = bootstrap.interval(100.0 * (second - first) / first)
    return 100.0 * (after - before) / before, interval.low, interval.high


def _has(rows: Sequence[Row], cell: tuple[str, str]) -> bool:
    return any(cell in row.cells for row in rows)


def _mean_of_rows(rows: Sequence[Row], cell: tuple[str, str], hypotheses: Hypotheses) -> _Drawn | None:
    drawn = [hypotheses.drawn(row.cells[cell], *cell) for row in rows if cell in row.cells]
    parts = [part for part in drawn if part is not None]
    if not parts or len(parts) < len(drawn):
        return None
    if len({(part.clips, len(part.resampled)) for part in parts}) > 1:
        return None
    value = float(np.mean([part.value for part in parts]))
    return _Drawn(value, np.mean([part.resampled for part in parts], axis=0), parts[0].clips)


def _read(folder: Path) -> dict[tuple[str, str], _Drawn]:
    """(language, task) → its resamples, drawn as the evaluation drew them."""
    record = read_json(folder / RESULTS)
    lines: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    path = folder / RESULTS
    try:
        resamples, seed = int(record["request"]["resamples"]), int(record["request"]["seed"])
        for name in record["hypotheses"]:
            path = folder / name
            for raw in path.read_bytes().splitlines():
                line = json.loads(raw)
                lines.setdefault((line["source_lang"], line["task"]), []).append(line)
        return {cell: _draw(cell[1], found, resamples, seed) for cell, found in lines.items()}
    except FileNotFoundError:
        raise LorsError(f"{path}: no such file, though {RESULTS} names it; run the study again.") from None
    except (ValueError, KeyError, TypeError):
        raise LorsError(f"{path}: not of an evaluation by this version; run the study again.") from None


def _draw(task: str, lines: Sequence[Mapping[str, Any]], resamples: int, seed: int) -> _Drawn:
    errors: tuple[tuple[str, int, int], ...] = ()
    if task == "transcribe":
        metric = "wer"
        errors = tuple((line["id"], sum(line[name] for name in _ERRORS), line["words"]) for line in lines)
        counts = np.asarray([(wrong, words) for _, wrong, words in errors])
    else:
        metric = "bleu"
        counts = bleu_statistics([one["reference"] for one in lines], [one["hypothesis"] for one in lines])
    # The stratum that `lors.speech.evaluation_scores.Cell` has: the draws are those of the evaluation's intervals.
    stratum = f"{task} {lines[0]['source_lang']} {lines[0]['target_lang']}"
    score_of = bootstrap.SCORES[metric]
    return _Drawn(
        float(score_of(counts.sum(axis=0)[None])[0]),
        score_of(bootstrap.resampled_sums(counts, resamples, seed, stratum)),
        sha256_of_text(json.dumps([(line["id"], line["reference"]) for line in lines]) + f" {seed}"),
        errors,
    )
