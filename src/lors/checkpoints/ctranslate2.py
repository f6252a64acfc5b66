"""A Whisper checkpoint as CTranslate2 wants it: converted once, kept in the cache folder, found by content.

The result is what CTranslate2's own TransformersConverter makes, byte for byte, without building the model in
transformers first.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import torch
from ctranslate2.specs import WhisperSpec
from ctranslate2.specs.model_spec import ACCEPTED_MODEL_TYPES, index_spec

from lors.base.cache import cache_directory
from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.base.files import atomic_directory, read_json
from lors.base.lock import exclusive
from lors.checkpoints.ctranslate2_weights import whisper_layout
from lors.checkpoints.read import Checkpoint, open_checkpoint
from lors.checkpoints.whisper_files import token_ids

QUANTIZATIONS: tuple[str, ...] = tuple(ACCEPTED_MODEL_TYPES)

# What decides the result; a change in any gives another copy. The last two are only copied.
_CONFIGURATION = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "preprocessor_config.json",
    "processor_config.json",
)


def to_ctranslate2(directory: Path, quantization: str) -> Path:
    """The directory of a CTranslate2 copy of a Whisper checkpoint, made now or found in the cache folder.

    `ctranslate2.models.Whisper` and faster-whisper load it: it holds `model.bin`, `config.json`,
    `vocabulary.json`, `tokenizer.json` and `preprocessor_config.json`.

    Args:
        directory: a Whisper in Hugging Face's layout, with `tokenizer.json`.
        quantization: one of `QUANTIZATIONS`; under "int8" what stays unquantized keeps its stored format.

    Raises:
        UsageError: an unknown quantization; `directory` holds no Whisper checkpoint.
        LorsError: a file or tensor is missing or damaged.
    """
    if quantization not in QUANTIZATIONS:
        raise UsageError(
            f"unknown quantization '{quantization}', expected one of {', '.join(QUANTIZATIONS)}."
            f"{did_you_mean(quantization, QUANTIZATIONS)}"
        )
    directory = Path(directory)
    checkpoint = open_checkpoint(directory)
    converted = _conversions() / f"{_digest(checkpoint)}-{quantization}"
    with exclusive(converted):
        if not converted.is_dir():
            with atomic_directory(converted) as partial:
                _convert(checkpoint, quantization, partial)
        os.utime(converted)
    return converted


def prune_conversions(keep: int = 30) -> list[Path]:
    """Remove all but the `keep` conversions used last from the cache folder; return those removed."""
    conversions = [path for path in _conversions().glob("[!.]*") if path.is_dir()]
    conversions.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    removed = conversions[keep:]
    for path in removed:
        with exclusive(path), suppress(FileNotFoundError):
            doomed = path.with_name(f".{path.name}.partial-{os.getpid()}")
            path.rename(doomed)  # a removal cut short must not leave what looks like a conversion
            shutil.rmtree(doomed)
        path.with_name(f".{path.name}.lock").unlink(missing_ok=True)
    return removed


def _conversions() -> Path:
    return cache_directory() / "ctranslate2"


def _digest(checkpoint: Checkpoint) -> str:
    """32 hexadecimal digits of all that decides the conversion's content."""
    state = hashlib.sha256(f"ctranslate2 {version('ctranslate2')}\n{checkpoint.sha256()}\n".encode())
    for name in _CONFIGURATION:
        path = checkpoint.directory / name
        content = path.read_bytes() if path.is_file() else b""
        state.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return state.hexdigest()[:32]


def _convert(checkpoint: Checkpoint, quantization: str, destination: Path) -> None:
    config = read_json(checkpoint.directory / "config.json")
    if config.get("model_type") != "whisper":
        raise UsageError(
            f"{checkpoint.directory / 'config.json'}: the model type is '{config.get('model_type')}', "
            "expected 'whisper'."
        )
    tokenizer_json = checkpoint.directory / "tokenizer.json"
    if not tokenizer_json.is_file():
        raise LorsError(f"{tokenizer_json}: no such file; save the model's processor beside its weights.")
    ids = token_ids(read_json(tokenizer_json))
    spec = WhisperSpec(
        config["encoder_layers"],
        config["encoder_attention_heads"],
        config["decoder_layers"],
        config["decoder_attention_heads"],
    )
    for variable, value in _variables(checkpoint, config).items():
        scope, _, attribute = variable.rpartition("/")
        setattr(index_spec(spec, scope), attribute, value)
    for key, setting in _decoding(checkpoint.directory, config, ids).items():
        setattr(spec.config, key, setting)
    spec.register_vocabulary(_vocabulary(ids, config["vocab_size"]))
    spec.validate()
    spec.optimize(quantization)
    spec.save(str(destination))
    shutil.copyfile(tokenizer_json, destination / "tokenizer.json")
    _copy_preprocessor(checkpoint.directory, destination)


def _variables(checkpoint: Checkpoint, config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """CTranslate2's variables; each a copy, for quantization works in place."""
    variables = {}
    for variable, names in whisper_layout(config["encoder_layers"], config["decoder_layers"]).items():
        if variable == "decoder/projection/weight" and "proj_out.weight" in checkpoint.tensors:
            names = ("proj_out.weight",)
        variables[variable] = torch.cat([_read(checkpoint, name, config["d_model"]) for name in names])
    return variables


def _read(checkpoint: Checkpoint, name: str, width: int) -> torch.Tensor:
    if name in checkpoint.tensors:
        return checkpoint.read(name)
    if name.endswith(".k_proj.bias"):
        return torch.zeros(width, dtype=checkpoint.read(name.replace("k_proj", "q_proj")).dtype)
    raise LorsError(f"{checkpoint.directory}: the tensor '{name}' that a Whisper has is missing.")


def _decoding(directory: Path, config: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    """CTranslate2's `config.json`; what `generation_config.json` does not say is taken from the model."""
    path = directory / "generation_config.json"
    said = read_json(path) if path.is_file() else {}
    languages = said.get("lang_to_id") or {
        text: token_id for text, token_id in ids.items() if re.fullmatch(r"<\|[a-z]{2,3}\|>", text)
    }
    layers, heads = config["decoder_layers"], config["decoder_attention_heads"]
    return {
        "suppress_ids": said.get("suppress_tokens", config.get("suppress_tokens")),
        "suppress_ids_begin": said.get("begin_suppress_tokens", config.get("begin_suppress_tokens")),
        "lang_ids": sorted(languages.values()),
        "alignment_heads": said.get("alignment_heads")
        or [list(pair) for pair in product(range(layers // 2, layers), range(heads))],
    }


def _vocabulary(ids: Mapping[str, int], size: int) -> list[str]:
    """Token texts in the order of their ids; timestamps that the tokenizer does not list are added."""
    tokens = sorted(ids, key=lambda text: ids[text])[:size]
    return tokens + [f"<|{step * 0.02:.2f}|>" for step in range(size - len(tokens))]


def _copy_preprocessor(source: Path, destination: Path) -> None:
    plain = source / "preprocessor_config.json"
    if plain.is_file():
        shutil.copyfile(plain, destination / plain.name)
    elif (source / "processor_config.json").is_file():  # where transformers 5 keeps the same settings
        settings = read_json(source / "processor_config.json").get("feature_extractor", {})
        (destination / plain.name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
