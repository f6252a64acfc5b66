"""A GPU that does not hold a batch: smaller ones make the same steps."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lors.base.errors import LorsError
from lors.speech import training
from lors.speech.finetuning import finetune
from lors.speech.finetuning_run import smaller_batch
from lors.speech.finetuning_settings import FinetuneSettings

SETTINGS = {"window": 50, "learning_rate": 3e-3, "epochs": 3, "device": "cpu"}
"""For `data`: ten clips, at four a step three steps an epoch, the last of two clips."""


@pytest.fixture
def steady(tiny_whisper: Path, tmp_path: Path) -> Path:
    """A Whisper without dropout, which would draw otherwise for other batches."""
    base = tmp_path / "base"
    shutil.copytree(tiny_whisper, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "dropout": 0.0}))
    return base


@pytest.fixture
def data(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("train", [(0.4, "palabra " * (1 + n % 3) + str(n), "es", "es") for n in range(10)])


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def record(directory: Path) -> dict[str, object]:
    return json.loads((directory / "finetune.json").read_text())


class Memory:
    """A GPU's memory that holds so many clips in training, from the so-manieth batch on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, holds: int, after: int = 0) -> None:
        self.batches: list[int] = []
        whole = training.label_losses

        def label_losses(model, features, labels, *others):
            if model.training:
                self.batches.append(len(labels))
                if len(labels) > holds and len(self.batches) > after:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return whole(model, features, labels, *others)

        monkeypatch.setattr(training, "label_losses", label_losses)


def test_at_the_first_batch_it_is_the_run_with_the_smaller_batch(steady, data, tmp_path, monkeypatch, capsys):
    small = {"batch_size": 2, "gradient_accumulation": 2}
    finetune(steady, [data], tmp_path / "small", **SETTINGS, **small)
    capsys.readouterr()
    memory = Memory(monkeypatch, holds=2)
    finetune(steady, [data], tmp_path / "halved", [], batch_size=4, **SETTINGS)
    said = capsys.readouterr().err
    assert (
        said.count(
            "Out of the GPU's memory: going on with batches of 2, 2 to a step, which is the same 4 clips"
        )
        == 1
    )
    assert memory.batches == [4] + [2] * 15  # five batches an epoch
    one, other = weights(tmp_path / "halved"), weights(tmp_path / "small")
    assert all(torch.equal(one[name], other[name]) for name in other)
    found = record(tmp_path / "halved")
    assert (found["batch_size_used"], found["gradient_accumulation_used"]) == (2, 2)
    assert found["job"]["settings"]["batch_size"] == 4
    assert found["train_losses"] == record(tmp_path / "small")["train_losses"]


@pytest.mark.parametrize(("after", "resumes_after"), [(3, 3), (4, 4), (7, 6)])
def test_later_it_goes_on_from_the_last_checkpoint(
    steady, data, tmp_path, monkeypatch, capsys, after, resumes_after
):
    small = {"batch_size": 2, "gradient_accumulation": 2}
    finetune(steady, [data], tmp_path / "small", [data], **SETTINGS, **small)
    memory = Memory(monkeypatch, holds=2, after=after)
    finetune(steady, [data], tmp_path / "halved", [data], batch_size=4, save_steps=2, **SETTINGS)
    said = capsys.readouterr().err
    assert "going on with batches of 2, 2 to a step" in said
    assert f"Going on after step {resumes_after}, from" in said
    steps_left = 9 - resumes_after
    epochs_left, of_epoch = divmod(steps_left, 3)
    batches = 5 * epochs_left + {0: 0, 1: 1, 2: 3}[of_epoch]
    assert memory.batches[after + 1 :] == [2] * batches
    one, other = weights(tmp_path / "halved"), weights(tmp_path / "small")
    for name in other:
        assert torch.allclose(one[name], other[name], rtol=0, atol=1e-5), name
    halved, wanted = record(tmp_path / "halved"), record(tmp_path / "small")
    losses = [measured["loss"] for measured in halved["train_losses"]]
    assert losses == pytest.approx([measured["loss"] for measured in wanted["train_losses"]], abs=1e-5)
    assert [of["step"] for of in halved["dev_losses"]] == [0, 3, 6, 9]
    assert halved["batch_size_used"] == 2


def test_it_halves_down_to_one_clip_and_then_stops_with_a_sentence(
    steady, data, tmp_path, monkeypatch, capsys
):
    memory = Memory(monkeypatch, holds=0)
    words = r"does not hold batches of 1 at window 50; use --gradient-checkpointing, a shorter --window, or --lora"
    with pytest.raises(LorsError, match=words) as error:
        finetune(steady, [data], tmp_path / "expert", batch_size=4, **SETTINGS)
    assert len(str(error.value).splitlines()) == 1
    assert memory.batches == [4, 2, 1]
    assert not (tmp_path / "expert").exists() and not (tmp_path / "expert.partial").exists()


def test_a_run_that_goes_on_later_remembers_what_fits(steady, data, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        Memory(patch, holds=2, after=4)
        limited, calls = training.label_losses, iter(range(10_000))

        def label_losses(model, *arguments):
            if model.training and next(calls) == 9:
                raise KeyboardInterrupt
            return limited(model, *arguments)

        patch.setattr(training, "label_losses", label_losses)
        with pytest.raises(KeyboardInterrupt):
            finetune(steady, [data], tmp_path / "expert", batch_size=4, **SETTINGS)
    capsys.readouterr()
    memory = Memory(monkeypatch, holds=2)
    finetune(steady, [data], tmp_path / "expert", batch_size=4, **SETTINGS)
    assert "Out of the GPU's memory" not in capsys.readouterr().err
    assert set(memory.batches) == {2}
    assert record(tmp_path / "expert")["batch_size_used"] == 2


def test_an_adapter_is_trained_on_in_smaller_batches_too(steady, data, tmp_path, monkeypatch):
    lora = {**SETTINGS, "lora_rank": 2}
    finetune(steady, [data], tmp_path / "small", **lora, batch_size=2, gradient_accumulation=2)
    Memory(monkeypatch, holds=2, after=4)
    finetune(steady, [data], tmp_path / "halved", **lora, batch_size=4)
    one, other = (load_file(tmp_path / of / "adapter_model.safetensors") for of in ("halved", "small"))
    for name in other:
        assert torch.allclose(one[name], other[name], rtol=0, atol=1e-5), name


@pytest.mark.parametrize("accumulation", [1, 2, 3, 4])
@pytest.mark.parametrize("batch", [2, 3, 5, 6, 8, 12, 15])
def test_a_smaller_batch_makes_the_same_steps(batch, accumulation):
    size, count = smaller_batch(batch, accumulation)
    assert size * count == batch * accumulation
    assert 1 <= size <= batch // 2
    for clips in range(1, 40):
        before = FinetuneSettings(batch_size=batch, gradient_accumulation=accumulation)
        after = FinetuneSettings(batch_size=size, gradient_accumulation=count)
        assert before.steps(clips) == after.steps(clips)
