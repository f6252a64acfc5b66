"""The benchmark of tuning, on a model so small that only its workings are tried; nothing is timed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "tune" / "compare.py"


def test_a_comparison_in_two_parts(
    make_whisper: Callable[..., Path], manifest_of: Callable[..., Path], tmp_path: Path
) -> None:
    base, expert = make_whisper(tmp_path / "base"), make_whisper(tmp_path / "expert")
    tensors = load_file(expert / "model.safetensors")
    save_file({name: tensor * 1.02 for name, tensor in tensors.items()}, expert / "model.safetensors")
    manifest_of("es-transcribe-dev", [(1.0, "uno dos tres", "es", "es"), (1.2, "cuatro cinco", "es", "es")])
    command = [
        sys.executable,
        str(SCRIPT),
        "--data",
        str(tmp_path),
        "--expert",
        str(expert),
        "--base",
        str(base),
    ]
    command += ["--languages", "es", "--scales", "0.5,1", "--rank-ratios", "0.1", "--keep-ratios", "0.2"]
    command += ["--window", "100", "--beam-size", "2", "--short-list", "1"]
    command += ["--folder", str(tmp_path / "folder"), "--results", str(tmp_path / "results")]
    for minutes, complete in ((0, False), (100, True)):
        # The first part decodes no candidate one by one, and there is nothing to compare.
        done = subprocess.run([*command, "--minutes", str(minutes)], capture_output=True, text=True)
        assert (done.returncode == 0) == complete, done.stderr
    (page,) = (tmp_path / "results").glob("tune-*.json")
    found = json.loads(page.read_text())
    assert found["complete"] and found["facts"]["candidates_done"] == 2
    wer = found["facts"]["wer"]
    assert found["facts"]["best_wer"] == min(wer.values())
    values = found["facts"]["found"]
    assert found["facts"]["found_wer"] == wer[f"scale={values['scale']:g}-rank_ratio=0.1-keep_ratio=0.2"]
    assert [run["name"].split()[0] for run in found["runs"]] == [
        "tune",
        "evaluate",
        *["merge", "evaluate"] * 2,
    ]
    text = page.with_suffix(".md").read_text()
    assert "merge and evaluate, one by one | 2 of 2" in text and "as fast by the clock" in text
