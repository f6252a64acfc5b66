import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lors.checkpoints.ctranslate2 import to_ctranslate2
from lors.checkpoints.find import find_checkpoint
from lors.checkpoints.whisper_files import token_ids
from lors.speech.audio import SAMPLE_RATE, load_audio
from lors.speech.corpora.prompt_sources import audio_folder

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def base() -> Path:
    return find_checkpoint("openai/whisper-base")


def test_its_tensors_are_those_of_a_whisper_base_and_finite(base: Path) -> None:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    with torch.device("meta"):
        model = WhisperForConditionalGeneration(WhisperConfig.from_pretrained(base))
    expected = {name: parameter.shape for name, parameter in model.named_parameters()}
    tensors = load_file(base / "model.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected
    assert len(tensors) == 245
    assert sum(tensor.numel() for tensor in tensors.values()) == 72_593_920
    for name, tensor in tensors.items():
        assert tensor.dtype == torch.float32, name
        assert torch.isfinite(tensor).all(), name


def test_its_encoder_positions_are_the_papers_sinusoids(base: Path) -> None:
    """Attention is all you need, 3.5, in the arrangement of openai/whisper: sines, then cosines."""
    rates = np.exp(-np.log(10000) / 255 * np.arange(256))
    angles = np.arange(1500)[:, None] * rates[None, :]
    truth = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    found = load_file(base / "model.safetensors")["model.encoder.embed_positions.weight"]
    np.testing.assert_allclose(found.numpy(), truth, atol=1e-3)


def test_transformers_loads_all_of_it_without_a_remark(base: Path) -> None:
    from transformers import AutoProcessor, WhisperForConditionalGeneration, WhisperProcessor

    model, remarks = WhisperForConditionalGeneration.from_pretrained(base, output_loading_info=True)
    assert not any(remarks.values())
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight
    processor = AutoProcessor.from_pretrained(base)
    assert isinstance(processor, WhisperProcessor)
    tokenizer = processor.tokenizer
    assert len(tokenizer) == 51865
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 50257
    tokenizer.set_prefix_tokens(language="spanish", task="translate")
    assert tokenizer(" Hola, ¿qué tal?").input_ids == [
        50258, 50262, 50358, 50363, 22637, 11, 3841, 16412, 4023, 30, 50257,
    ]  # fmt: skip
    assert tokenizer.decode([50364, 22637, 50414], decode_with_timestamps=True) == "<|0.00|> Hola<|1.00|>"
    features = processor(np.zeros(16000, np.float32), sampling_rate=16000, return_tensors="pt").input_features
    with torch.no_grad():
        logits = model(input_features=features, decoder_input_ids=torch.tensor([[50258]])).logits
    assert torch.isfinite(logits).all()
    generation = model.generation_config
    assert generation.is_multilingual
    assert generation.lang_to_id["<|es|>"] == 50262
    assert len(generation.lang_to_id) == 99
    assert generation.task_to_id == {"transcribe": 50359, "translate": 50358}


def test_older_readers_find_the_same_vocabulary(base: Path) -> None:
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    vocabulary = json.loads((base / "vocab.json").read_text())
    added = json.loads((base / "added_tokens.json").read_text())
    assert vocabulary | added == token_ids(tokenizer)
    assert sorted((vocabulary | added).values()) == list(range(51865))
    merges = (base / "merges.txt").read_text().splitlines()
    assert merges[:2] == ["#version: 0.2", "Ġ t"]
    assert len(merges) == 50_001
    config = json.loads((base / "tokenizer_config.json").read_text())
    assert config["added_tokens_decoder"]["50262"]["content"] == "<|es|>"
    assert config["additional_special_tokens"][-1] == "<|notimestamps|>"


def test_the_processor_settings_are_the_same_in_both_files(base: Path) -> None:
    plain = json.loads((base / "preprocessor_config.json").read_text())
    nested = json.loads((base / "processor_config.json").read_text())
    assert plain == {**nested["feature_extractor"], "processor_class": "WhisperProcessor"}


def test_asked_for_nothing_it_detects_the_language_and_transcribes(base: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(base)
    prompts: list[list[int]] = []
    step = model.forward

    def forward(*args: object, **inputs: object) -> object:
        prompts.append(inputs["decoder_input_ids"][0].tolist())  # type: ignore[index]
        return step(*args, **inputs)

    model.forward = forward
    features = torch.zeros(1, 80, 3000)
    model.generate(features, max_new_tokens=1)
    language = prompts[-1][1]
    assert language in model.generation_config.lang_to_id.values()
    assert prompts[-1] == [50258, language, 50359, 50363]
    model.generate(features, max_new_tokens=1, language="es", task="translate")
    assert prompts[-1] == [50258, 50262, 50358, 50363]


def test_it_writes_down_a_real_voice_in_transformers_and_in_faster_whisper(base: Path) -> None:
    from faster_whisper import WhisperModel
    from transformers import pipeline

    clip = load_audio(audio_folder("en") / "agent-incorrect.g722")
    recognise = pipeline("automatic-speech-recognition", model=str(base))
    model = WhisperModel(str(to_ctranslate2(base, "int8")), device="cpu", cpu_threads=1)
    texts = [
        recognise({"raw": clip, "sampling_rate": SAMPLE_RATE})["text"],
        "".join(segment.text for segment in model.transcribe(clip)[0]),
    ]
    for text in texts:
        assert text.lower().endswith("incorrect. please enter your agent number followed by the pound key.")
