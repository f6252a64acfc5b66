"""What a report shows of a finished evaluation, read back from its folder and checked against its scores."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.base.files import read_json, sha256_of
from lors.speech.aligned_words import align_words
from lors.speech.confusions import Confusions, count_confusions
from lors.speech.evaluation_results import RESULTS, Evaluation, read_evaluation
from lors.speech.evaluation_scores import Score
from lors.speech.manifest import Utterance, read_manifest
from lors.speech.normalisation import Normaliser, find_normaliser
from lors.speech.retention import Retention, languages_trained_on, retention
from lors.speech.side_by_side import Comparison, most_different
from lors.speech.wer import WordErrors, total
from lors.speech.worst import AlignedUtterance, worst_utterances

_COUNTS = ("words", "correct", "substitutions", "deletions", "insertions")
_SIGNATURE = re.compile(r"(?P<name>.+?)-\d+(-[0-9a-f]{8})?")
_TEXTS = ("id", "task", "source_lang", "target_lang", "reference", "hypothesis")


@dataclass(frozen=True)
class Section:
    """One model's transcriptions of one language.

    Attributes:
        score: the WER that the results give.
        wrong: how many of its utterances have an error.
        worst: those with the most errors, the worst first.
        confusions: over all utterances.
    """

    score: Score
    wrong: int
    worst: tuple[AlignedUtterance, ...]
    confusions: Confusions


@dataclass(frozen=True)
class Report:
    """An evaluation with what went wrong in it.

    Attributes:
        sections: model by model, language by language. Translations have none: BLEU aligns no words.
        clips: (name of the manifest, id) → the clip, of the manifests that are still where they were and
            unchanged.
        unseen: transcribed languages that no model was trained on; empty where the records do not tell, or
            where no model was trained at all.
        retention: every model's mean over them, where `unseen` holds any.
        compared: the clips that were asked for, over all models; there are no sections then.
    """

    evaluation: Evaluation
    sections: tuple[Section, ...]
    clips: Mapping[tuple[str, str], Utterance]
    unseen: tuple[str, ...]
    retention: tuple[Retention, ...]
    compared: tuple[Comparison, ...] = ()


def read_report(
    directory: Path,
    worst: int = 20,
    models: Sequence[str] = (),
    utterances: Sequence[str] = (),
    side_by_side: int | None = None,
) -> Report:
    """Read the folder that `evaluate` wrote.

    Args:
        directory: with `results.json` and `hypotheses/`.
        worst: utterances to show of each model and language.
        models: only these have sections, and none has `retention`; all without.
        utterances: ids of transcriptions to compare over the models, of every manifest that holds them.
        side_by_side: of each language, compare so many utterances in whose errors the models differ most.

    Raises:
        UsageError: there is no such folder, model or utterance, nothing to compare, or a number is below 1.
        LorsError: what is in the folder is damaged, or its hypotheses are not those of its scores.
    """
    if worst < 1:
        raise UsageError(f"worst {worst}: expected at least one utterance.")
    if side_by_side is not None and side_by_side < 1:
        raise UsageError(f"side by side {side_by_side}: expected at least one utterance.")
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such folder; one that `lors evaluate` wrote was expected.")
    evaluation = read_evaluation(directory)
    for model in models:
        if model not in evaluation.models:
            raise UsageError(
                f"model '{model}' is not among the results; choose one of {', '.join(evaluation.models)}."
                + did_you_mean(model, evaluation.models)
            )
    files, manifests = _places(evaluation)
    comparing = bool(utterances or side_by_side)
    sections = []
    cells_of: dict[str, dict[str, list[_Line]]] = {}
    counts: dict[str, dict[str, list[WordErrors]]] = {}
    for model in models or evaluation.models:
        cells: dict[str, list[_Line]] = {}
        for data_set, path in files[model]:
            for line in _lines(path, data_set):
                cells.setdefault(line.language, []).append(line)
        for score in evaluation.scores:
            if (score.model, score.metric) == (model, "wer") and score.source_lang is not None:
                sections.append(_section(directory, score, cells.get(score.source_lang, []), worst))
        cells_of[model] = cells if comparing else {}
        counts[model] = {language: [line.counts for line in lines] for language, lines in cells.items()}
    unseen = () if models else _unseen(evaluation)
    request = evaluation.request
    means = retention(counts, unseen, request["resamples"], request["seed"]) if unseen else ()
    compared = _compare(directory, cells_of, utterances, side_by_side or 0) if comparing else ()
    if comparing:
        sections = []
    return Report(evaluation, tuple(sections), _clips(manifests), unseen, tuple(means), compared)


@dataclass(frozen=True)
class _Line:
    """A transcription as its file has it; aligned only where something is wrong in it."""

    language: str
    counts: WordErrors
    fields: Mapping[str, Any]
    data_set: str
    aligned: AlignedUtterance | None


def _section(directory: Path, score: Score, lines: Sequence[_Line], worst: int) -> Section:
    counts = total(line.counts for line in lines)
    if len(lines) != score.n or {name: getattr(counts, name) for name in _COUNTS} != score.counts:
        raise LorsError(
            f"{directory}: the hypotheses of '{score.model}' in '{score.source_lang}' are not those that "
            f"{RESULTS} scores; evaluate again."
        )
    wrong = [line.aligned for line in lines if line.aligned is not None]
    return Section(
        score=score,
        wrong=len(wrong),
        worst=tuple(worst_utterances(wrong, worst)),
        confusions=count_confusions(utterance.words for utterance in wrong),
    )


def _places(evaluation: Evaluation) -> tuple[dict[str, list[tuple[str, Path]]], dict[str, tuple[Path, str]]]:
    """Where things lie: model → (manifest's name, file of hypotheses), and manifest's name → its path, sha256."""
    results = evaluation.directory / RESULTS
    record = read_json(results)
    try:
        sets = {str(data_set["name"]): str(data_set["sha256"]) for data_set in record["request"]["data"]}
        manifests = {name: (Path(record["paths"]["data"][name]), digest) for name, digest in sets.items()}
        paths = [evaluation.directory / name for name in record["hypotheses"]]  # model by model, as evaluated
        pairs = [(model, name) for model in evaluation.models for name in sets]
        files: dict[str, list[tuple[str, Path]]] = {}
        for (model, name), path in zip(pairs, paths, strict=True):
            files.setdefault(model, []).append((name, path))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise LorsError(f"{results}: does not name the hypotheses of every model; evaluate again.") from None
    return files, manifests


def _lines(path: Path, data_set: str) -> Iterator[_Line]:
    """The transcriptions in one file of hypotheses."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise LorsError(f"{path}: no such file, though {RESULTS} names it; evaluate again.") from None
    for number, raw in enumerate(content.splitlines(), start=1):
        try:
            fields = json.loads(raw)
            if any(not isinstance(fields[name], str) for name in _TEXTS):
                raise TypeError
            if fields["task"] == "transcribe":
                yield _to_line(fields, data_set)
        except UsageError as error:
            raise LorsError(f"{path}:{number}: {error}") from None
        except (ValueError, KeyError, TypeError):
            raise LorsError(
                f"{path}:{number}: not a hypothesis of this version of `lors evaluate`; evaluate again."
            ) from None


def _to_line(fields: Mapping[str, Any], data_set: str) -> _Line:
    counts = WordErrors(1, *(int(fields[name]) for name in _COUNTS))
    aligned = _align(fields, data_set) if counts.errors else None
    if aligned is not None and aligned.errors != counts:
        raise UsageError("the counts are not those of its texts; evaluate again.")
    return _Line(fields["source_lang"], counts, fields, data_set, aligned)


def _align(fields: Mapping[str, Any], data_set: str) -> AlignedUtterance:
    profile = _profile(str(fields["normaliser"]))
    return AlignedUtterance(
        id=fields["id"],
        data_set=data_set,
        language=fields["target_lang"],
        duration=float(fields["duration"]),
        reference=fields["reference"],
        hypothesis=fields["hypothesis"],
        words=align_words(profile(fields["reference"]).split(), profile(fields["hypothesis"]).split()),
        looped=bool(fields["looped"]),
    )


def _compare(
    directory: Path, cells_of: Mapping[str, Mapping[str, Sequence[_Line]]], ids: Sequence[str], number: int
) -> tuple[Comparison, ...]:
    """The clips with these ids, and those in which the models differ most, language by language."""
    if number and len(cells_of) < 2:
        raise UsageError(f"{directory}: one model has nothing beside it; choose utterances by their ids.")
    languages = next(iter(cells_of.values()))
    known = {line.fields["id"] for lines in languages.values() for line in lines}
    for name in ids:
        if name not in known:
            raise UsageError(
                f"{directory}: no transcription has the id '{name}'.{did_you_mean(name, sorted(known))}"
            )
    found = []
    for language, lines in languages.items():
        chosen = [place for place, line in enumerate(lines) if line.fields["id"] in ids]
        if number:
            errors = {
                model: [(line.counts.errors, line.counts.words) for line in cells[language]]
                for model, cells in cells_of.items()
            }
            chosen += [place for place in most_different(errors, number) if place not in chosen]
        for place in chosen:
            clip = {model: cells[language][place] for model, cells in cells_of.items()}
            if (
                len({(line.data_set, line.fields["id"], line.fields["reference"]) for line in clip.values()})
                > 1
            ):
                raise LorsError(
                    f"{directory}: the models' hypotheses are not of the same clips; evaluate again."
                )
            found.append(
                Comparison(
                    {m: line.aligned or _align(line.fields, line.data_set) for m, line in clip.items()}
                )
            )
    return tuple(found)


def _profile(signature: str) -> Normaliser:
    """The profile that a line was scored with: NAME-VERSION, or NAME-VERSION-DIGEST where it reads a table."""
    found = _SIGNATURE.fullmatch(signature)
    profile = find_normaliser(found["name"] if found else signature)
    if profile.signature != signature:
        raise UsageError(
            f"scored with normaliser {signature}, and this version has {profile.signature}; evaluate again."
        )
    return profile


def _unseen(evaluation: Evaluation) -> tuple[str, ...]:
    paths = read_json(evaluation.directory / RESULTS)["paths"].get("models", {})
    seen = languages_trained_on(map(Path, paths.values()))
    heard = dict.fromkeys(
        s.source_lang for s in evaluation.scores if s.metric == "wer" and s.source_lang is not None
    )
    return tuple(language for language in heard if language not in seen) if seen else ()


def _clips(manifests: Mapping[str, tuple[Path, str]]) -> dict[tuple[str, str], Utterance]:
    return {
        (name, utterance.id): utterance
        for name, (path, digest) in manifests.items()
        if path.is_file() and sha256_of(path) == digest
        for utterance in read_manifest(path, check_audio=False)
    }
