"""The whole way on real weights and voices, a few steps long: whole, again, and killed on the way."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHORT_RUN = ("--max-steps", "3", "--limit", "5", "--scales", "0.4,0.8")
ROWS = ["pretrained", "expert es", "expert fr", "weight averaging", "task arithmetic", "SVP", "MP", "LoRS"]


def command(folder: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "lors", "quickstart", "--out", str(folder), *flags]


def scores(folder: Path) -> list[dict[str, Any]]:
    """All numbers of the table, without those that tell how long it took."""
    found = json.loads((folder / "evaluation" / "results.json").read_text(encoding="utf-8"))["scores"]
    return [{k: v for k, v in score.items() if k not in ("seconds", "real_time_factor")} for score in found]


def kill_when(folder: Path, reached: Callable[[Path], bool]) -> None:
    """Start the quickstart and SIGKILL it, and all it started, as soon as `reached`."""
    process = subprocess.Popen(
        command(folder, *SHORT_RUN),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not reached(folder):
        time.sleep(0.002)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.real
def test_every_model_is_in_the_table_with_n_and_intervals(real_run: tuple[Path, str]) -> None:
    folder, printed = real_run
    found = scores(folder)
    assert list(dict.fromkeys(score["model"] for score in found)) == ROWS
    for row in ROWS:
        assert row in printed
    for score in found:
        assert score["metric"] == "wer"
        assert score["n"] == (5 if score["source_lang"] else 10)
        assert score["low"] <= score["value"] <= score["high"]
        assert score["source_lang"] is None or "normaliser:fold-diacritics" in score["signature"]
    assert {score["source_lang"] for score in found} == {"es", "fr", None}
    assert (folder / "chart.png").read_bytes().startswith(b"\x89PNG")
    report = (folder / "report.md").read_text(encoding="utf-8")
    for method in ("task-arithmetic", "svp", "mp", "lors"):
        searched = [json.loads(p.read_text()) for p in (folder / "search" / method).glob("[0-9]*.json")]
        best = min(searched, key=lambda trial: (trial["wer"], trial["scale"]))
        merged = json.loads((folder / "merged" / method / "merge.json").read_text(encoding="utf-8"))
        assert merged["recipe"]["scale"] == best["scale"]
        assert merged["signature"] in report


@pytest.mark.real
def test_the_same_command_again_gives_the_same_table(real_run: tuple[Path, str]) -> None:
    folder, printed = real_run
    weights = folder / "merged" / "lors" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = subprocess.run(command(folder, *SHORT_RUN), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert again.stdout == printed
    assert "Decoding" not in again.stderr
    assert "Training" not in again.stderr
    assert weights.stat().st_mtime_ns == before


@pytest.mark.real
def test_other_settings_do_not_touch_what_is_there(real_run: tuple[Path, str]) -> None:
    refused = subprocess.run(command(real_run[0], "--max-steps", "4"), capture_output=True, text=True)
    assert refused.returncode == 2
    assert "holds a run with" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.real
def test_killed_in_training_in_a_merge_and_in_decoding_it_ends_with_the_same_table(
    real_run: tuple[Path, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    kill_when(folder, lambda out: any(out.glob("experts/*.partial/*")))
    assert not (folder / "experts" / "es-transcribe").exists()

    kill_when(folder, lambda out: any(out.glob("merged/.weight-averaging.partial-*/model.safetensors")))
    assert not (folder / "merged" / "weight-averaging").exists()

    kill_when(
        folder, lambda out: any(p.stat().st_size for p in out.glob("evaluation.partial/hypotheses/*/*.jsonl"))
    )
    assert not (folder / "evaluation").exists()

    done = subprocess.run(command(folder, *SHORT_RUN), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert scores(folder) == scores(real_run[0])
    assert [p for p in folder.rglob("*partial*") if "downloads" not in p.parts] == []


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    refused = subprocess.run(command(tmp_path), capture_output=True, text=True)
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [(("--scales", "0.4;0.8"), "expected numbers"), (("--languages", "es,xx"), "'xx'")],
)
def test_wrong_flags(flags: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    refused = subprocess.run(command(tmp_path / "run", *flags), capture_output=True, text=True)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
