"""The benchmark of fine-tuning, on a model so small that only its workings are tried; nothing is timed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer
from transformers.models.whisper.modeling_whisper import shift_tokens_right
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from lors.speech.labels import label_ids
from lors.speech.manifest import read_manifest
from lors.speech.training import label_losses
from lors.speech.training_data import Collator, SpeechDataset, select_examples

SCRIPTS = Path(__file__).parents[1] / "benchmarks" / "finetune"

CONTROL = (
    "endoftext",
    "startoftranscript",
    *LANGUAGES,
    "translate",
    "transcribe",
    "startoflm",
    "startofprev",
)
"""Whisper's own order: the tokenizer of transformers counts languages from the start token."""


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


@pytest.fixture
def data(manifest_of: Callable[..., Path], tmp_path: Path) -> Path:
    """The folder of a corpus as `lors prepare prompts` lays it out; one of its clips is longer than 8 s."""
    words = ["uno", "dos tres", "cuatro", "cinco", "seis siete"]
    clips = [(0.5 + 0.1 * number, word, "es", "es") for number, word in enumerate(words)]
    manifest_of("es-transcribe-train", [*clips, (8.5, "demasiado", "es", "es")])
    manifest_of("es-transcribe-dev", clips[:2])
    manifest_of("es-transcribe-test", clips[:3])
    return tmp_path


@pytest.fixture(scope="module")
def whisper(make_whisper: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Whisper with all languages."""
    special = tuple(f"<|{name}|>" for name in (*CONTROL, "nospeech", "notimestamps"))
    return make_whisper(tmp_path_factory.mktemp("all") / "whisper", special)


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_stock_recipe_learns_what_lors_learns(whisper: Path, data: Path, tmp_path: Path) -> None:
    import stock

    model = WhisperForConditionalGeneration.from_pretrained(whisper).eval()
    tokenizer = WhisperTokenizer.from_pretrained(whisper, language="es", task="transcribe")
    extractor = WhisperFeatureExtractor(feature_size=80)
    start = model.config.decoder_start_token_id
    manifest = data / "es-transcribe-test.jsonl"
    prepared = stock.prepare(manifest, extractor, tokenizer, tmp_path / "features.npy")

    utterances = read_manifest(manifest)
    plain = WhisperTokenizer.from_pretrained(whisper)
    for labels, utterance in zip(prepared.labels, utterances, strict=True):
        assert labels == [start, *label_ids(utterance, plain, True)]

    collator = stock.DataCollatorSpeechSeq2SeqWithPadding(extractor, tokenizer, start)
    batch = collator([prepared[index] for index in range(3)])
    decoder_input = shift_tokens_right(batch["labels"], model.config.pad_token_id, start)
    assert (decoder_input == start).sum(dim=1).tolist() == [1, 1, 1]
    assert (decoder_input[:, 0] == start).all()

    examples, _ = select_examples(manifest, utterances, plain, True, 1500)
    ours = Collator(1500, 80)([SpeechDataset(examples)[index] for index in range(3)])
    assert torch.equal(batch["labels"], ours["labels"])
    assert batch["input_features"].shape == (3, 80, 3000)
    assert np.allclose(batch["input_features"], ours["input_features"], atol=1e-4)
    with torch.no_grad():
        theirs = model(**batch).loss
        assert label_losses(model, ours["input_features"], ours["labels"]).mean() == pytest.approx(
            float(theirs), rel=1e-5
        )


def test_the_whole_comparison_in_parts(whisper: Path, data: Path, tmp_path: Path) -> None:
    places = ["--folder", tmp_path / "folder", "--results", tmp_path / "results"]
    few = ["--base", whisper, "--epochs", 1, "--batch-size", 2, "--max-clips", 4, "--test-limit", 2]
    run("compare.py", "--data", data, *few, *places, "--only", "stock", "--no-evaluation")
    (kept,) = (tmp_path / "folder").glob("*/stock-1.json")
    before = kept.stat().st_mtime_ns
    done = run("compare.py", "--data", data, *few, *places, "--only", "stock,ours")
    assert kept.stat().st_mtime_ns == before

    first, second = sorted((tmp_path / "results").glob("finetune-*.json"), key=lambda path: len(path.name))
    assert first.stem + "-2" == second.stem
    found = json.loads(second.read_text(encoding="utf-8"))
    assert found["complete"]
    assert (found["settings"]["clips"], found["settings"]["clips_longer_than_the_window"]) == (4, 1)
    assert [of["name"] for of in found["runs"]] == ["stock", "ours"]
    for of in found["runs"]:
        assert of["exit_code"] == 0 and of["private"] > 1
        assert of["more"]["steps"] == 2
        assert 0 < of["more"]["train_seconds"] < of["wall"]
    assert {score: of["n"] for score, of in found["scores"].items()} == {
        "stock": 2,
        "ours": 2,
        "pretrained": 2,
    }
    assert found["scores"]["stock"]["p_value"] is None
    for name in ("ours", "pretrained"):
        assert 0 <= found["scores"][name]["p_value"] <= 1
    for of in found["scores"].values():
        assert "window 1500" in of["signature"] or "window:1500" in of["signature"], of["signature"]
    table = second.with_suffix(".md").read_text(encoding="utf-8")
    assert "| stock transformers recipe" in table and "| lors finetune --window 400" in table
    assert str(second) in done.stdout.replace("\n", "")


def test_a_killed_run_beside_an_unbroken_one(whisper: Path, data: Path, tmp_path: Path) -> None:
    places = ["--folder", tmp_path / "folder", "--results", tmp_path, "--picture", tmp_path / "resume.png"]
    few = ["--base", whisper, "--epochs", 8, "--batch-size", 2, "--save-steps", 2, "--seconds", 0]
    done = run("resume.py", "--data", data, *few, *places)
    assert "weights the same, bit for bit" in done.stdout
    found = json.loads(next(tmp_path.glob("finetune-resume-*.json")).read_text(encoding="utf-8"))
    assert found["largest_difference"] == {"train_losses": 0.0, "dev_losses": 0.0}
    assert found["steps"] == 24 == len(found["resumed"]["train_losses"])
    assert found["resumed_after_step"] >= 12
    assert (tmp_path / "resume.png").read_bytes().startswith(b"\x89PNG")


def test_a_difference_is_found() -> None:
    import resume

    def losses(*values: float) -> list[dict[str, float]]:
        return [{"step": step, "loss": value} for step, value in enumerate(values, 1)]

    one = {"train_losses": losses(3.0, 2.0, 1.0), "dev_losses": losses(2.5)}
    other = {"train_losses": losses(3.0, 2.25, 1.0), "dev_losses": losses(2.0)}
    assert resume.differences(one, other) == {"train_losses": 0.25, "dev_losses": 0.5}
