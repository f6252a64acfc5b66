"""`lors finetune --lora-rank`, as it is typed: an adapter that `lors merge` takes, and mistakes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import WhisperForConditionalGeneration

SHORT = (
    "--window",
    "50",
    "--batch-size",
    "2",
    "--max-steps",
    "4",
    "--device",
    "cpu",
    "--learning-rate",
    "3e-3",
)


@pytest.fixture
def data(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("train", [(0.4, f"palabra {n}", "es", "es") for n in range(4)])


@pytest.fixture
def finetune(here, tiny_whisper, data, tmp_path):
    def run(*flags: str, out: str = "adapter", train: Path = data):
        command = ["finetune", "--base", str(tiny_whisper), "--train", str(train), "--out", out]
        return here(tmp_path, *command, *SHORT, *flags)

    return run


def test_an_adapter_is_an_expert_of_a_merge(finetune, here, tiny_whisper, manifest_of, tmp_path):
    flags = ("--lora-rank", "4", "--lora-alpha", "6", "--lora-targets", "q_proj,fc1")
    done = finetune(*flags)
    assert done.code == 0, done.stderr
    assert "(4 steps, " in done.stdout
    settings = json.loads((tmp_path / "adapter" / "finetune.json").read_text())["job"]["settings"]
    assert {name: settings[name] for name in settings if name.startswith("lora")} == {
        "lora_rank": 4,
        "lora_alpha": 6.0,
        "lora_targets": "q_proj,fc1",
    }
    french = manifest_of("french", [(0.5, f"mot {n}", "fr", "fr") for n in range(4)])
    assert finetune("--lora-rank", "2", out="second", train=french).code == 0

    merge = ["merge", "--base", str(tiny_whisper), "--method", "task-arithmetic", "--scale", "1"]
    for experts in (["adapter"], ["adapter", "second"]):
        out = "-".join(experts)
        flags = tuple(flag for expert in experts for flag in ("--expert", expert))
        merged = here(tmp_path, *merge, *flags, "--out", f"merged-{out}")
        assert merged.code == 0, merged.stderr

    base = WhisperForConditionalGeneration.from_pretrained
    torch.manual_seed(1)
    inputs = {
        "input_features": torch.randn(2, 80, 3000),
        "decoder_input_ids": torch.randint(0, 200, (2, 9)),
    }
    with torch.no_grad():
        by_peft = PeftModel.from_pretrained(base(tiny_whisper), tmp_path / "adapter").eval()(**inputs).logits
        by_lors = base(tmp_path / "merged-adapter").eval()(**inputs).logits
        untouched = base(tiny_whisper).eval()(**inputs).logits
    torch.testing.assert_close(by_lors, by_peft, rtol=0, atol=1e-5)
    assert (by_lors - untouched).abs().max() > 1e-3

    both = PeftModel.from_pretrained(base(tiny_whisper), tmp_path / "adapter", adapter_name="one")
    both.load_adapter(tmp_path / "second", "two")
    both.add_weighted_adapter(["one", "two"], [1.0, 1.0], "sum", combination_type="cat")
    both.set_adapter("sum")
    with torch.no_grad():
        by_peft = both.eval()(**inputs).logits
        by_lors = base(tmp_path / "merged-adapter-second").eval()(**inputs).logits
    torch.testing.assert_close(by_lors, by_peft, rtol=0, atol=1e-5)


def test_an_adapter_is_no_model_to_evaluate_or_to_begin_from(finetune, here, data, tmp_path):
    assert finetune("--lora-rank", "2").code == 0
    for command in (
        ("evaluate", "adapter", "--data", str(data), "--out", "results"),
        ("finetune", "--base", "adapter", "--train", str(data), "--out", "more"),
    ):
        done = here(tmp_path, *command)
        assert done.code == 2
        assert len(done.stderr.splitlines()) == 1
        assert "a LoRA adapter; write it into its base model first" in done.stderr


def test_a_dry_run_shows_the_adapter_and_writes_nothing(finetune, tmp_path, everything):
    before = everything(tmp_path)
    done = finetune("--lora-rank", "4", "--dry-run")
    assert done.code == 0, done.stderr
    assert everything(tmp_path) == before
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "lora_rank 4 (given)",
        "lora_alpha 8 (default)",
        "lora_targets q_proj,v_proj (default)",
        "parameters trained 1,024",  # rank 4, (16 + 16) wide, q and v of four blocks of attention
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--lora-rank", "0"), "LoRA rank 0: expected 1 or more, as 16."),
        (("--lora-rank", "17"), "LoRA rank 17: "),
        (("--lora-rank", "4", "--lora-alpha", "0"), "LoRA alpha 0: expected more than zero, as 8."),
        (("--lora-rank", "4", "--lora-alpha", "nan"), "LoRA alpha nan: expected more than zero"),
        (("--lora-rank", "4", "--lora-targets", "q_prj"), "'q_prj': expected some of q_proj, "),
        (("--lora-rank", "4", "--lora-targets", "q_prj"), "Did you mean 'q_proj'?"),
        (("--lora-rank", "4", "--lora-targets", "q_proj,,v_proj"), "LoRA target '': expected"),
        (("--lora-alpha", "32"), "LoRA alpha 32.0: is given without a rank; add --lora-rank, as 16."),
        (("--lora-targets", "v_proj"), "LoRA targets v_proj: is given without a rank"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry"])
def test_a_mistake_is_one_sentence_and_leaves_nothing(finetune, tmp_path, everything, flags, words, dry):
    before = everything(tmp_path)
    done = finetune(*flags, *dry)
    assert (done.code, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert everything(tmp_path) == before


def test_without_peft_it_says_what_to_install(finetune, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    done = finetune("--lora-rank", "4")
    assert done.code == 2
    assert done.stderr == (
        "lors: LoRA needs the package peft, which is not installed; run: pip install 'lors[lora]'.\n"
    )
    assert finetune().code == 0
