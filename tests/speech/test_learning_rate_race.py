"""The race of learning rates: its schedule against the formula, then whole races of a tiny Whisper."""

import json
import math
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from lors.base.errors import LorsError, UsageError
from lors.speech import finetuning, learning_rate_race, training
from lors.speech.finetuning import finetune
from lors.speech.finetuning_plan import make_plan
from lors.speech.learning_rate_race import describe_choice, hold_race
from lors.speech.learning_rates import GRID, better_half, budgets, parse_learning_rate, rounds_so_far
from lors.speech.manifest import read_manifest
from lors.speech.training_callbacks import DivergedError

SETTINGS = {"window": 50, "batch_size": 2, "epochs": 4, "device": "cpu"}
"""For `data`: eight clips, four steps an epoch, 16 in all."""


@pytest.fixture
def data(manifest_of: Callable[..., Path]) -> Path:
    words = ["uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho"]
    return manifest_of(
        "train", [(0.4 + 0.05 * number, word, "es", "es") for number, word in enumerate(words)]
    )


@pytest.fixture
def dev(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of(
        "dev", [(0.4, "uno dos", "es", "es"), (0.5, "tres ocho", "es", "es"), (0.45, "seis", "es", "es")]
    )


def record(directory: Path) -> dict:
    return json.loads((directory / "finetune.json").read_text())


# The schedule


@pytest.mark.parametrize(
    ("rates", "per_epoch", "all_steps"),
    [(7, 100, 1000), (7, 3, 30), (2, 500, 9000), (9, 8, 10), (1000, 80, 90)],
)
def test_rounds_double_from_an_eighth_of_an_epoch_and_end_with_one_rate(rates, per_epoch, all_steps):
    found = budgets(rates, per_epoch, all_steps)
    first = max(4, -(-per_epoch // 8))
    assert found == [min(first * 2**number, all_steps) for number in range(len(found))]
    left = rates
    for _ in found:
        assert left > 1
        left = (left + 1) // 2
    assert left == 1


def test_the_better_half_of_seven_is_four_then_two_then_one():
    draws = random.Random(0)
    for _ in range(200):
        losses = {rate: draws.choice([None, *range(20)]) for rate in GRID}
        kept = better_half(losses)
        finite = [rate for rate in GRID if losses[rate] is not None]
        assert len(kept) == min(4, len(finite))
        assert list(kept) == sorted(kept)
        out = [rate for rate in finite if rate not in kept]
        # Nobody who is out was better; of equals the lower rate stays.
        assert all((losses[one], one) < (losses[other], other) for one in kept for other in out)


def test_what_is_measured_decides_the_round_that_comes_next():
    steps = [4, 8]
    losses: dict[tuple[float, int], float | None] = {}
    rounds, complete = rounds_so_far((1e-6, 1e-5, 1e-4), steps, losses)
    assert ([(held.rates, held.steps) for held in rounds], complete) == ([((1e-6, 1e-5, 1e-4), 4)], False)
    losses |= {(1e-6, 4): 3.0, (1e-5, 4): 1.0, (1e-4, 4): 2.0}
    rounds, complete = rounds_so_far((1e-6, 1e-5, 1e-4), steps, losses)
    assert (rounds[-1].rates, rounds[-1].steps, complete) == ((1e-5, 1e-4), 8, False)
    losses |= {(1e-5, 8): None, (1e-4, 8): 2.0}
    rounds, complete = rounds_so_far((1e-6, 1e-5, 1e-4), steps, losses)
    assert (len(rounds), complete) == (2, True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (2e-5, 2e-5),
        ("2e-5", 2e-5),
        ("auto", GRID),
        ("auto:1e-4,1e-6,1e-6", (1e-6, 1e-4)),
    ],
)
def test_a_rate_is_a_number_or_the_word_auto(given, expected):
    assert parse_learning_rate(given) == expected


def test_the_grid_spans_three_decades_and_ten_times_that_for_an_adapter():
    assert 7 <= len(GRID) <= 9 and math.log10(GRID[-1] / GRID[0]) == pytest.approx(3)
    assert parse_learning_rate("auto", lora=True) == pytest.approx([10 * rate for rate in GRID])


@pytest.mark.parametrize(
    "given",
    [
        "fast",
        "Auto",
        "auto:",
        "auto:1e-5",
        "auto:1e-5,1e-5",
        "auto:0,1e-5",
        "auto:1e-5,1",
        "auto:1e-5,x",
        "auto:nan,1e-5",
    ],
)
def test_other_words_are_one_sentence(given):
    with pytest.raises(UsageError, match=r"^learning rate '.*': expected .*\.$"):
        parse_learning_rate(given)


# Races over a loss surface whose best rate is known


class Surface:
    """Stands in for `finetune`: a dev loss that is lowest at one rate, and what was asked of it."""

    def __init__(self, best: float, diverged: tuple[float, ...] = ()) -> None:
        self.best = best
        self.diverged = diverged
        self.asked: list[tuple[float, int]] = []
        self.dev_clips: set[int] = set()

    def __call__(self, *, learning_rate: float, max_steps: int, dev: tuple[Path, ...], **_: object) -> object:
        self.asked.append((learning_rate, max_steps))
        self.dev_clips.add(sum(len(read_manifest(path)) for path in dev))
        if learning_rate in self.diverged:
            raise DivergedError("step 1: the loss is no longer a number")
        loss = 2.0 - max_steps / 100 + abs(math.log10(learning_rate / self.best)) / 10
        return SimpleNamespace(dev_losses=[{"step": 0, "loss": 3.0}, {"step": max_steps, "loss": loss}])


@pytest.fixture
def race(tiny_whisper, data, dev, tmp_path) -> Callable[..., dict]:
    def hold(surface: Surface, rates: str = "auto", **settings: object) -> dict:
        plan = make_plan(
            tiny_whisper, [data], tmp_path / "out", [dev], learning_rate=rates, **SETTINGS, **settings
        )
        return hold_race(plan, plan.read(), surface, overwrite=False)

    return hold


@pytest.mark.parametrize("best", GRID)
def test_the_rate_nearest_the_best_wins_in_so_many_steps(race, best):
    surface = Surface(1.2 * best)
    found = race(surface)
    assert found["learning_rate"] == best
    assert found["at_edge"] == {GRID[0]: "lowest", GRID[-1]: "highest"}.get(best)
    # Four steps an epoch: the first round has the fewest steps, 4, then 8 and 16; 7, 4 and 2 rates are left.
    assert [(len(held["rates"]), held["steps"]) for held in found["rounds"]] == [(7, 4), (4, 8), (2, 16)]
    assert sum(steps for _, steps in surface.asked) == 7 * 4 + 4 * 8 + 2 * 16
    assert len(surface.asked) == len(set(surface.asked)) == len(found["results"])
    said = list(describe_choice(found))
    assert any(f"the grid's {found['at_edge']}" in line for line in said) == (found["at_edge"] is not None)


def test_a_rate_that_diverges_loses_and_the_race_goes_on(race):
    found = race(Surface(1e-4, diverged=(3e-5, 1e-4)))
    assert found["learning_rate"] == 1e-5
    losses = {of["learning_rate"]: of["dev_loss"] for of in found["results"] if of["round"] == 1}
    assert [rate for rate, loss in losses.items() if loss is None] == [3e-5, 1e-4]


def test_one_rate_that_is_left_wins_at_once_and_none_is_an_error(race):
    found = race(Surface(1e-7, diverged=GRID[1:]))
    assert (found["learning_rate"], len(found["rounds"])) == (1e-7, 1)


def test_where_all_diverge_there_is_a_sentence(race):
    with pytest.raises(
        LorsError, match=r"no longer a number at any of the learning rates 1e-07.*auto:.*data"
    ):
        race(Surface(1e-7, diverged=GRID))


def test_rounds_as_long_as_the_whole_fine_tuning_are_held_once(race):
    surface = Surface(1e-5)
    found = race(surface, max_steps=4)
    assert [held["steps"] for held in found["rounds"]] == [4, 4, 4]
    assert surface.asked == [(rate, 4) for rate in GRID]
    assert found["learning_rate"] == 1e-5


def test_no_rate_that_helps_is_said(race):
    surface = Surface(1e-5)
    found = race(surface, "auto:1e-6,1e-5,1e-4") | {"base_dev_loss": 1.0}
    assert "no rate lowers the dev loss" in list(describe_choice(found))[-1]


def test_of_many_dev_clips_the_seed_draws_some(race, monkeypatch, tmp_path):
    monkeypatch.setattr(learning_rate_race, "DEV_CLIPS", 2)
    surface = Surface(1e-5)
    found = race(surface)
    assert surface.dev_clips == {found["dev_clips"]} == {2}


# Whole races


def test_the_winner_is_the_rate_that_is_best_when_all_are_trained_to_the_end(
    tiny_whisper, data, dev, tmp_path
):
    rates = "auto:1e-3,1e-2,1e-1,9e-1"
    result = finetune(tiny_whisper, [data], tmp_path / "raced", [dev], learning_rate=rates, **SETTINGS)
    lowest = {}
    for rate in parse_learning_rate(rates):
        alone = finetune(tiny_whisper, [data], tmp_path / f"{rate:g}", [dev], learning_rate=rate, **SETTINGS)
        lowest[rate] = min(of["loss"] for of in alone.dev_losses)
    best = min(lowest, key=lowest.get)
    found = record(result.directory)
    assert found["learning_rate_race"]["learning_rate"] == best == found["job"]["settings"]["learning_rate"]
    # The expert is the very one that the winning rate makes alone, and nothing of the race is left.
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("raced", f"{best:g}"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (result.directory / "learning-rate.png").read_bytes().startswith(b"\x89PNG")
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".race", ".partial")]


def test_a_rate_at_which_the_model_breaks_is_out(tiny_whisper, data, dev, tmp_path, monkeypatch):
    whole = training.label_losses

    def label_losses(model, *arguments):
        broken = model.training and model.model.encoder.conv1.bias.abs().max() > 0.5
        return whole(model, *arguments) * (float("nan") if broken else 1.0)

    monkeypatch.setattr(training, "label_losses", label_losses)
    given = {**SETTINGS, "learning_rate": "auto:1e-3,9e-1"}
    found = record(finetune(tiny_whisper, [data], tmp_path / "out", [dev], **given).directory)
    losses = {of["learning_rate"]: of["dev_loss"] for of in found["learning_rate_race"]["results"]}
    assert losses[0.9] is None and losses[1e-3] < 6
    assert found["job"]["settings"]["learning_rate"] == 1e-3


KILLED = """
import os, signal, sys
from pathlib import Path
from lors.speech import training
from lors.speech.finetuning import finetune

base, data, dev, out, rates, batch = sys.argv[1:]
whole, batches = training.label_losses, 0
def label_losses(model, *arguments):
    global batches
    batches += model.training
    if batches == int(batch):
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(model, *arguments)
training.label_losses = label_losses
finetune(base, [Path(data)], Path(out), [Path(dev)], learning_rate=rates, save_steps=3, window=50, batch_size=2,
         epochs=4, device="cpu")
"""


RESUMABLE = {**SETTINGS, "learning_rate": "auto:1e-4,1e-3,1e-2", "save_steps": 3}
"""Three runs of 4 steps, two of 8, and the fine-tuning of 16."""


@pytest.fixture(scope="module")
def unbroken(tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The same without any interruption, made once."""
    made: list[Path] = []

    def make(data: Path, dev: Path) -> Path:
        if not made:
            out = tmp_path_factory.mktemp("whole") / "whole"
            made.append(finetune(tiny_whisper, [data], out, [dev], **RESUMABLE).directory)
        return made[0]

    return make


@pytest.mark.parametrize(
    ("batch", "measured_before"), [(4 * 2 + 2, 2), (4 * 3 + 8 + 5, 4), (4 * 3 + 8 * 2 + 6, 5)]
)
def test_killed_and_begun_again_it_is_the_same_and_nothing_is_done_twice(
    tiny_whisper, data, dev, tmp_path, capsys, unbroken, batch, measured_before
):
    whole = unbroken(data, dev)
    out, rates = tmp_path / "broken", RESUMABLE["learning_rate"]
    command = [sys.executable, "-c", KILLED, tiny_whisper, data, dev, out, rates, batch]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr

    capsys.readouterr()
    finetune(tiny_whisper, [data], out, [dev], **RESUMABLE)
    said = capsys.readouterr().err.splitlines()
    measured = [line for line in said if line.startswith("Learning rate ") and ": dev loss" in line]
    assert len(measured) == 5 - measured_before
    one, other = record(out), record(whole)
    for same in ("learning_rate_race", "job", "train_losses", "dev_losses", "kept_step"):
        assert one[same] == other[same]
    first, second = (load_file(of / "model.safetensors") for of in (out, whole))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["broken"]


def test_what_was_chosen_is_reused_and_other_wishes_are_told_apart(
    tiny_whisper, data, dev, tmp_path, monkeypatch
):
    few = {**SETTINGS, "learning_rate": "auto:1e-4,1e-3", "epochs": 2}

    def again(**changed: object):
        return finetune(tiny_whisper, [data], tmp_path / "out", [dev], **{**few, "reuse": True, **changed})

    again()
    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "load_model", lambda *_: pytest.fail("the model was loaded"))
        assert again().reused
        assert again(learning_rate=1e-3).reused
        with pytest.raises(
            UsageError, match=r"learning_rate was auto:0.0001,0.001 and is auto:1e-07.*--overwrite"
        ):
            again(learning_rate="auto")
        with pytest.raises(UsageError, match=r"learning_rate was 0.001 and is 0.0001\)"):
            again(learning_rate=1e-4)
        with pytest.raises(UsageError, match="exists already"):
            again(reuse=False)


def test_an_unfinished_race_of_other_settings_is_not_mixed_up(tiny_whisper, data, dev, tmp_path, monkeypatch):
    out = tmp_path / "out"
    few = {**SETTINGS, "learning_rate": "auto:1e-4,1e-3", "epochs": 2}
    whole, steps = training.label_losses, iter(range(1000))

    def label_losses(model, *arguments):
        if model.training and next(steps) == 6:  # in the second run of the first round
            raise KeyboardInterrupt
        return whole(model, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "label_losses", label_losses)
        with pytest.raises(KeyboardInterrupt):
            finetune(tiny_whisper, [data], out, [dev], **few)
    assert (tmp_path / "out.race").is_dir()
    with pytest.raises(
        UsageError, match=r"out\.race: holds an unfinished search.*seed was 0 and is 1.*--overwrite"
    ):
        finetune(tiny_whisper, [data], out, [dev], **few, seed=1)
    finetune(tiny_whisper, [data], out, [dev], **few, seed=1, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["out"]


def test_an_unfinished_fine_tuning_and_a_folder_of_another_origin_are_left_alone(
    tiny_whisper, data, dev, tmp_path
):
    given = {**SETTINGS, "learning_rate": "auto:1e-4,1e-3"}
    for name in ("out.partial", "out.race"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text("mine")
        with pytest.raises(UsageError, match=rf"{name}: holds an unfinished"):
            finetune(tiny_whisper, [data], tmp_path / "out", [dev], **given)
        assert (tmp_path / name / "thesis.tex").read_text() == "mine"
        (tmp_path / name / "thesis.tex").unlink()


def test_broken_off_before_the_first_step_nothing_stays(tiny_whisper, data, dev, tmp_path, monkeypatch):
    def no(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "label_losses", no)
    with pytest.raises(KeyboardInterrupt):
        finetune(tiny_whisper, [data], tmp_path / "out", [dev], learning_rate="auto", **SETTINGS)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_without_dev_data_there_is_nothing_to_choose_by(tiny_whisper, data, tmp_path):
    with pytest.raises(UsageError, match=r"^learning rate auto: .*--dev"):
        finetune(tiny_whisper, [data], tmp_path / "out", learning_rate="auto", **SETTINGS)


def test_several_processes_are_refused(tiny_whisper, data, dev, tmp_path, monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("RANK", "0")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"^learning rate auto: .*torchrun"):
        make_plan(tiny_whisper, [data], tmp_path / "out", [dev], learning_rate="auto", **SETTINGS)
