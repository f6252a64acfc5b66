"""A merged directory in the runtimes that people use: each transcribes a real clip."""

import subprocess
import sys
from pathlib import Path

import pytest

from lors.speech.audio import load_audio
from lors.speech.manifest import Utterance, read_manifest
from lors.speech.normalisation import fold_diacritics
from lors.speech.wer import word_errors


@pytest.fixture(scope="module")
def clip(real_run: tuple[Path, str]) -> Utterance:
    """A Spanish test clip that whisper-base itself transcribes well."""
    return next(
        u for u in read_manifest(real_run[0] / "data" / "es-transcribe-test.jsonl") if 2 < u.duration < 5
    )


@pytest.fixture(scope="module")
def merged(real_run: tuple[Path, str]) -> Path:
    return real_run[0] / "merged" / "lors"


def check(heard: str, clip: Utterance) -> None:
    assert word_errors(fold_diacritics(clip.text), fold_diacritics(heard)).wer <= 35, heard


@pytest.mark.real
def test_transformers_pipeline(merged: Path, clip: Utterance) -> None:
    from transformers import pipeline

    recogniser = pipeline("automatic-speech-recognition", model=str(merged))
    audio = {"raw": load_audio(clip.audio_filepath), "sampling_rate": 16000}
    check(recogniser(audio, generate_kwargs={"language": "es", "task": "transcribe"})["text"], clip)
    check(recogniser({"raw": load_audio(clip.audio_filepath), "sampling_rate": 16000})["text"], clip)


@pytest.mark.real
def test_ctranslate2_converter_and_faster_whisper(merged: Path, clip: Utterance, tmp_path: Path) -> None:
    from faster_whisper import WhisperModel

    converter = Path(sys.executable).with_name("ct2-transformers-converter")
    files = ["tokenizer.json", "preprocessor_config.json"]
    output = tmp_path / "converted"
    subprocess.run(
        [
            converter,
            "--model",
            merged,
            "--output_dir",
            output,
            "--quantization",
            "int8",
            "--copy_files",
            *files,
        ],
        check=True,
        capture_output=True,
    )
    model = WhisperModel(str(output), device="cpu", compute_type="int8")
    segments, _ = model.transcribe(load_audio(clip.audio_filepath), language="es", without_timestamps=True)
    check(" ".join(segment.text for segment in segments), clip)
