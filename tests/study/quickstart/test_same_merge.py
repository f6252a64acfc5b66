"""One merge of real experts, from directories, from OpenAI's files and from shards: the same words are heard."""

import json
from pathlib import Path

import pytest
import torch

from lors.checkpoints.find import find_checkpoint
from lors.checkpoints.openai_pt import write_openai
from lors.checkpoints.read import open_checkpoint
from lors.checkpoints.weights import WeightsWriter
from lors.checkpoints.write import copy_side_files
from lors.merging.engine import merge
from lors.speech.evaluation import evaluate


def in_shards(source: Path, out: Path) -> Path:
    out.mkdir()
    model = open_checkpoint(source)
    layout = {name: (info.dtype, info.shape) for name, info in model.tensors.items()}
    with WeightsWriter(out, layout, {}, shard_bytes=50_000_000) as writer:
        for name in model.tensors:
            writer.write(name, model.read(name))
    copy_side_files(source, out)
    return out


def hypotheses(folder: Path) -> dict[str, str]:
    lines = (json.loads(line) for path in folder.iterdir() for line in path.read_text("utf-8").splitlines())
    return {f"{line['source_lang']} {line['id']}": line["hypothesis"] for line in lines if "id" in line}


@pytest.mark.real
def test_hypotheses_do_not_depend_on_the_layout_of_the_inputs(
    real_run: tuple[Path, str], real_experts: tuple[Path, Path], tmp_path: Path
) -> None:
    models = (find_checkpoint("openai/whisper-base"), *real_experts)
    layouts: dict[str, list[Path]] = {"directories": list(models), "pt": [], "shards": []}
    for number, model in enumerate(models):
        file = tmp_path / f"{number}.pt"
        write_openai(model, file, dtype="float32")
        layouts["pt"].append(file)
        layouts["shards"].append(in_shards(model, tmp_path / f"shards-{number}"))
    assert len(list(layouts["shards"][0].glob("model-*.safetensors"))) > 2
    merged = {}
    for layout, (base, *experts) in layouts.items():
        recipe = {
            "base": str(base),
            "method": "lors",
            "scale": 0.6,
            "rank_ratio": 0.01,
            "keep_ratio": 0.2,
            "experts": [str(expert) for expert in experts],
        }
        merged[layout] = merge(recipe, tmp_path / layout).path
    tensors = {layout: open_checkpoint(path) for layout, path in merged.items()}
    for name in tensors["directories"].tensors:
        for layout in ("pt", "shards"):
            assert torch.equal(tensors[layout].read(name), tensors["directories"].read(name)), (layout, name)
    data = [real_run[0] / "data" / f"{language}-transcribe-test.jsonl" for language in ("es", "fr")]
    names = {str(path): layout for layout, path in merged.items()}
    evaluate(list(names), data, tmp_path / "results", names=names, beam_size=5, window=400, limit=5)
    heard = {layout: hypotheses(tmp_path / "results" / "hypotheses" / layout) for layout in merged}
    assert heard["directories"] == heard["pt"] == heard["shards"]
    assert len(heard["directories"]) == 10 and all(heard["directories"].values())
