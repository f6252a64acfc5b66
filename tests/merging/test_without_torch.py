"""Merges of safetensors in float32 leave PyTorch alone, and give the bytes that it would give."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lors.merging.engine import merge
from lors.merging.pieces import PIECE

Tensors = dict[str, torch.Tensor]

SHAPES = {
    # Over several pieces, none of which ends where the tensor does; over one entry more than a piece; within one.
    "model.decoder.embed_tokens.weight": (2 * PIECE // 7 + 11, 7),
    "model.encoder.layers.0.fc1.weight": (PIECE + 1,),
    "model.encoder.layers.0.fc2.weight": (37, 53),
    "model.encoder.conv1.weight": (5, 3, 3),
    "model.encoder.layers.0.fc1.bias": (1,),
    "model.encoder.factor": (),
    "model.encoder.nothing": (0, 4),
}
SIZES = (1.0, 1e-3, 1e-2, 1e-44, 1e30)


def _random(seed: int, scale: float) -> Tensors:
    """Every magnitude, zeros of both signs, numbers below the normal ones."""
    generator = torch.Generator().manual_seed(seed)
    content = {}
    for name, shape in SHAPES.items():
        sizes = torch.tensor(SIZES)[torch.randint(len(SIZES), shape, generator=generator)]
        signs = torch.randint(-1, 2, shape, generator=generator)
        content[name] = scale * sizes * signs * (1 + torch.rand(shape, generator=generator))
    return content


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base` and `experts/0` in a single file, `experts/1` and `experts/2` in shards."""
    folder = tmp_path_factory.mktemp("models")
    base = _random(0, 1.0)
    for number, name in enumerate(("base", "experts/0", "experts/1", "experts/2")):
        change = _random(number, 1e-3)
        content = {n: t if number == 0 else t + change[n] for n, t in base.items()}
        content["model.encoder.steps"] = torch.arange(5)
        directory = folder / name
        directory.mkdir(parents=True)
        (directory / "config.json").write_text('{"model_type": "whisper", "dtype": "float32"}\n')
        if number < 2:
            save_file(content, directory / "model.safetensors")
            continue
        placed = {}
        for part, names in enumerate((sorted(content)[::2], sorted(content)[1::2]), start=1):
            file = f"model-0000{part}-of-00002.safetensors"
            save_file({n: content[n] for n in names}, directory / file)
            placed |= dict.fromkeys(names, file)
        (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    return folder


def _load(directory: Path) -> Tensors:
    return {name: t for file in directory.glob("*.safetensors") for name, t in load_file(file).items()}


def _by_torch(models: Path, recipe: dict[str, object]) -> Tensors:
    """θ = θ0 + λ Σ wi·τi or Σ wi·θi / Σ wi: sums in float32 in the order of the experts, the rest in float64."""
    base = _load(models / "base")
    experts = [(_load(models / e["model"]), e.get("weight", 1.0)) for e in recipe["experts"]]
    merged = {}
    for name, start in base.items():
        if name == "model.encoder.steps":
            merged[name] = start
            continue
        weights = torch.tensor([weight for _, weight in experts], dtype=torch.float32)
        if recipe["method"] == "task-arithmetic":
            total = torch.zeros_like(start)
            for (expert, _), weight in zip(experts, weights, strict=True):
                total = total + (expert[name] - start) * weight
            merged[name] = (total.double() * recipe["scale"] + start.double()).float()
        else:
            total = experts[0][0][name] * weights[0]
            for (expert, _), weight in zip(experts[1:], weights[1:], strict=True):
                total = total + expert[name] * weight
            total = total / torch.tensor(sum(weight for _, weight in experts), dtype=torch.float32)
            merged[name] = total.double().float()
    return merged


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.3, 1.0, -0.7)])
@pytest.mark.parametrize(
    ("method", "scale"), [("task-arithmetic", 0.2), ("task-arithmetic", -1.7), ("weight-averaging", None)]
)
def test_the_bytes_are_those_of_torch(
    method: str, scale: float | None, weights: tuple[float, ...], workers: int, models: Path, tmp_path: Path
) -> None:
    experts = [{"model": f"experts/{i}", "weight": weight} for i, weight in enumerate(weights)]
    recipe = {"method": method, "experts": experts} | ({} if scale is None else {"scale": scale})
    absolute = [{**expert, "model": str(models / expert["model"])} for expert in experts]
    asked = {**recipe, "base": str(models / "base"), "experts": absolute}
    shard_size = 300_000 if workers == 5 else None
    result = merge(asked, tmp_path / "out", workers=workers, shard_size=shard_size)
    found, expected = _load(result.path), _by_torch(models, recipe)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        same = found[name].reshape(-1).view(torch.uint8) == tensor.reshape(-1).view(torch.uint8)
        assert same.all(), name


PROGRAM = """
import sys
from lors.cli.main import main
try:
    main()
finally:
    print("torch" in sys.modules)
"""
MODELS = ("--base", "base", "--expert", "experts/0", "--expert", "experts/1")
ARITHMETIC = ("merge", *MODELS, "--method", "task-arithmetic", "--scale", "0.2")
LORS = (
    *("--method", "lors", "--tensors", "*.fc2.weight"),
    *("--scale", "0.2", "--rank-ratio", "0.1", "--keep-ratio", "0.2"),
)


def _run(models: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=models,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("methods",),
        (*ARITHMETIC, "--dry-run"),
        ARITHMETIC,
        (*ARITHMETIC, "--shard-size", "300kB", "--workers", "3", "--weight", "1", "--weight", "0.5"),
        ("merge", *MODELS, "--method", "weight-averaging"),
        ("merge", *MODELS, "--method", "ties", "--scale", "1", "--keep-ratio", "0.2"),
        ("merge", *MODELS, *LORS),
    ],
    ids=lambda arguments: " ".join(a for a in arguments if not a.startswith(("base", "experts"))),
)
def test_torch_is_not_loaded(arguments: tuple[str, ...], models: Path, tmp_path: Path) -> None:
    writes = arguments[0] == "merge" and "--dry-run" not in arguments
    out = ("--out", tmp_path / "merged") if writes else ()
    result = _run(models, *arguments, *out)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "False"
    if writes:
        verified = _run(models, "verify", tmp_path / "merged")
        assert verified.returncode == 0, verified.stdout
        assert verified.stdout.splitlines()[-1] == "False"
        with safe_open(next((tmp_path / "merged").glob("*.safetensors")), "np") as file:
            assert file.metadata()["lors"] in verified.stdout


def test_a_mistake_is_told_without_torch(models: Path, tmp_path: Path) -> None:
    result = _run(models, *ARITHMETIC, "--expert", "experts/9", "--out", tmp_path / "merged")
    assert result.returncode != 0
    assert "model 'experts/9': no such directory" in result.stderr
    assert result.stdout.splitlines() == ["False"]


def test_half_precision_is_rounded_by_torch(models: Path, tmp_path: Path) -> None:
    """That these tests would see PyTorch."""
    result = _run(models, *ARITHMETIC, "--dtype", "bfloat16", "--out", tmp_path / "m")
    assert result.stdout.splitlines()[-1:] == ["True"], result.stderr
