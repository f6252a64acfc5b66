import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from lors.speech.corpora.prompts import prepare_prompts


def lors(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert "Traceback" not in result.stderr
    return result


def refused(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 2
    assert result.stderr.startswith("lors: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def _texts(out: Path) -> list[tuple[str, str]]:
    return [
        (line["id"], line["hypothesis"])
        for path in sorted((out / "hypotheses").rglob("*.jsonl"))
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    ]


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    corpus = prepare_prompts(["es"], tmp_path_factory.mktemp("prompts") / "data")
    return {task: corpus.manifest("es", task, "test") for task in ("transcribe", "translate")}


@pytest.mark.real
def test_both_tasks_reuse_and_json(manifests: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "results"
    command: list[str | Path] = [
        "evaluate",
        "pretrained=openai/whisper-base",
        "--out",
        out,
        "--window",
        "512",
    ]
    command += ["--limit", "3", "--beam-size", "2"]
    for path in manifests.values():
        command += ["--data", path]
    first = lors(*command)
    assert first.returncode == 0
    for part in ("pretrained", "es WER ↓", "es→en BLEU ↑", "n = 3", "fold-diacritics-1", "loops"):
        assert part in first.stdout
    assert "Decoding with pretrained" in first.stderr
    assert len(_texts(out)) == 6

    by_character = lors(*command, "--reuse", "--metric", "cer", "--metric", "chrf").stdout
    assert "es CER ↓" in by_character and "es→en chrF ↑" in by_character
    assert "WER" not in by_character

    assert "exists already" in refused(lors(*command))
    again = lors(*command, "--reuse")
    assert again.stdout == first.stdout
    assert "Decoding" not in again.stderr
    printed = lors(*command, "--reuse", "--json")
    scores: list[dict[str, Any]] = json.loads(printed.stdout)["scores"]
    assert [s["metric"] for s in scores] == ["wer", "bleu"]
    assert [s["second"]["metric"] for s in scores] == ["cer", "chrf"]
    assert scores[0]["value"] < 40


@pytest.mark.real
def test_killed_while_decoding_it_goes_on_to_the_same_texts(
    manifests: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ["evaluate", "openai/whisper-base", "--data", str(manifests["transcribe"])]
    arguments += ["--limit", "32", "--window", "400", "--beam-size", "1", "--out"]
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "lors", *arguments, str(killed)], stderr=subprocess.DEVNULL
    )
    growing = tmp_path / "killed.partial" / "hypotheses"
    while process.poll() is None and not any(path.stat().st_size for path in growing.rglob("*.jsonl")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not killed.exists()
    before = sum(len(path.read_bytes().splitlines()) for path in growing.rglob("*.jsonl"))
    assert 0 < before < 32

    resumed = lors(*arguments, killed)
    assert resumed.returncode == 0
    assert f"{32 - before} clips in" in resumed.stderr
    assert lors(*arguments, tmp_path / "whole").returncode == 0
    assert _texts(killed) == _texts(tmp_path / "whole")
    assert not (tmp_path / "killed.partial").exists()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "whisper", "vocab_size": 51865}')
    save_file({"w": torch.zeros(2)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000, dtype=np.float32), 16000)
    line = {"id": "a", "audio_filepath": "a.wav", "duration": 1.0, "text": "hola"}
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps(line | {"source_lang": "es", "target_lang": "es"}) + "\n")
    return path


def test_mistakes_are_one_sentence(model: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def evaluate(*arguments: str | Path) -> str:
        return refused(lors("evaluate", *arguments, "--out", out))

    assert "experts/none" in evaluate("./experts/none", "--data", manifest)
    assert "Did you mean 'fold-diacritics'?" in evaluate(
        model, "--data", manifest, "--normaliser", "fold-diacritic"
    )
    assert "name one of them" in evaluate(model, model, "--data", manifest)
    broken = tmp_path / "broken.jsonl"
    broken.write_text(manifest.read_text() + "{not json\n")
    assert "broken.jsonl:2: not JSON" in evaluate(model, "--data", broken)
    broken.write_text(manifest.read_text().replace("a.wav", "missing.wav"))
    assert "missing.wav: no such audio file" in evaluate(model, "--data", broken)
    assert "beam size 0" in evaluate(model, "--data", manifest, "--beam-size", "0")
    out.mkdir()
    (out / "mine.txt").touch()
    assert "exists already" in evaluate(model, "--data", manifest)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.wav",
        "broken.jsonl",
        "model",
        "out",
        "test.jsonl",
    ]


def test_a_model_without_a_tokenizer_is_a_failure_not_a_traceback(
    model: Path, manifest: Path, tmp_path: Path
) -> None:
    result = lors("evaluate", model, "--data", manifest, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.startswith("lors: ")
    assert not (tmp_path / "out").exists()
