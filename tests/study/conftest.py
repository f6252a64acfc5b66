"""The toy study's helpers, and processes of `lors study` that may be killed."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file


def _toy() -> ModuleType:
    name = "lors_tests_toy_study"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("toy_study.py"))
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def toy() -> Any:
    """The module `toy_study`."""
    return _toy()


@pytest.fixture(scope="session")
def make_expert(make_whisper: Callable[..., Path]) -> Callable[[Path, int, float], Path]:
    """Makes the toy Whisper with noise upon it: (folder, seed, the noise's standard deviation) → the folder."""

    def make(folder: Path, seed: int, noise: float) -> Path:
        weights = make_whisper(folder) / "model.safetensors"
        generator = torch.Generator().manual_seed(seed)
        tensors = load_file(weights)
        save_file(
            {k: t + noise * torch.randn(t.shape, generator=generator) for k, t in tensors.items()}, weights
        )
        return folder

    return make


@pytest.fixture(scope="session")
def make_toy(toy: Any, make_whisper: Callable[..., Path]) -> Callable[..., Path]:
    """Makes a folder with base, data and study file: (folder, changes of the study) → the study file."""

    def make(
        folder: Path, changes: dict[str, Any] | None = None, languages: tuple[str, ...] = ("es", "fr")
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "base").exists():
            make_whisper(folder / "base")
            toy.write_data(folder / "data", languages)
        return toy.write_study(folder, changes)

    return make
