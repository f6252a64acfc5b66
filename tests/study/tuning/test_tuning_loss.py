"""The first look in memory: the very tensors of the merge, and the loss that transformers itself computes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from lors.base.errors import LorsError, UsageError
from lors.checkpoints.read import open_checkpoint
from lors.merging import factors
from lors.merging.engine import merge, task_sum
from lors.speech.audio import load_audio
from lors.speech.window import log_mel
from lors.study.tuning import loss as loss_module
from lors.study.tuning.loss import DevLoss
from lors.study.tuning.tune import tune


@pytest.fixture
def models(make_whisper: Callable[..., Path], make_expert: Callable[..., Path], tmp_path: Path) -> list[str]:
    """A base and two experts."""
    experts = [make_expert(tmp_path / name, seed, 0.02) for seed, name in ((1, "one"), (2, "two"))]
    return [str(path) for path in (make_whisper(tmp_path / "base"), *experts)]


def recipe_of(models: list[str], method: str = "lors", **keys: Any) -> dict[str, Any]:
    return {"base": models[0], "method": method, "experts": models[1:], **keys}


@pytest.fixture
def dev(manifest_of: Callable[..., Path]) -> Path:
    clips = [(1.0, "uno dos", "es", "es"), (1.2, "un deux", "fr", "fr"), (0.8, "one two", "es", "en")]
    return manifest_of("dev", clips * 1 + [(1.1, "tres cuatro", "es", "es")])


def test_the_candidate_in_memory_is_the_merge_on_disk(models: list[str], dev: Path, tmp_path: Path) -> None:
    recipe = recipe_of(models, scale=0.37, rank_ratio=0.2, keep_ratio=0.1)
    dev_loss = DevLoss(open_checkpoint(Path(models[0])), [dev], 100, None, 0)
    known = task_sum({**recipe, "scale": 0.9})
    dev_loss.load(known.at(0.37))
    merge(recipe, tmp_path / "merged")
    on_disk = load_file(tmp_path / "merged" / "model.safetensors")
    in_memory = dev_loss.state()
    assert in_memory.keys() == on_disk.keys()
    for name, tensor in on_disk.items():
        assert in_memory[name].dtype == torch.float32
        assert torch.equal(in_memory[name], tensor), name
    # Written into the parameters themselves, over whatever they held.
    dev_loss.load(known.at(1.0))
    assert any(not torch.equal(tensor, on_disk[name]) for name, tensor in dev_loss.state().items())
    known.write(0.37, dev_loss.parameters(on_disk))
    assert all(torch.equal(tensor, on_disk[name]) for name, tensor in dev_loss.state().items())


def test_losses_are_those_of_transformers_at_thirty_seconds(
    models: list[str], dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "has_fast_bfloat16", lambda: False)
    monkeypatch.setattr(loss_module, "SILENCE", 1500)  # no window is shorter than thirty seconds
    dev_loss = DevLoss(open_checkpoint(Path(models[0])), [dev], 1500, None, 0)
    expert = load_file(Path(models[1]) / "model.safetensors")
    dev_loss.load(expert)
    cells = {cell.name: cell.value() for cell in dev_loss.by_cell(dev_loss.measured(len(dev_loss)))}
    model = WhisperForConditionalGeneration.from_pretrained(models[1]).eval()
    tokenizer = WhisperTokenizer.from_pretrained(models[1])
    nats: dict[str, float] = {}
    labels: dict[str, int] = {}
    for line in map(json.loads, dev.read_text().splitlines()):
        task = "transcribe" if line["source_lang"] == line["target_lang"] else "translate"
        prompt = [f"<|{line['source_lang']}|>", f"<|{task}|>", "<|notimestamps|>"]
        ids = [
            *tokenizer.convert_tokens_to_ids(prompt),
            *tokenizer(f" {line['text']}", add_special_tokens=False).input_ids,
        ]
        ids.append(tokenizer.convert_tokens_to_ids("<|endoftext|>"))
        features = log_mel([load_audio(dev.parent / line["audio_filepath"], 0.0, line["duration"])], 1500, 80)
        with torch.no_grad():
            logits = model(input_features=features, labels=torch.tensor([ids])).logits[0]
        # The decoder is given language, task and no timestamps: they are no part of what it writes.
        text = torch.nn.functional.cross_entropy(logits[3:], torch.tensor(ids[3:]), reduction="sum")
        name = f"{line['source_lang']}-{task}"
        nats[name] = nats.get(name, 0.0) + text.item()
        labels[name] = labels.get(name, 0) + len(ids) - 3
    assert cells.keys() == nats.keys() == {"es-transcribe", "fr-transcribe", "es-translate"}
    for name, value in cells.items():
        assert value == pytest.approx(nats[name] / labels[name], rel=1e-5)


def test_the_first_clips_hold_every_language_and_task(models: list[str], dev: Path) -> None:
    dev_loss = DevLoss(open_checkpoint(Path(models[0])), [dev], 100, None, 0)
    whole = dev_loss.measured(len(dev_loss))
    part = loss_module.ClipLosses(whole.nats[:3], whole.labels[:3])
    assert [len(cell.counts) for cell in dev_loss.by_cell(part)] == [1, 1, 1]


def test_of_each_pair_of_languages_so_many_clips_and_no_more(
    models: list[str], dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "CLIPS", 1)
    dev_loss = DevLoss(open_checkpoint(Path(models[0])), [dev], 100, None, 0)
    assert sorted(dev_loss.groups) == ["es-transcribe", "es-translate", "fr-transcribe"]
    assert len(dev_loss) == len(dev_loss.measured(99)) == 3


def test_a_window_is_as_long_as_its_longest_clip_and_a_second(
    models: list[str], manifest_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.5, 2.9, 0.6, 3.1, 0.7, 3.9, 0.8, 3.3, 1.2]
    dev = manifest_of("dev", [(length, "uno dos", "es", "es") for length in seconds])
    seen: list[tuple[int, int]] = []
    original = loss_module.label_losses

    def watching(model: Any, features: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append((len(features), features.shape[-1] // 2))
        return original(model, features, *rest)

    monkeypatch.setattr(loss_module, "label_losses", watching)
    monkeypatch.setattr(loss_module, "_taking_turns", lambda examples, seed: list(examples))
    dev_loss = DevLoss(open_checkpoint(Path(models[0])), [dev], 225, None, 0)
    whole = dev_loss.measured(9)
    # Eight clips in two batches of like length, the longer cut at --window; the ninth alone.
    assert seen == [(4, 100), (4, 225), (1, 150)]
    # What is known is not measured again, and each clip keeps its place.
    assert dev_loss.measured(9, loss_module.ClipLosses(whole.nats[:8], whole.labels[:8])) == whole
    assert seen[3:] == [(1, 150)]
    alone = manifest_of("alone", [(2.9, "uno dos", "es", "es")])
    monkeypatch.setattr(loss_module, "SILENCE", 1500)
    own = DevLoss(open_checkpoint(Path(models[0])), [alone], 225, None, 0).measured(1)
    assert own.nats[0] == pytest.approx(whole.nats[1], rel=1e-3)


def test_tensors_of_another_model_are_refused(models: list[str], dev: Path) -> None:
    dev_loss = DevLoss(open_checkpoint(Path(models[0])), [dev], 100, None, 0)
    tensors = load_file(Path(models[1]) / "model.safetensors")
    tensors.pop("model.encoder.conv1.weight")
    with pytest.raises(LorsError, match=r"model\.encoder\.conv1\.weight"):
        dev_loss.load(tensors)


def test_a_language_without_a_clip_that_fits_is_told(models: list[str], dev: Path) -> None:
    with pytest.raises(UsageError, match="every fr-transcribe clip is left out"):
        DevLoss(open_checkpoint(Path(models[0])), [dev], 52, None, 0)


TRIED = {"scale": [0.2, 0.4, 0.8], "rank_ratio": [0.1, 0.2], "keep_ratio": [0.1, 0.3]}


def test_a_grid_decomposes_each_matrix_of_each_expert_once(
    models: list[str], dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decomposed: list[int] = []
    original = factors.decompose

    def counting(matrix: Any, rank: int) -> Any:
        decomposed.append(rank)
        return original(matrix, rank)

    monkeypatch.setattr(factors, "decompose", counting)
    found = tune(
        recipe_of(models), [dev], tmp_path / "out", tried=TRIED, short_list=1, beam_size=2, window=100
    )
    # 2 encoder layers of 6 matrices, 1 decoder layer of 10; 2 experts.
    assert len(decomposed) == 2 * (2 * 6 + 10)
    assert len([trial for trial in found.trials if trial.look == "loss"]) == 12
    assert [trial.look for trial in found.trials if trial.beam_size] == ["beam"]


def test_the_loss_ranks_as_a_full_evaluation_of_every_merge_would(
    models: list[str], dev: Path, tmp_path: Path
) -> None:
    found = tune(
        recipe_of(models), [dev], tmp_path / "out", tried=TRIED, short_list=6, beam_size=1, window=100
    )
    looks = [trial for trial in found.trials if trial.look == "loss"]
    assert {trial.n for trial in looks} == {4}
    dev_loss = DevLoss(open_checkpoint(Path(models[0])), [dev], 100, None, 0)
    base = {cell.name: cell.value() for cell in dev_loss.by_cell(dev_loss.measured(4))}
    for number, trial in enumerate(looks):
        merge(recipe_of(models, **trial.values), tmp_path / f"merged-{number}")
        dev_loss.load(load_file(tmp_path / f"merged-{number}" / "model.safetensors"))
        cells = {cell.name: cell.value() for cell in dev_loss.by_cell(dev_loss.measured(4))}
        expected = 100 * sum(cells[name] / base[name] - 1 for name in cells) / len(cells)
        assert trial.value == pytest.approx(expected, abs=1e-3)
        assert trial.low <= trial.value <= trial.high


def test_a_method_without_a_scale_is_measured_too(models: list[str], dev: Path, tmp_path: Path) -> None:
    recipe = {"base": models[0], "method": "weight-averaging", "experts": models[1:]}
    tried = {"method": ["weight-averaging", "karcher", "task-arithmetic"]}
    with pytest.raises(UsageError, match="scale"):
        tune(recipe, [dev], tmp_path / "wrong", tried=tried, short_list=1, beam_size=1, window=100)
    tried = {"method": ["weight-averaging", "karcher"]}
    found = tune(recipe, [dev], tmp_path / "out", tried=tried, short_list=1, beam_size=1, window=100)
    assert [trial.look for trial in found.trials] == ["loss", "loss", "greedy"]
    assert not (tmp_path / "out" / "candidate").exists()


def test_a_search_by_loss_goes_on_and_ends_the_same(
    models: list[str], dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"tried": TRIED, "short_list": 1, "beam_size": 1, "window": 100}
    whole = tune(recipe_of(models), [dev], tmp_path / "whole", **given)
    original, calls = DevLoss.measured, []

    def interrupted(self: DevLoss, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(self, *args)

    monkeypatch.setattr(DevLoss, "measured", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(recipe_of(models), [dev], tmp_path / "out", **given)
    again = tune(recipe_of(models), [dev], tmp_path / "out", **given)
    assert (again.best, again.trials) == (whole.best, whole.trials)
    done = len(calls)
    assert tune(recipe_of(models), [dev], tmp_path / "out", **given) == again
    assert len(calls) == done
