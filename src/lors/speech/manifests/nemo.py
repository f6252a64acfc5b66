"""NVIDIA NeMo's and Canary's manifests: JSON Lines, a row for each clip and task.

Fields after docs.nvidia.com/nemo/speech/latest/asr/datasets.html and NeMo's `LazyNeMoIterator`, which keeps all
others it finds: there our id, speaker and normaliser have their place.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from lors.speech.manifest import Utterance
from lors.speech.manifests.json_lines import json_object, kind
from lors.speech.manifests.lines import BadLineError, numbered_lines
from lors.speech.manifests.rows import ReadSettings, Rows, same_language, utterance_of

_TASKS = {
    "asr": "transcribe", "transcribe": "transcribe",
    "ast": "translate", "s2t_translation": "translate", "translate": "translate",
}  # fmt: skip
_NO_ANSWER = ("", "na")


def read_nemo(path: Path, settings: ReadSettings) -> Rows:
    """Yield the utterances of a NeMo manifest.

    `answer`, Canary's reference, is the text where `text` is not there; `lang` is the language of the text;
    `taskname` (or `task`) must agree with the languages. A row without `id` takes the audio's name for it, with
    the place in the file where it has an offset, as NeMo does.

    Raises:
        UsageError: no such file.
    """
    root = settings.root(path.absolute().parent)
    others = replace(settings, drop=settings.drop - {"text"})  # which `_answer` has dropped
    for number, line in numbered_lines(path, "a NeMo manifest (JSON Lines)"):
        try:
            yield path, number, _utterance(json_object(line), root, settings, others)
        except BadLineError as error:
            yield path, number, str(error)


def nemo_lines(utterances: Iterable[Utterance]) -> Iterator[str]:
    """The lines of a NeMo manifest; offset stands in all, for without one NeMo takes the whole file."""
    for utterance in utterances:
        fields: dict[str, Any] = {
            "id": utterance.id,
            "audio_filepath": str(utterance.audio_filepath),
            "offset": utterance.offset,
            "duration": utterance.duration,
            "text": utterance.text,
            "answer": utterance.text,
            "lang": utterance.target_lang,
            "source_lang": utterance.source_lang,
            "target_lang": utterance.target_lang,
            "taskname": "asr" if utterance.task == "transcribe" else "ast",
        }
        for name in ("speaker", "normaliser"):
            if (value := getattr(utterance, name)) is not None:
                fields[name] = value
        yield json.dumps(fields, ensure_ascii=False) + "\n"


def _utterance(fields: dict[str, Any], root: Path, settings: ReadSettings, others: ReadSettings) -> Utterance:
    known = {name: value for name, value in fields.items() if value is not None}
    for name in settings.drop.intersection(known, ("answer", "lang", "task", "taskname")):
        del known[name]
        settings.dropped[name] += 1
    _answer(known, settings)
    _language(known, settings)
    task = _task(known)
    if "id" not in known:
        known["id"] = _identifier(known, root)
    utterance = utterance_of(known, root, others)
    if task is not None and task != utterance.task:
        raise BadLineError(
            f"its task is to {task}, and from {utterance.source_lang} to {utterance.target_lang} is to "
            f"{utterance.task}; mend one, or leave it out with --drop taskname,task."
        )
    return utterance


def _answer(known: dict[str, Any], settings: ReadSettings) -> None:
    answer = known.pop("answer", None)
    if answer is None or (
        isinstance(answer, str) and answer.strip().lower() in _NO_ANSWER and "text" in known
    ):
        return
    if "text" in known and "text" in settings.drop:
        del known["text"]
        settings.dropped["text"] += 1
    if known.setdefault("text", answer) != answer:
        raise BadLineError(
            "'text' and 'answer' differ; --drop answer takes 'text' for the reference, --drop text takes 'answer'."
        )


def _language(known: dict[str, Any], settings: ReadSettings) -> None:
    lang = known.pop("lang", None)
    if lang is None:
        return
    if not same_language(known.setdefault("target_lang", lang), lang):
        raise BadLineError(
            f"'lang' is {lang!r:.40} and 'target_lang' {known['target_lang']!r:.40}; mend one, or leave the "
            "first out with --drop lang."
        )
    translates = _TASKS.get(str(known.get("taskname", known.get("task", "asr"))).lower()) == "translate"
    if settings.source_lang is None and not translates:
        known.setdefault("source_lang", lang)


def _task(known: dict[str, Any]) -> str | None:
    named = [known.pop(name) for name in ("taskname", "task") if name in known]
    for task in named:
        if not isinstance(task, str) or task.lower() not in _TASKS:
            raise BadLineError(
                f"the task {task!r:.40} is not known; {', '.join(_TASKS)} are, or leave it out with "
                "--drop taskname,task."
            )
    found = {_TASKS[task.lower()] for task in named}
    if len(found) > 1:
        raise BadLineError("'taskname' and 'task' differ; leave one out with --drop.")
    return found.pop() if found else None


def _identifier(known: dict[str, Any], root: Path) -> str:
    name = known.get("audio_filepath")
    if not isinstance(name, str):
        raise BadLineError(
            "the field 'audio_filepath' is missing."
            if name is None
            else f"'audio_filepath' is {kind(name)}; a string was expected."
        )
    audio = Path(name)
    if audio.is_relative_to(root):
        audio = audio.relative_to(root)
    identifier = audio.with_suffix("").as_posix().lstrip("/") if audio.name else name
    offset, duration = known.get("offset"), known.get("duration")
    if isinstance(offset, int | float) and isinstance(duration, int | float):
        if not (abs(offset) < 1e9 and abs(duration) < 1e9):
            raise BadLineError("'offset' or 'duration' is too large or no number.")
        return f"{identifier}-{round(offset * 100):06d}-{round(duration * 100):06d}"
    return identifier
