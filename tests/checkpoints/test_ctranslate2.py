import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch
from ctranslate2.converters import TransformersConverter
from safetensors.torch import load_file, save_file

from lors.base.errors import LorsError, UsageError
from lors.checkpoints.ctranslate2 import QUANTIZATIONS, prune_conversions, to_ctranslate2
from lors.checkpoints.write import copy_side_files


def _theirs(directory: Path, out: Path, quantization: str) -> dict[str, bytes]:
    TransformersConverter(str(directory)).convert(str(out), quantization=quantization)
    return _content(out)


def _content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def _copy(whisper: Path, destination: Path) -> Path:
    return Path(shutil.copytree(whisper, destination))


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_a_conversion_is_ctranslate2s_own_byte_for_byte(
    whisper: Path, cache: Path, tmp_path: Path, quantization: str
) -> None:
    ours = _content(to_ctranslate2(whisper, quantization))
    theirs = _theirs(whisper, tmp_path / "theirs", quantization)
    assert {name: ours[name] for name in theirs} == theirs
    assert set(ours) - set(theirs) == {"tokenizer.json", "preprocessor_config.json"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_half_precision_checkpoints_convert_as_ctranslate2_does(
    whisper: Path, cache: Path, tmp_path: Path, dtype: torch.dtype, quantization: str
) -> None:
    half = tmp_path / "half"
    half.mkdir()
    copy_side_files(whisper, half)
    weights = load_file(whisper / "model.safetensors")
    save_file(
        {name: t.to(dtype) for name, t in weights.items()}, half / "model.safetensors", {"format": "pt"}
    )
    config = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps(config | {"dtype": str(dtype).removeprefix("torch.")}))
    ours = _content(to_ctranslate2(half, quantization))
    assert ours["model.bin"] == _theirs(half, tmp_path / "theirs", quantization)["model.bin"]


def test_ctranslate2_computes_what_transformers_computes(whisper: Path, cache: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    features = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(1))
    model = ctranslate2.models.Whisper(str(to_ctranslate2(whisper, "float32")), device="cpu", intra_threads=1)
    encoded = model.encode(ctranslate2.StorageView.from_array(features.numpy()))
    with torch.no_grad():
        truth = WhisperForConditionalGeneration.from_pretrained(whisper).model.encoder(features)
    np.testing.assert_allclose(np.array(encoded), truth.last_hidden_state.numpy(), atol=2e-4)


def test_faster_whisper_loads_the_result(whisper: Path, cache: Path) -> None:
    from faster_whisper import WhisperModel

    model = WhisperModel(str(to_ctranslate2(whisper, "float32")), device="cpu", cpu_threads=1)
    assert model.feature_extractor.n_fft == 400
    assert model.hf_tokenizer.token_to_id("<|es|>") == 260


def test_a_conversion_is_made_once(whisper: Path, cache: Path) -> None:
    first = to_ctranslate2(whisper, "int8")
    assert first.parent == cache / "ctranslate2"
    made = (first / "model.bin").stat().st_ino
    assert to_ctranslate2(whisper, "int8") == first
    assert (first / "model.bin").stat().st_ino == made
    assert to_ctranslate2(whisper, "float32") != first


@pytest.mark.parametrize(
    "changed", ["config.json", "generation_config.json", "tokenizer.json", "preprocessor_config.json"]
)
def test_a_change_that_matters_gives_another_conversion(
    whisper: Path, cache: Path, tmp_path: Path, changed: str
) -> None:
    copy = _copy(whisper, tmp_path / "copy")
    before = to_ctranslate2(copy, "int8")
    content = json.loads((copy / changed).read_text())
    (copy / changed).write_text(json.dumps(content | {"remark": "changed"}))
    assert to_ctranslate2(copy, "int8") != before


def test_weights_decide_and_the_place_does_not(whisper: Path, cache: Path, tmp_path: Path) -> None:
    copy = _copy(whisper, tmp_path / "copy")
    before = to_ctranslate2(whisper, "int8")
    assert to_ctranslate2(copy, "int8") == before
    weights = load_file(copy / "model.safetensors")
    weights["model.encoder.layer_norm.bias"] += 1e-3
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert to_ctranslate2(copy, "int8") != before


