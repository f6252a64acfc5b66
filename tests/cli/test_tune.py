"""`lors tune` as it is typed: tiny models, really merged, decoded and scored."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file


def lors(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def recipe(make_whisper: Callable[..., Path], tmp_path: Path) -> Path:
    make_whisper(tmp_path / "base")
    expert = make_whisper(tmp_path / "expert")
    tensors = load_file(expert / "model.safetensors")
    save_file({name: tensor * 1.01 for name, tensor in tensors.items()}, expert / "model.safetensors")
    path = tmp_path / "recipe.yaml"
    path.write_text("base: base\nmethod: task-arithmetic\nexperts: [expert]\n")
    return path


@pytest.fixture
def dev(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("dev", [(1.0, "uno dos tres", "es", "es"), (1.2, "un deux trois", "fr", "fr")])


def test_best_recipe_trials_and_curve(recipe: Path, dev: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    command: list[str | Path] = [
        "tune",
        recipe,
        "--dev",
        dev,
        "--try",
        "scale=0.0,1e0",
        "--window",
        "100",
        "--out",
        out,
    ]
    command += ["--beam-size", "2", "--short-list", "1", "--first-look", "greedy"]
    done = lors(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("best: scale ")
    assert {path.name for path in out.iterdir()} == {
        "request.json", "trials", "pretrained", "recipe.yaml", "trials.md", "curve.png", "tuning.json", "seconds.json",
    }  # fmt: skip
    assert not list(out.rglob("*.safetensors"))
    found = json.loads((out / "tuning.json").read_text())
    assert [(trial["values"]["scale"], trial["beam_size"]) for trial in found["trials"]] == [
        (0.0, 1), (1.0, 1), (found["best"]["values"]["scale"], 2),
    ]  # fmt: skip
    # At λ = 0 the merge is the base, so it must score as the base does.
    greedy = json.loads((out / "trials" / "beam-1" / "scale=0" / "results.json").read_text())["scores"]
    assert greedy[-1]["value"] == found["trials"][0]["value"]
    assert lors("merge", out / "recipe.yaml", "--out", tmp_path / "merged").returncode == 0
    again = lors(*command)
    assert again.stdout == done.stdout
    assert "Merging" not in again.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--try", "scale"], "--try scale: expected a key and values, as scale=0.2,0.4."),
        (["--try", "scale=0.2", "--try", "scale=0.4"], "a key is given twice"),
        (["--try", "rank_ratio=0.1"], "task-arithmetic"),
        (["--try", "scale=a"], "'scale' is 'a'"),
        (["--short-list", "0"], "short list 0: expected 1 or more."),
        (["--dev", "missing.jsonl"], "missing.jsonl: no such file"),
        (["--first-look", "los"], "first look 'los': expected loss or greedy. Did you mean 'loss'?"),
        (["--weigh", "translate"], "--weigh translate: expected a task and a number"),
        (["--retain-within", "5%"], "--retain-within: name the held-out data with --retain."),
        (["--retain-within", "five"], "--retain-within five: expected per cent, as 5%."),
        (["--try", "scale=0.1..a"], "--try scale=0.1..a: expected two numbers, as 0.1..1."),
        (["--stages"], "--stages: name ratios for each expert"),
    ],
)
def test_mistakes(recipe: Path, dev: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    result = lors("tune", recipe, "--dev", dev, "--out", tmp_path / "tuned", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("lors: ") and result.stderr.count("\n") == 1
    assert told in result.stderr
    assert not (tmp_path / "tuned").exists()


def test_both_tasks_drawn_trials_and_held_out_data(
    recipe: Path, dev: Path, manifest_of: Callable[..., Path], tmp_path: Path
) -> None:
    translations = manifest_of("es-en", [(1.0, "one two three", "es", "en")])
    held_out = manifest_of("held-out", [(1.0, "en clip", "en", "en")])
    out = tmp_path / "tuned"
    command: list[str | Path] = ["tune", recipe, "--dev", dev, "--dev", translations, "--out", out]
    command += ["--try", "scale=0.1..1", "--trials", "3", "--short-list", "2", "--window", "100"]
    command += [
        "--beam-size",
        "2",
        "--weigh",
        "translate=2",
        "--retain",
        held_out,
        "--retain-within",
        "1000%",
    ]
    done = lors(*command)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("best: scale 0.") and "% against pretrained" in lines[0]
    assert lines[1].startswith("held out: ")
    assert lines[2].startswith("es-transcribe ") and "es-translate " in lines[2]
    assert {path.name for path in out.iterdir()} >= {
        "recipe.yaml",
        "front.png",
        "optuna.sqlite3",
        "pretrained-retain",
    }
    found = json.loads((out / "tuning.json").read_text())
    assert [trial["look"] for trial in found["trials"]] == ["loss"] * 3 + ["beam"] * 2
    assert "weights transcribe 1, translate 2" in found["best"]["signature"]
    assert "candidates in" in done.stderr and "decoding" in done.stderr
    again = lors(*command)
    assert again.stdout == done.stdout and "Decoding" not in again.stderr
