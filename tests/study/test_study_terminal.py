"""The plan of a study as it is printed: into a file, and on a terminal."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from lors.study import study_terminal

MERGED = "evaluate multilingual-merging task-arithmetic on es-transcribe"


def test_in_a_file_each_job_has_one_line(make_toy: Callable[..., Path], tmp_path: Path) -> None:
    make_toy(tmp_path)
    printed = subprocess.run(
        [sys.executable, "-m", "lors", "study", "study.yaml", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "80"},
    ).stdout
    lines = printed.splitlines()
    assert [line for line in lines if line.startswith(f" {MERGED} ") and "  to do  " in line]
    jobs = lines[1 : next(place for place, line in enumerate(lines) if line.startswith(" kind "))]
    assert len(jobs) == 11 and all("  to do  " in line and line == line.rstrip() for line in jobs)
    [tuning] = [line for line in jobs if line.startswith(" tune ")]
    assert tuning.endswith(
        "  finetune es-transcribe, finetune fr-transcribe, "
        "evaluate pretrained on dev of es-transcribe, fr-transcribe"
    )


def test_a_terminal_gets_no_line_wider_than_itself(
    make_toy: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    made = Console(file=shown, force_terminal=True, width=80, color_system=None, soft_wrap=True)
    monkeypatch.setattr(study_terminal, "_console", lambda: made)
    study_terminal.print_plan(make_toy(tmp_path), None, 1)
    lines = shown.getvalue().splitlines()
    assert MERGED not in shown.getvalue() and "es-transcribe" in shown.getvalue()
    assert max(map(len, lines)) <= 80
