"""Small random Whispers with the real tensor names, and experts near them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]


def save(directory: Path, tensors: Mapping[str, torch.Tensor]) -> Path:
    """A checkpoint directory of nothing but weights and a minimal configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, directory / "model.safetensors"
    )
    (directory / "config.json").write_text('{"model_type": "whisper", "dtype": "float32"}\n')
    return directory


def load(directory: Path) -> Tensors:
    return load_file(directory / "model.safetensors")


def perturbed(base: Mapping[str, torch.Tensor], seed: int, size: float = 1e-3) -> Tensors:
    """An expert: the base and a task vector of flat spectrum, as real ones have, in every float tensor."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + size * torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in base.items()
    }


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base` (written by transformers) and `experts/es`, `experts/fr`, `experts/it`."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=400,
        num_mel_bins=8,
        d_model=96,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=384,
        decoder_ffn_dim=384,
        max_source_positions=50,
        max_target_positions=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    WhisperForConditionalGeneration(config).save_pretrained(folder / "base")
    (folder / "base" / "tokenizer.json").write_text("{}\n")
    (folder / "base" / "README.md").write_text("the base's own card\n")
    base = load(folder / "base")
    for seed, name in enumerate(("es", "fr", "it"), start=1):
        save(folder / "experts" / name, perturbed(base, seed))
    return folder


@pytest.fixture
def recipe(models: Path) -> Callable[..., dict[str, object]]:
    """A LoRS recipe of the `models`, with the changes that are given."""

    def make(**changes: object) -> dict[str, object]:
        whole: dict[str, object] = {
            "base": str(models / "base"),
            "method": "lors",
            "scale": 0.3,
            "rank_ratio": 0.05,
            "keep_ratio": 0.2,
            "experts": [str(models / "experts" / name) for name in ("es", "fr")],
        }
        whole.update(changes)
        return {key: value for key, value in whole.items() if value is not None}

    return make


def relative_error(found: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> float:
    """‖found − reference‖ / ‖reference‖, Frobenius, over all tensors."""
    assert found.keys() == reference.keys()
    error = sum(
        float(np.square(found[name].astype(np.float64) - reference[name]).sum()) for name in reference
    )
    size = sum(float(np.square(reference[name].astype(np.float64)).sum()) for name in reference)
    return float(np.sqrt(error / size))


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """save, load, perturbed, relative_error."""
    return SimpleNamespace(save=save, load=load, perturbed=perturbed, relative_error=relative_error)
