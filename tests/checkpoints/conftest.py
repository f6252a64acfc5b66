"""A small random Whisper, written by transformers, with a tokenizer of bytes and Whisper's special tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from lors.checkpoints.whisper_files import generation_config, token_ids, write_processor, write_tokenizer

SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|es|>",
    "<|haw|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
]


def _tokenizer() -> dict[str, Any]:
    alphabet = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab={**alphabet, "ab": 256}, merges=[("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([f"<|{step * 0.02:.2f}|>" for step in range(11)])
    return json.loads(tokenizer.to_str())


def make_whisper(directory: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Write the model; no tensor stays at the ones or zeros of a fresh one."""
    directory.mkdir(parents=True)
    tokenizer = _tokenizer()
    ids = token_ids(tokenizer)
    end = ids["<|endoftext|>"]
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(ids),
            num_mel_bins=80,
            d_model=32,
            encoder_layers=2,
            decoder_layers=3,
            encoder_attention_heads=2,
            decoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_ffn_dim=48,
            max_source_positions=1500,
            max_target_positions=64,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
            decoder_start_token_id=ids["<|startoftranscript|>"],
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    decoding = {
        "alignment_heads": [[1, 0], [2, 3]],
        "lang_ids": [ids["<|en|>"], ids["<|es|>"], ids["<|haw|>"]],
        "suppress_ids": [1, 2, 7],
        "suppress_ids_begin": [220, end],
    }
    model.generation_config = GenerationConfig.from_dict(generation_config(ids, decoding))
    model.to(dtype).save_pretrained(directory)
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    write_tokenizer(directory, tokenizer)
    write_processor(directory, 80)
    return directory


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small Whisper in float32; tests only read it."""
    return make_whisper(tmp_path_factory.mktemp("models") / "whisper")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("LORS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
