"""What an evaluation is asked to do, checked whole before anything is decoded."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.base.files import read_json, sha256_of
from lors.checkpoints.find import find_checkpoint
from lors.checkpoints.read import open_checkpoint
from lors.speech.decoding.available import default_memory
from lors.speech.decoding.batches import LONGEST_SECONDS, plan_batches
from lors.speech.decoding.memory import MemoryModel
from lors.speech.decoding.options import DecoderOptions
from lors.speech.decoding.vocabulary import check_language, complete_config, read_config
from lors.speech.manifest import Utterance, read_manifest
from lors.speech.normalisation import DEFAULT_NORMALISER, Normaliser, find_normaliser

_DECIDE_THE_TEXT = ("config.json", "generation_config.json", "tokenizer.json")
_RECORDS = ("merge.json", "finetune.json")


@dataclass(frozen=True)
class Model:
    """A model to evaluate.

    Attributes:
        name: how the tables call it; unique.
        directory: where its checkpoint lies.
        sha256: digest of its weights.
        digest: digest of all that decides what it writes: weights, configuration, tokenizer.
        signature: what `merge.json` or `finetune.json` says of its making, where one is there.
    """

    name: str
    directory: Path
    sha256: str
    digest: str
    signature: str | None

    @property
    def file_name(self) -> str:
        return _file_name(self.name)


@dataclass(frozen=True)
class DataSet:
    """A manifest, or the part of it that `limit` lets through; `sha256` is that of the file."""

    name: str
    path: Path
    sha256: str
    utterances: tuple[Utterance, ...]


def read_models(models: Sequence[str | Path], names: Mapping[Any, str] | None) -> list[Model]:
    """Find every model, or raise UsageError; `names` gives models other names than their directory's."""
    if not models:
        raise UsageError("no model to evaluate: give at least one directory or Hub id.")
    named = {str(model): name for model, name in (names or {}).items()}
    if unknown := named.keys() - {str(model) for model in models}:
        raise UsageError(f"a name is given to '{min(unknown)}', which is not among the models.")
    read: list[Model] = []
    for model in models:
        directory = find_checkpoint(model)
        name = named.get(str(model)) or Path(str(model)).expanduser().resolve().name
        if not _file_name(name).strip("."):
            raise UsageError(f"{model}: '{name}' cannot name a model; use letters and digits.")
        for other in read:
            if other.file_name == _file_name(name):
                raise UsageError(
                    f"{model} and {other.directory} would both be called '{name}'; "
                    f"name one of them: `lors evaluate ANOTHER-NAME={model} …`."
                )
        weights = open_checkpoint(directory).sha256()
        read.append(Model(name, directory, weights, _digest(directory, weights), _signature(directory)))
    return read


def read_data(paths: Sequence[Path], limit: int | None) -> list[DataSet]:
    """Read every manifest; `limit` keeps the first utterances of each language and task of each manifest."""
    if not paths:
        raise UsageError("no data to evaluate on: give at least one manifest.")
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}: expected at least one utterance.")
    paths = [Path(path) for path in paths]
    resolved = [path.resolve() for path in paths]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise UsageError(f"{paths[place]}: this manifest is given twice.")
    sets = []
    for path, name in zip(paths, _short_names(resolved), strict=True):
        kept: list[Utterance] = []
        counts: dict[tuple[str, str], int] = {}
        for utterance in read_manifest(path):
            pair = (utterance.source_lang, utterance.target_lang)
            counts[pair] = counts.get(pair, 0) + 1
            if limit is None or counts[pair] <= limit:
                kept.append(utterance)
        sets.append(DataSet(name, path.absolute(), sha256_of(path), tuple(kept)))
    return sets


def check_pairs(models: Sequence[Model], data: Sequence[DataSet]) -> None:
    """Raise UsageError where a model cannot be asked for what a manifest holds."""
    for model in models:
        config = read_config(model.directory)
        for data_set in data:
            for source, target in sorted({(u.source_lang, u.target_lang) for u in data_set.utterances}):
                try:
                    check_language(model.directory, config, source, target)
                except UsageError as error:
                    raise UsageError(f"{data_set.path}: {error}") from None


def check_lengths(data: Sequence[DataSet]) -> None:
    """Raise UsageError for the first utterance that is longer than Whisper hears at once."""
    for data_set in data:
        for utterance in data_set.utterances:
            if utterance.duration > LONGEST_SECONDS:
                raise UsageError(
                    f"{data_set.path}, utterance '{utterance.id}': lasts {utterance.duration:.2f} s, and Whisper "
                    "hears 30 s at a time; cut the clip where its text allows it, or leave it out."
                )


def check_memory(models: Sequence[Model], data: Sequence[DataSet], options: DecoderOptions) -> None:
    """Raise UsageError where one utterance of the data does not fit into the memory; nothing is loaded for it."""
    memory = options.memory or default_memory()
    for model in models:
        shape = MemoryModel.of(complete_config(model.directory), options.engine, str(options.quantization))
        for data_set in data:
            try:
                plan_batches(data_set.utterances, options, shape, 1, memory)
            except UsageError as error:
                raise UsageError(f"{model.directory}: {error}") from None


def check_normalisers(data: Sequence[DataSet], normaliser: str | None) -> None:
    """Raise UsageError for an unknown normaliser, and where one leaves nothing of the references."""
    if normaliser is not None:
        find_normaliser(normaliser)
    for data_set in data:
        words: dict[str, int] = {}
        for utterance in data_set.utterances:
            if utterance.task == "transcribe":
                try:
                    normalise = normaliser_for(utterance, normaliser)
                except UsageError as error:
                    raise UsageError(f"{data_set.path}, utterance '{utterance.id}': {error}") from None
                found = len(normalise(utterance.text).split())
                words[utterance.source_lang] = words.get(utterance.source_lang, 0) + found
        for language, count in words.items():
            if not count:
                raise UsageError(
                    f"{data_set.path}: no word of the '{language}' references is left after normalisation; "
                    "choose another normaliser."
                )


def normaliser_for(utterance: Utterance, normaliser: str | None) -> Normaliser:
    """The one that is asked for, else the one that the manifest's line names, else the default."""
    return find_normaliser(normaliser or utterance.normaliser or DEFAULT_NORMALISER)


def _digest(directory: Path, weights: str) -> str:
    state = hashlib.sha256(weights.encode())
    for name in _DECIDE_THE_TEXT:
        path = directory / name
        state.update(f"\n{name} {sha256_of(path) if path.is_file() else ''}".encode())
    return state.hexdigest()


def _signature(directory: Path) -> str | None:
    for name in _RECORDS:
        if (directory / name).is_file():
            record: Any = read_json(directory / name)
            found = record.get("signature") if isinstance(record, dict) else None
            return str(found) if found else None
    return None


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths, folders and stem, that are all different: es/test.jsonl → es-test."""
    parts = [path.with_suffix("").parts for path in paths]
    for length in range(1, max(map(len, parts))):
        names = [_file_name("-".join(part[-length:])) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{_file_name(path.stem)}-{place}" for place, path in enumerate(paths, start=1)]


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+=@-]+", "-", name)
