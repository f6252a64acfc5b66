"""`torchrun … -m lors finetune`: two processes train one expert, as one process would."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lors.base.progress import say
from lors.speech import processes
from lors.speech.processes import SharedBatches
from lors.speech.training_data import EpochShuffle

FLAGS = ("--window", "50", "--epochs", "2", "--learning-rate", "3e-3", "--device", "cpu", "--save-steps", "2")
"""For 17 clips, in batches of 8 or of two times 4: the last batch of an epoch has one clip, for one process."""


@pytest.fixture
def steady(tiny_whisper: Path, tmp_path: Path) -> Path:
    """A Whisper without dropout, which would draw otherwise for other batches."""
    shutil.copytree(tiny_whisper, tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps({**config, "dropout": 0.0}))
    return tmp_path / "base"


@pytest.fixture
def command(steady: Path, manifest_of: Callable[..., Path]) -> list[str]:
    train = manifest_of("train", [(0.4, "palabra " * (1 + n % 3) + str(n), "es", "es") for n in range(17)])
    dev = manifest_of("dev", [(0.4, "uno dos", "es", "es"), (0.5, "x", "es", "en"), (0.3, "y", "es", "es")])
    return ["finetune", "--base", str(steady), "--train", str(train), "--dev", str(dev), *FLAGS]


def torchrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run([*start, *arguments], cwd=folder, capture_output=True, text=True)


def losses(directory: Path, kind: str) -> list[float]:
    return [of["loss"] for of in json.loads((directory / "finetune.json").read_text())[kind]]


def check_equal(one: Path, other: Path) -> None:
    for kind, count in (("train_losses", 6), ("dev_losses", 3)):
        assert len(losses(one, kind)) == count
        assert losses(one, kind) == pytest.approx(losses(other, kind), abs=1e-4)
    first, second = (load_file(of / "model.safetensors") for of in (one, other))
    for name, tensor in first.items():
        assert torch.allclose(tensor, second[name], rtol=0, atol=1e-4), name


# The second process dies in the middle of the fourth step; torchrun then ends the first.
DYING = """
import os, signal
from lors.speech import training
whole, calls = training.label_losses, iter(range(1, 10_000))
def label_losses(model, *arguments):
    if model.training and next(calls) == 4 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(model, *arguments)
training.label_losses = label_losses
from lors.cli.main import main
main()
"""


def test_two_processes_make_the_expert_of_one_and_go_on_after_a_kill(here, command, tmp_path):
    alone = here(tmp_path, *command, "--out", "one")
    assert alone.code == 0, alone.stderr

    (tmp_path / "dying.py").write_text(DYING)
    killed = torchrun(tmp_path, "dying.py", *command, "--out", "again")
    assert killed.returncode != 0
    for line in alone.stderr.splitlines()[:-1]:  # up to the first epoch's end
        assert killed.stderr.count(line) == 1, line
    assert "Warning: find_unused_parameters" not in killed.stderr
    assert not (tmp_path / "again").exists()
    assert (tmp_path / "again.partial" / "checkpoint-3" / "complete").is_file()
    shutil.copytree(tmp_path / "again.partial", tmp_path / "by-one.partial")
    resumed = torchrun(tmp_path, "-m", "lors", *command, "--out", "again")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr.count("Going on after step 3, from") == 1
    assert resumed.stdout.count("(kept)") == 1 and resumed.stdout.count(" (6 steps, ") == 1
    assert not (tmp_path / "again.partial").exists()
    check_equal(tmp_path / "again", tmp_path / "one")  # three steps of before the kill, three of after
    assert json.loads((tmp_path / "again" / "finetune.json").read_text())["processes"] == 2
    by_one = here(tmp_path, *command, "--out", "by-one")
    assert by_one.stderr.count("Going on after step 3, from") == 1
    check_equal(tmp_path / "by-one", tmp_path / "one")


def test_a_mistake_is_said_once(command, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.tex").write_text("mine")
    done = torchrun(tmp_path, "-m", "lors", *command, "--out", "there")
    assert done.returncode == 1
    sentence = f"lors: {tmp_path / 'there'}: the output exists already"
    assert done.stderr.count(sentence) == 1


def test_a_batch_that_cannot_be_shared_is_one_sentence(here, command, tmp_path, monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    done = here(tmp_path, *command, "--batch-size", "3", "--out", "out")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "lors: batch size 3: is shared by 2 processes; expected a multiple of that.\n"


def test_another_process_is_silent_but_for_an_error_of_its_own(here, command, tmp_path, monkeypatch, capsys):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "_SECONDS_FOR_THE_FIRST_TO_SPEAK", 0.0)
    with processes.one_voice():
        say("not heard")
    assert capsys.readouterr().err == ""
    done = here(tmp_path, *command, "--batch-size", "3", "--out", "out")
    assert done.stderr.startswith("lors: batch size 3") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("clips", "batch", "count"), [(17, 8, 2), (16, 8, 2), (5, 4, 4), (1, 2, 2), (11, 6, 3)]
)
def test_shares_make_up_the_batches_of_one_process(clips, batch, count):
    order = EpochShuffle(clips, seed=3)
    order.set_epoch(2)
    whole = list(order)
    shares = []
    for number in range(count):
        batches = SharedBatches(EpochShuffle(clips, seed=3), batch, number, count)
        batches.set_epoch(2)
        assert len(batches) == len(list(batches)) == -(-clips // batch)
        shares.append(list(batches))
    for place, parts in enumerate(zip(*shares, strict=True)):
        assert all(1 <= len(part) <= batch // count for part in parts)
        together = [index for part in parts for index in part if index >= 0]
        assert sorted(together) == sorted(whole[place * batch : (place + 1) * batch])
