"""The table of an evaluation: models down, languages and tasks across; for the terminal and as Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lors.base.errors import UsageError, did_you_mean
from lors.speech.evaluation_results import Evaluation
from lors.speech.evaluation_scores import METRICS, Score
from lors.speech.manifest import read_manifest
from lors.speech.second_scores import SECOND_METRICS, SecondScore

if TYPE_CHECKING:
    from rich.table import Table

FIRST_METRICS = tuple(METRICS.values())
_SIGNIFICANT = 0.05
_SHOWN = {"wer": "WER ↓", "cer": "CER ↓", "bleu": "BLEU ↑", "chrf": "chrF ↑"}


@dataclass(frozen=True)
class Column:
    """What the table shows of one language and task: a score by one metric, as the first model has it."""

    metric: str
    score: Score

    def shown(self, score: Score) -> Score | SecondScore:
        """The number by this column's metric."""
        second = score.second
        return second if second is not None and second.metric == self.metric else score


def check_metrics(metrics: Sequence[str], data: Iterable[Path]) -> None:
    """See that a table by these metrics can be made of these manifests, before anything is decoded.

    Raises:
        UsageError: a metric is not known, or scores a task that no manifest holds; a manifest cannot be read.
    """
    tasks = {u.task for path in data for u in read_manifest(path, check_audio=False)} if metrics else set()
    for metric in metrics:
        if metric not in _SHOWN:
            raise UsageError(
                f"metric '{metric}' is not known; choose one of {', '.join(_SHOWN)}."
                f"{did_you_mean(metric, tuple(_SHOWN))}"
            )
        task = next(task for task in METRICS if metric in (METRICS[task], SECOND_METRICS[task]))
        if task not in tasks:
            raise UsageError(
                f"`--metric {metric}` scores {'translations' if task == 'translate' else 'transcriptions'}, "
                "and the data hold none; leave it out, or add a manifest that has them."
            )


def rich_table(results: Evaluation, metrics: Sequence[str] = FIRST_METRICS) -> "Table":
    """For the terminal: under each score its 95 % interval. `table_notes` go below it."""
    from rich.table import Table

    columns = _columns(results, metrics)
    table = Table()
    table.add_column("model", no_wrap=True)
    for column in columns:
        table.add_column(f"{_heading(column)}\nn = {column.score.n}", justify="right", no_wrap=True)
    table.add_column("loops\n", justify="right")
    for model in results.models:
        row = _row(results, model, columns)
        shown = [column.shown(score) for column, score in zip(columns, row, strict=True)]
        cells = [f"{_value(s)}\n[dim]{s.low:.1f}–{s.high:.1f}[/dim]" for s in shown]
        table.add_row(model.replace("[", r"\["), *cells, str(_loops(row)))
    return table


def markdown_table(results: Evaluation, metrics: Sequence[str] = FIRST_METRICS) -> str:
    """The same for a file: each score with its interval in brackets, notes below."""
    columns = _columns(results, metrics)
    headings = ["model", *(f"{_heading(column)} (n = {column.score.n})" for column in columns), "loops"]
    lines = [headings, ["---", *("--:" for _ in headings[1:])]]
    for model in results.models:
        row = _row(results, model, columns)
        shown = [column.shown(score) for column, score in zip(columns, row, strict=True)]
        cells = [f"{_value(s)} ({s.low:.1f}–{s.high:.1f})" for s in shown]
        lines.append([model.replace("|", r"\|"), *cells, str(_loops(row))])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return table + "\n\n" + "\n".join(f"- {note}" for note in table_notes(results, metrics)) + "\n"


def table_notes(results: Evaluation, metrics: Sequence[str] = FIRST_METRICS) -> list[str]:
    """What it takes to read the table: intervals, normaliser, decoder, loops, speed."""
    request = results.request
    columns = _columns(results, metrics)
    notes = [
        f"Beside or below each score: 95 % bootstrap interval over utterances ({request['resamples']} resamples)."
    ]
    if len(results.models) > 1:
        notes[0] += f" *: differs from {results.models[0]}, paired bootstrap, p < {_SIGNIFICANT}."
        if "wer" in metrics and any(score.matched_pairs for score in results.scores):
            notes[0] += f" †: matched-pairs test (MAPSSWE), p < {_SIGNIFICANT}."
    for metric in ("wer", "cer"):
        shown = [c.shown(c.score).signature for c in columns if c.metric == metric and c.score.source_lang]
        profiles = sorted({_part(signature, "normaliser") for signature in shown})
        if profiles:
            notes.append(f"{metric.upper()} in per cent after normaliser {', '.join(profiles)}.")
    if any(column.metric == "bleu" for column in columns):
        notes.append("BLEU: sacreBLEU, cased, 13a.")
    if any(column.metric == "chrf" for column in columns):
        notes.append("chrF: sacreBLEU, cased, chrF2.")
    known = [c for c in columns if c.metric == c.score.metric and c.score.low_by_speaker is not None]
    if known:
        counts = ", ".join(f"{_heading(column)} {column.score.speakers}" for column in known)
        notes.append(
            f"Speakers: {counts}. The intervals over speakers are in results.json (low_by_speaker …)."
        )
    parts = [score for score in results.scores if score.source_lang is not None]
    speech, took = sum(s.audio_seconds for s in parts), sum(s.seconds for s in parts)
    notes.append(f"Decoded by {request['decoder']}, real-time factor {took / speech:.3f}.")
    notes.append("Loops: texts that repeated themselves without end and were decoded again.")
    return notes


def _columns(results: Evaluation, metrics: Sequence[str]) -> list[Column]:
    """Metric by metric, each with the first model's scores."""
    firsts = [score for score in results.scores if score.model == results.models[0]]
    found = []
    for metric in dict.fromkeys(metrics):
        columns = [Column(metric, score) for score in firsts if metric in _metrics(score)]
        if not columns and metric not in FIRST_METRICS:
            raise UsageError(
                f"{results.directory}: holds no score by {metric}; evaluate again with --overwrite, which "
                "takes over what is decoded already."
            )
        found += columns
    return found


def _metrics(score: Score) -> tuple[str, ...]:
    return (score.metric,) if score.second is None else (score.metric, score.second.metric)


def _row(results: Evaluation, model: str, columns: Sequence[Column]) -> list[Score]:
    found = {(s.task, s.source_lang, s.target_lang): s for s in results.scores if s.model == model}
    return [found[c.score.task, c.score.source_lang, c.score.target_lang] for c in columns]


def _heading(column: Column) -> str:
    score, metric = column.score, _SHOWN[column.metric]
    if score.source_lang is None:
        return f"Avg. {metric}"
    if score.task == "transcribe":
        return f"{score.source_lang} {metric}"
    return f"{score.source_lang}→{score.target_lang} {metric}"


def _value(score: Score | SecondScore) -> str:
    differs = score.p_value is not None and score.p_value < _SIGNIFICANT
    matched_pairs = score.matched_pairs if isinstance(score, Score) else None
    differs_by_segments = matched_pairs is not None and matched_pairs["p_value"] < _SIGNIFICANT
    return f"{score.value:.1f}{'*' if differs else ''}{'†' if differs_by_segments else ''}"


def _loops(row: Sequence[Score]) -> int:
    parts = {(score.task, score.source_lang, score.target_lang): score.loops for score in row}
    return sum(loops for (_, source, _), loops in parts.items() if source is not None)


def _part(signature: str, name: str) -> str:
    return next(part.split(":", 1)[1] for part in signature.split("|") if part.startswith(f"{name}:"))
