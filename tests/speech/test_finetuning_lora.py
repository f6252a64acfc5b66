"""LoRA: what PEFT makes of the adapter, what `lors merge` makes of it, what is trained and what is not."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModel, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import WhisperForConditionalGeneration

from lors.base.errors import LorsError, UsageError
from lors.merging.engine import merge
from lors.speech import finetuning, training
from lors.speech.finetuning import finetune
from lors.speech.finetuning_settings import choose_settings
from lors.speech.presets import find_preset
from lors.speech.training import mean_losses

SETTINGS = {
    "window": 50,
    "batch_size": 2,
    "learning_rate": 3e-3,
    "epochs": 3,
    "device": "cpu",
    "lora_rank": 4,
}
"""For `data`: six clips, three steps an epoch, nine in all."""


@pytest.fixture
def data(manifest_of: Callable[..., Path]) -> Path:
    words = ["uno", "dos", "tres", "cuatro", "cinco", "seis"]
    return manifest_of("train", [(0.4 + 0.1 * n, word, "es", "es") for n, word in enumerate(words)])


@pytest.fixture
def dev(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("dev", [(0.4, "uno dos", "es", "es"), (0.6, "three", "fr", "en")])


def load(directory: Path) -> WhisperForConditionalGeneration:
    return WhisperForConditionalGeneration.from_pretrained(directory).eval()


def with_adapter(base: Path, adapter: Path) -> torch.nn.Module:
    return PeftModel.from_pretrained(load(base), adapter).eval()


def logits(model: torch.nn.Module) -> torch.Tensor:
    torch.manual_seed(1)
    features, tokens = torch.randn(2, 80, 3000), torch.randint(0, 200, (2, 9))
    with torch.no_grad():
        return model(input_features=features, decoder_input_ids=tokens).logits


def stored(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "adapter_model.safetensors")


def equal(one: Path, other: Path) -> bool:
    first, second = stored(one), stored(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


TARGETS = [None, "v_proj, q_proj", "q_proj,k_proj,v_proj,out_proj,fc1,fc2"]


@pytest.mark.parametrize("targets", TARGETS)
def test_peft_loads_what_lors_merges_to_the_same_model(tiny_whisper, data, dev, tmp_path, targets):
    lora = {"lora_alpha": 12.5, "lora_targets": targets}
    out = finetune(tiny_whisper, [data], tmp_path / "adapter", [dev], **SETTINGS, **lora).directory
    assert sorted(path.name for path in out.iterdir()) == [
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "finetune.json"),
    ]
    recipe = {"base": str(tiny_whisper), "method": "task-arithmetic", "scale": 1.0, "experts": [str(out)]}
    merged = merge(recipe, tmp_path / "merged").path
    found = logits(with_adapter(tiny_whisper, out))
    torch.testing.assert_close(found, logits(load(merged)), rtol=0, atol=1e-5)
    assert (found - logits(load(tiny_whisper))).abs().max() > 1e-3
    torch.testing.assert_close(found, logits(AutoPeftModel.from_pretrained(out).eval()), rtol=0, atol=1e-6)


def test_the_adapter_has_the_tensors_and_settings_of_one_that_peft_makes(tiny_whisper, data, tmp_path):
    settings = {**SETTINGS, "max_steps": 1, "lora_targets": "q_proj,fc2", "lora_alpha": 8.0}
    out = finetune(tiny_whisper, [data], tmp_path / "adapter", **settings).directory
    own = get_peft_model(load(tiny_whisper), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "fc2"]))
    own.save_pretrained(tmp_path / "own")
    shapes = {name: tensor.shape for name, tensor in stored(out).items()}
    assert shapes == {name: tensor.shape for name, tensor in stored(tmp_path / "own").items()}
    configs = [json.loads((of / "adapter_config.json").read_text()) for of in (out, tmp_path / "own")]
    for config in configs:
        config["target_modules"] = sorted(config["target_modules"])
    assert configs[0] == configs[1]
    assert configs[0]["base_model_name_or_path"] == str(tiny_whisper)


def test_the_adapter_alone_is_trained(tiny_whisper, data, tmp_path, monkeypatch):
    seen: list[torch.nn.Module] = []
    whole = training.label_losses

    def label_losses(model, *arguments):
        seen[:] = [model]
        return whole(model, *arguments)

    monkeypatch.setattr(training, "label_losses", label_losses)
    out = finetune(tiny_whisper, [data], tmp_path / "adapter", **SETTINGS).directory
    before = load_file(tiny_whisper / "model.safetensors")
    frozen = {
        name.replace(".base_layer", ""): parameter
        for name, parameter in seen[0].named_parameters()
        if ".lora_" not in name
    }
    assert frozen.keys() == before.keys()
    for name, parameter in frozen.items():
        assert not parameter.requires_grad and parameter.grad is None
        assert torch.equal(parameter, before[name]), name
    trained = [name for name, parameter in seen[0].named_parameters() if parameter.requires_grad]
    assert len(trained) == len(stored(out)) == 2 * 2 * (2 + 1 + 1)  # A, B; q, v; encoder's, self, cross
    for name, tensor in stored(out).items():
        if "lora_B" in name:
            assert tensor.abs().max() > 0, name
    record = json.loads((out / "finetune.json").read_text())
    assert record["parameters_trained"] == sum(tensor.numel() for tensor in stored(out).values())
    assert "peft" in record["versions"]


def test_the_loss_before_training_is_that_of_the_base(tiny_whisper, data, dev, tmp_path):
    short = {**SETTINGS, "max_steps": 1}
    adapter = finetune(tiny_whisper, [data], tmp_path / "a", [dev], **short)
    whole = finetune(tiny_whisper, [data], tmp_path / "b", [dev], **{**short, "lora_rank": None})
    assert adapter.dev_losses[0] == whole.dev_losses[0]
    assert adapter.base_loss == whole.base_loss


def test_broken_off_it_goes_on_to_the_same_bytes_with_small_checkpoints(
    tiny_whisper, data, dev, tmp_path, monkeypatch
):
    settings = {**SETTINGS, "save_steps": 2}
    finetune(tiny_whisper, [data], tmp_path / "whole", [dev], **settings)
    with monkeypatch.context() as patch:
        whole, calls = training.label_losses, iter(range(10_000))

        def label_losses(model, *arguments):
            if model.training and next(calls) == 7:
                raise KeyboardInterrupt
            return whole(model, *arguments)

        patch.setattr(training, "label_losses", label_losses)
        with pytest.raises(KeyboardInterrupt):
            finetune(tiny_whisper, [data], tmp_path / "broken", [dev], **settings)
    checkpoint = max((tmp_path / "broken.partial").glob("checkpoint-*"))
    assert not (checkpoint / "model.safetensors").exists()
    optimiser = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    assert len(optimiser["state"]) == len(stored(checkpoint))

    finetune(tiny_whisper, [data], tmp_path / "broken", [dev], **settings)
    assert json.loads((tmp_path / "broken" / "finetune.json").read_text())["resumed_after_step"] == 6
    assert equal(tmp_path / "broken", tmp_path / "whole")
    finetune(tiny_whisper, [data], tmp_path / "other", [dev], **settings, seed=1)
    assert not equal(tmp_path / "other", tmp_path / "whole")


def scripted(losses: Iterator[float]) -> Callable[..., dict[str, float]]:
    def evaluated(*arguments: object) -> dict[str, float]:
        found = mean_losses(*arguments)
        return {name: next(losses) if name == "" else loss for name, loss in found.items()}

    return evaluated


def test_the_adapter_of_lowest_dev_loss_is_kept(tiny_whisper, data, dev, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training, "mean_losses", scripted(iter([5.0, 3.0, 2.0, 4.0])))
        result = finetune(tiny_whisper, [data], tmp_path / "adapter", [dev], **SETTINGS)
    assert (result.kept_step, result.steps) == (6, 9)
    recipe = {
        "base": str(tiny_whisper),
        "method": "task-arithmetic",
        "scale": 1.0,
        "experts": [str(result.directory)],
    }
    merged = merge(recipe, tmp_path / "merged").path
    again = finetune(merged, [data], tmp_path / "more", [dev], **{**SETTINGS, "max_steps": 1})
    kept, last = result.dev_losses[2]["es-transcribe"], result.dev_losses[3]["es-transcribe"]
    found = again.dev_losses[0]["es-transcribe"]
    assert found == pytest.approx(kept, rel=1e-5) != pytest.approx(last, rel=1e-5)


def test_gradient_checkpointing_changes_nothing(tiny_whisper, data, tmp_path):
    finetune(tiny_whisper, [data], tmp_path / "a", **SETTINGS)
    finetune(tiny_whisper, [data], tmp_path / "b", gradient_checkpointing=True, **SETTINGS)
    other = stored(tmp_path / "b")
    for name, tensor in stored(tmp_path / "a").items():
        assert torch.allclose(tensor, other[name], atol=1e-6), name


def test_a_finished_adapter_is_reused_and_a_damaged_one_is_not(tiny_whisper, data, tmp_path, monkeypatch):
    out = finetune(tiny_whisper, [data], tmp_path / "adapter", **SETTINGS).directory
    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "load_model", lambda *_: pytest.fail("the model was loaded"))
        assert finetune(tiny_whisper, [data], out, reuse=True, **SETTINGS).reused
    with pytest.raises(UsageError, match=r"lora_rank was 4 and is 8; lora_alpha was 8\.0 and is 16"):
        finetune(tiny_whisper, [data], out, reuse=True, **{**SETTINGS, "lora_rank": 8})
    (out / "adapter_model.safetensors").write_bytes(b"gone bad")
    with pytest.raises(LorsError, match=r"adapter_model\.safetensors"):
        finetune(tiny_whisper, [data], out, reuse=True, **SETTINGS)


def test_a_run_of_before_there_was_lora_is_the_run_without_it(tiny_whisper, data, tmp_path):
    settings = {**SETTINGS, "lora_rank": None, "max_steps": 1}
    out = finetune(tiny_whisper, [data], tmp_path / "expert", **settings).directory
    record = json.loads((out / "finetune.json").read_text())
    old = {name: v for name, v in record["job"]["settings"].items() if not name.startswith("lora")}
    record["job"]["settings"] = old
    (out / "finetune.json").write_text(json.dumps(record))
    assert finetune(tiny_whisper, [data], out, reuse=True, **settings).reused
    with pytest.raises(UsageError, match="lora_rank was None and is 4"):
        finetune(tiny_whisper, [data], out, reuse=True, **{**settings, "lora_rank": 4, "learning_rate": 3e-3})


def test_an_adapter_needs_little_space(tiny_whisper, data, tmp_path, monkeypatch):
    free = (
        4 * 7 * 4 * 2 * 8 * (16 + 16)
    )  # of float32: weights, Adam's two, twice, the result; rank 4, q and v
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": free})())
    finetune(tiny_whisper, [data], tmp_path / "adapter", **{**SETTINGS, "max_steps": 1})
    with pytest.raises(LorsError, match="no space on the disk"):
        finetune(tiny_whisper, [data], tmp_path / "b", **{**SETTINGS, "max_steps": 1, "lora_rank": None})


def test_the_settings_that_a_rank_brings_along():
    settings, origins = choose_settings(None, {"lora_rank": 16})
    assert (settings.lora_alpha, settings.lora_targets, settings.learning_rate) == (32, "q_proj,v_proj", 1e-4)
    assert {origins[name] for name in ("lora_alpha", "lora_targets", "learning_rate")} == {"default"}
    settings, origins = choose_settings(None, {"lora_rank": 16, "lora_alpha": 8.0, "learning_rate": 1e-5})
    assert (settings.lora_alpha, settings.learning_rate) == (8, 1e-5)
    assert origins["lora_alpha"] == origins["learning_rate"] == "given"
    settings, origins = choose_settings(find_preset("paper/asr/ca"), {"lora_rank": 16})
    assert (settings.learning_rate, origins["learning_rate"]) == (1e-6, "preset")
    assert choose_settings(None, {})[0].lora_alpha is None
