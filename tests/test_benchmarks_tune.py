"""The benchmark of tuning, on a model so small that only its workings are tried; nothing is timed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "tune" / "compare.py"


def test_a_comparison_in_two_parts(
    make_whisper: Callable[..., Path], manifest_of: Callable[..., Path], tmp_path: Path
) -> None:
    base, expert = make_whisper(tmp_path / "base"), make_whisper(tmp_path / "expert")
    tensors = load_file(expert / "model.safetensors")
    save_file({name: tensor * 1.02 for name, tensor in tensors.items()}, expert / "model.safetensors")
    manifest_of("es-transcribe-dev", [(1.0, "uno dos tres", "es", "es"), (1.2, "cuatro cinco", "es", "es")])
    manifest_of("es-transcribe-test", [(1.1, "seis siete ocho", "es", "es")])
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
    # Every candidate decoded by `lors tune` too: refused where it is not what one by one gave.
    done = subprocess.run([*command, "--only", "exhaustive"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (page,) = (tmp_path / "results").glob("tune-*.json")
    found = json.loads(page.read_text())
    facts = found["facts"]
    assert found["complete"] and facts["one_by_one"] == facts["decoded"] == facts["candidates"] == 2
    wer = {name: score["wer"] for name, score in facts["scores"].items()}
    assert wer.keys() == {f"scale={scale}-rank_ratio=0.1-keep_ratio=0.2" for scale in ("0.5", "1")}
    assert wer[facts["best"]] == min(wer.values())
    assert facts["found"] in wer
    for score in facts["scores"].values():
        assert score["words"] == 5
        assert score["wer"] == pytest.approx(100 * score["errors"] / score["words"])
    assert facts["tested"].keys() == {facts["found"], facts["best"]}
    assert all(score["words"] == 3 for score in facts["tested"].values())
    assert [run["name"].split()[0] for run in found["runs"]] == [
        "tune",
        "evaluate",
        *["merge", "evaluate"] * 2,
    ]
    text = page.with_suffix(".md").read_text()
    assert "merge and evaluate, one by one | 2 of 2" in text and "as fast by the clock" in text
    assert "On test data of 3 words" in text
    (results,) = (tmp_path / "folder").glob("*/exhaustive/trials/beam-2/*scale=1/results.json")
    results.write_text(results.read_text().replace('"low": ', '"low": 1'))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode and "the scores differ" in done.stderr
