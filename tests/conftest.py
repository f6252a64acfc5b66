"""A small random Whisper for tests of plumbing; a short run of the quickstart for tests on real weights and voices."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Before torch is loaded, for this process and all that it starts: on several threads sums round differently from
# run to run, and tests compare runs bit for bit.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import soundfile
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|es|>",
    "<|fr|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one real run share a process, so that the run is made once; long tests come first."""
    items.sort(key=lambda item: item.get_closest_marker("real") is None)
    for item in items:
        if "real_run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("real_run"))


def make_tiny_whisper(directory: Path, special: tuple[str, ...] = SPECIAL, multilingual: bool = True) -> Path:
    """A complete Whisper directory of some 60 thousand parameters, with dropout, so that its training is random."""
    directory.mkdir(parents=True)
    alphabet = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    tokenizer.save(str(directory / "tokenizer.json"))
    names = {
        "tokenizer_class": "WhisperTokenizer",
        **{f"{role}_token": SPECIAL[0] for role in ("bos", "eos", "pad", "unk")},
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(names))
    end, start = (tokenizer.token_to_id(token) for token in SPECIAL[:2])
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=tokenizer.get_vocab_size(),
            num_mel_bins=80,
            d_model=16,
            encoder_layers=2,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            dropout=0.1,
            max_target_positions=64,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
            decoder_start_token_id=start,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )
    model.generation_config = GenerationConfig(
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        is_multilingual=multilingual,
        max_length=64,
    )
    model.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small multilingual Whisper; tests only read it."""
    return make_tiny_whisper(tmp_path_factory.mktemp("tiny") / "whisper")


@pytest.fixture(scope="session")
def make_whisper() -> Callable[..., Path]:
    """`make_tiny_whisper`, for a Whisper that a test may change."""
    return make_tiny_whisper


@pytest.fixture
def manifest_of(tmp_path: Path) -> Callable[..., Path]:
    """Writes a manifest of tones: (name, [(seconds, text, source_lang, target_lang) …])."""

    def write(name: str, clips: list[tuple[float, str, str, str]]) -> Path:
        lines = []
        for number, (seconds, text, source, target) in enumerate(clips):
            time = np.arange(round(seconds * 16000)) / 16000
            pitch = 200 + 100 * sum(map(ord, text)) % 1500
            audio = tmp_path / f"{name}-{number}.wav"
            soundfile.write(audio, 0.3 * np.sin(2 * np.pi * pitch * time), 16000)
            line = {
                "id": f"{name}-{number}",
                "audio_filepath": audio.name,
                "duration": seconds,
                "text": text,
                "source_lang": source,
                "target_lang": target,
            }
            lines.append(json.dumps(line, ensure_ascii=False))
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


SHORT_RUN = ("--max-steps", "3", "--limit", "5", "--scales", "0.4,0.8")


@pytest.fixture(scope="session")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A quickstart a few steps long, on real weights and voices: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("quickstart") / "run"
    command = [sys.executable, "-m", "lors", "quickstart", "--out", str(folder), *SHORT_RUN]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="session")
def real_experts(real_run: tuple[Path, str]) -> tuple[Path, Path]:
    """whisper-base after a few steps on Spanish, and on French."""
    experts = real_run[0] / "experts"
    return experts / "es-transcribe", experts / "fr-transcribe"
