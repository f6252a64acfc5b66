"""Whole studies of tiny models, as they are typed: interrupted, changed, several at a time, with a job that fails."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.xdist_group("study")

_PATIENCE = 300


def start(folder: Path, *arguments: str, largest_file: int | None = None) -> "subprocess.Popen[str]":
    def prepare() -> None:
        # A test that runs in the background ignores it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return subprocess.Popen(
        [sys.executable, "-m", "lors", "study", "study.yaml", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        preexec_fn=prepare,
    )


def run(folder: Path, *arguments: str, code: int = 0, largest_file: int | None = None) -> tuple[str, str]:
    process = start(folder, *arguments, largest_file=largest_file)
    printed, errors = process.communicate(timeout=_PATIENCE)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return printed, errors


def to_do(errors: str) -> dict[str, int]:
    """Kind → how many jobs the study said it would do."""
    found = re.search(r"jobs to do \((.*)\), \d+ at a time", errors)
    return {kind: int(count) for count, kind in re.findall(r"(\d+) (\w+)", found[1])} if found else {}


@pytest.fixture(scope="module")
def done(make_toy: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A study that ran unbroken: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("study")
    make_toy(folder)
    return folder, *run(folder, "--out", "toy")


def test_all_is_made_once(done: tuple[Path, str, str]) -> None:
    folder, printed, errors = done
    # Two experts, of each and of the base and the merge two evaluations, and the base on both dev sets for the search.
    assert to_do(errors) == {"finetune": 2, "tune": 1, "merge": 1, "evaluate": 7}
    assert errors.count("done: ") == 11
    assert (folder / "toy" / "report.html").is_file() and list((folder / "toy" / "tables").iterdir())
    assert not list((folder / "toy" / "jobs" / "merge").iterdir())  # its evaluations are done
    again, nothing = run(folder, "--out", "toy")
    assert again == printed and "to do" not in nothing


def test_after_a_change_only_what_depends_on_it_is_made(
    done: tuple[Path, str, str], make_toy: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(done[0], folder)
    make_toy(folder, {"methods": {"task-arithmetic": {"scale": [0.5, 0.8]}}})
    assert to_do(run(folder)[1]) == {"tune": 1, "merge": 1, "evaluate": 2}
    make_toy(folder, {"methods": {"task-arithmetic": {"scale": [0.5, 0.8]}, "weight-averaging": None}})
    assert to_do(run(folder)[1]) == {"merge": 1, "evaluate": 2}


def test_killed_at_any_moment_it_goes_on_to_the_same_results(
    done: tuple[Path, str, str], make_toy: Callable[..., Path], toy: Any, tmp_path: Path
) -> None:
    folder = done[0]
    draw = random.Random(6)
    for lines, most in ((2, 0.3), (1, 3.0), (2, 0.3)):  # after the second line a job is done
        process = start(folder, "--out", "broken", "--workers", "2")
        assert process.stderr is not None
        for _ in range(lines):
            process.stderr.readline()
        time.sleep(draw.uniform(0, most))
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not psutil.wait_procs(children, timeout=_PATIENCE)[1]  # none goes on by itself
    printed, errors = run(folder, "--out", "broken")
    assert sum(to_do(errors).values()) < 11
    assert printed.replace("broken/", "toy/") == done[1]
    assert toy.scores(folder / "study.yaml", folder / "broken") == toy.scores(
        folder / "study.yaml", folder / "toy"
    )
    assert toy.told(folder / "broken") == toy.told(folder / "toy")


def test_two_at_once_take_turns_and_ctrl_c_ends_one_at_once(done: tuple[Path, str, str]) -> None:
    folder = done[0]
    first = start(folder, "--out", "shared")
    assert first.stderr is not None
    first.stderr.readline()
    second, third = start(folder, "--out", "shared"), start(folder, "--out", "shared")
    for waiting in (second, third):
        assert waiting.stderr is not None
        assert "Waiting for another process" in waiting.stderr.readline()
    children = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=_PATIENCE)
    assert first.returncode == 130 and "Traceback" not in errors
    assert not psutil.wait_procs(children, timeout=_PATIENCE)[1]
    ended = [process.communicate(timeout=_PATIENCE) for process in (second, third)]
    assert second.returncode == third.returncode == 0
    assert [printed.replace("shared/", "toy/") for printed, _ in ended] == [done[1]] * 2
    # Of the two that waited, one did what was left, the other found all done.
    assert sorted(bool(to_do(errors)) for _, errors in ended) == [False, True]


def test_a_failure_is_told_and_stops_nothing_else(
    done: tuple[Path, str, str], make_toy: Callable[..., Path], toy: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(done[0], folder)
    shutil.rmtree(folder / "toy" / "jobs" / "evaluate")
    clip = folder / "data" / "fr-test-0.wav"
    kept = clip.read_bytes()
    clip.unlink()
    _, errors = run(folder, code=1)
    failed = [line for line in errors.splitlines() if line.startswith("failed: ")]
    assert failed and all("on fr-transcribe: " in line and "fr-test-0.wav" in line for line in failed)
    assert "done: evaluate finetuned on es-transcribe" in errors
    clip.write_bytes(kept)
    printed, errors = run(folder)
    assert to_do(errors) == {"merge": 1, "evaluate": 3}
    assert printed == done[1]


def test_a_disk_that_takes_no_more_loses_nothing(
    done: tuple[Path, str, str], make_toy: Callable[..., Path], tmp_path: Path
) -> None:
    """The system refuses in the midst of writing, as where a disk is full."""
    folder = tmp_path / "copy"
    shutil.copytree(done[0], folder)
    make_toy(folder, {"methods": {"task-arithmetic": {"scale": [0.5, 1.0]}, "weight-averaging": None}})
    printed, errors = run(folder, code=1, largest_file=16_000)
    assert re.search(r"^failed: merge weight-averaging .*file too large", errors, re.MULTILINE), errors
    assert "Task Arithmetic" in printed and "Weight Averaging" not in printed
    printed, errors = run(folder)
    assert to_do(errors) == {"merge": 1, "evaluate": 2}
    assert "Weight Averaging" in printed