def test_converting_changes_no_byte_of_the_checkpoint(whisper: Path, cache: Path, tmp_path: Path) -> None:
    copy = _copy(whisper, tmp_path / "copy")
    before = _content(copy)
    to_ctranslate2(copy, "int8")
    to_ctranslate2(copy, "int16")
    assert _content(copy) == before


def test_an_untied_projection_is_kept(whisper: Path, cache: Path, tmp_path: Path) -> None:
    copy = _copy(whisper, tmp_path / "copy")
    tied = (to_ctranslate2(copy, "float32") / "model.bin").stat().st_size
    weights = load_file(copy / "model.safetensors")
    weights["proj_out.weight"] = weights["model.decoder.embed_tokens.weight"] + 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    untied = (to_ctranslate2(copy, "float32") / "model.bin").stat().st_size
    assert untied - tied > weights["proj_out.weight"].numel() * 4 - 100


def test_without_generation_settings_the_model_and_tokenizer_decide(
    whisper: Path, cache: Path, tmp_path: Path
) -> None:
    copy = _copy(whisper, tmp_path / "copy")
    (copy / "generation_config.json").unlink()
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(
        json.dumps(config | {"suppress_tokens": [5], "begin_suppress_tokens": [6]})
    )
    settings = json.loads((to_ctranslate2(copy, "int8") / "config.json").read_text())
    assert settings["lang_ids"] == [259, 260, 261]
    assert settings["suppress_ids"] == [5]
    assert settings["suppress_ids_begin"] == [6]
    assert settings["alignment_heads"] == [[layer, head] for layer in (1, 2) for head in range(4)]


def test_the_processors_settings_serve_where_only_transformers_5_wrote_them(
    whisper: Path, cache: Path, tmp_path: Path
) -> None:
    copy = _copy(whisper, tmp_path / "copy")
    (copy / "preprocessor_config.json").unlink()
    settings = json.loads((to_ctranslate2(copy, "int8") / "preprocessor_config.json").read_text())
    assert settings["feature_size"] == 80


def test_mistakes_are_named(whisper: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown quantization 'int-8'.* Did you mean 'int8'\?"):
        to_ctranslate2(whisper, "int-8")
    with pytest.raises(UsageError, match="no such directory"):
        to_ctranslate2(tmp_path / "absent", "int8")
    copy = _copy(whisper, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    del weights["model.encoder.conv1.bias"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LorsError, match=r"copy: the tensor 'model\.encoder\.conv1\.bias' .* is missing"):
        to_ctranslate2(copy, "int8")
    (copy / "tokenizer.json").unlink()
    with pytest.raises(LorsError, match=r"tokenizer\.json: no such file"):
        to_ctranslate2(copy, "int8")
    (copy / "config.json").write_text('{"model_type": "bart"}')
    with pytest.raises(UsageError, match=r"config\.json: the model type is 'bart', expected 'whisper'"):
        to_ctranslate2(copy, "int8")
    assert [path for path in (cache / "ctranslate2").iterdir() if path.is_dir()] == []


def test_two_processes_that_want_the_same_are_both_served(whisper: Path, cache: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from lors.checkpoints.ctranslate2 import to_ctranslate2\n"
    )
    program += (
        "path = to_ctranslate2(Path(sys.argv[1]), 'int8'); print(path, (path / 'model.bin').stat().st_ino)"
    )
    command = [sys.executable, "-c", program, str(whisper)]
    converting = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate()[0] for process in converting]
    assert [process.returncode for process in converting] == [0, 0]
    assert answers[0] == answers[1]


def test_the_conversions_used_last_are_kept(whisper: Path, cache: Path) -> None:
    made = [to_ctranslate2(whisper, quantization) for quantization in ("int8", "int16", "float16", "float32")]
    for age, path in enumerate(made):
        long_ago = time.time() - 1000 + age
        os.utime(path, (long_ago, long_ago))
    to_ctranslate2(whisper, "int8")
    assert prune_conversions(keep=2) == [made[2], made[1]]
    assert sorted(path for path in (cache / "ctranslate2").iterdir() if path.is_dir()) == sorted(
        [made[0], made[3]]
    )
    assert prune_conversions() == []


def test_pruning_an_empty_cache_does_nothing(cache: Path) -> None:
    assert prune_conversions() == []
