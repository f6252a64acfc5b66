import struct
from pathlib import Path

import pytest
import torch
from ctranslate2.specs import WhisperSpec
from safetensors.torch import load_file

from lors.base.errors import LorsError
from lors.checkpoints.ctranslate2 import to_ctranslate2
from lors.checkpoints.ctranslate2_weights import read_variables, to_hugging_face, whisper_layout


@pytest.mark.parametrize("quantization", ["float32", "float16", "bfloat16"])
def test_there_and_back_gives_the_same_weights(whisper: Path, cache: Path, quantization: str) -> None:
    converted = to_ctranslate2(whisper, quantization) / "model.bin"
    back = to_hugging_face(read_variables(bytearray(converted.read_bytes()), converted))
    truth = load_file(whisper / "model.safetensors")
    assert list(back) == sorted(truth)
    for name, tensor in back.items():
        assert torch.equal(tensor, truth[name].to(getattr(torch, quantization)))


def test_the_layout_names_every_weight_that_ctranslate2_asks_for() -> None:
    asked = {name for name, value in WhisperSpec(3, 2, 4, 2).variables().items() if value is None}
    layout = whisper_layout(3, 4)
    assert len(asked) > 80
    assert asked <= set(layout)
    assert {name.rpartition("/")[2] for name in set(layout) - asked} == {"bias", "encodings"}
    assert all(name.startswith("model.") for names in layout.values() for name in names)


def _content(whisper: Path) -> bytearray:
    return bytearray((to_ctranslate2(whisper, "float32") / "model.bin").read_bytes())


def test_a_truncated_model_is_told(whisper: Path, cache: Path) -> None:
    content = _content(whisper)
    for keep in (0, 3, 20, 1000, len(content) // 2, len(content) - 3):
        with pytest.raises(LorsError, match=r"here/model\.bin: not a CTranslate2 model, or a truncated one"):
            read_variables(content[:keep], Path("here/model.bin"))


def test_another_version_is_told(whisper: Path, cache: Path) -> None:
    content = _content(whisper)
    content[:4] = struct.pack("<I", 5)
    with pytest.raises(LorsError, match=r"model\.bin: CTranslate2 binary version 5, expected 6"):
        read_variables(content, "model.bin")
