"""`lors transcribe` as a user types it: real voices in every format, and what it refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr

from lors.speech.audio import load_audio
from lors.speech.corpora.prompts import prepare_prompts
from lors.speech.manifest import read_manifest


def lors(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def refused(here: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """Run `lors transcribe`, which must fail with one sentence; give the sentence."""

    def run(*arguments: object, code: int = 2) -> str:
        done = here(tmp_path, "transcribe", *map(str, arguments))
        assert done.code == code, done.stderr
        assert done.stdout == ""
        sentence: str = done.stderr.splitlines()[-1]
        assert sentence.startswith("lors: ") and sentence.endswith((".", "?"))
        return sentence

    return run


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, str]:
    """A Spanish prompt of 3 to 5 s at 16 kHz, and its text."""
    corpus = prepare_prompts(["es"], tmp_path_factory.mktemp("prompts") / "data")
    utterances = read_manifest(corpus.manifest("es", "transcribe", "test"))
    chosen = next(u for u in utterances if 3 < u.duration < 5)
    return load_audio(chosen.audio_filepath), chosen.text


def encoded(path: Path, samples: np.ndarray, rate: int, codec: str) -> Path:
    """Write with FFmpeg, as a telephone or a browser would."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        size = stream.codec_context.frame_size or 1024
        while part := fifo.read(size) or fifo.read(0, partial=True):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def in_every_format(folder: Path, samples: np.ndarray) -> dict[str, Path]:
    at_48 = soxr.resample(samples, 16000, 48000)
    stereo = np.stack([at_48, at_48], axis=1)
    writers: dict[str, Callable[[Path], object]] = {
        "reference.wav": lambda p: soundfile.write(p, samples, 16000),
        "float.wav": lambda p: soundfile.write(p, samples, 16000, subtype="FLOAT"),
        "stereo-48.wav": lambda p: soundfile.write(p, stereo, 48000),
        "clip.flac": lambda p: soundfile.write(p, at_48, 48000),
        "clip.mp3": lambda p: soundfile.write(p, at_48, 48000),
        "clip.opus": lambda p: encoded(p, at_48.astype(np.float32), 48000, "libopus"),
        "clip.m4a": lambda p: encoded(p, at_48.astype(np.float32), 48000, "aac"),
    }
    for name, write in writers.items():
        write(folder / name)
    return {name: folder / name for name in writers}


@pytest.mark.real
def test_the_same_text_from_every_format(voice: tuple[np.ndarray, str], tmp_path: Path) -> None:
    samples, _ = voice
    paths = in_every_format(tmp_path, samples)
    soundfile.write(tmp_path / "telephone-8.wav", soxr.resample(samples, 16000, 8000), 8000)
    soundfile.write(tmp_path / "too loud.wav", np.clip(3 * samples / np.abs(samples).max(), -1, 1), 16000)
    named = [*paths.values(), tmp_path / "telephone-8.wav", tmp_path / "too loud.wav"]
    done = lors("transcribe", "openai/whisper-base", *named, "--language", "es", "--window", "400")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split("\t") for line in done.stdout.splitlines())
    assert list(lines) == [str(path) for path in named]
    wanted = lines[str(paths["reference.wav"])]
    assert len(wanted.split()) >= 3
    assert {path.name: lines[str(path)] for path in paths.values()} == dict.fromkeys(paths, wanted)
    # Half the band, and a wave cut off at a third of its height, are other sound: most words must be the same.
    for name in ("telephone-8.wav", "too loud.wav"):
        words = lines[str(tmp_path / name)].split()
        assert sum(word in words for word in wanted.split()) >= 0.6 * len(wanted.split())


@pytest.mark.real
def test_json_lines_with_detected_language_and_nbest_in_a_file(
    refused: Callable[..., str], voice: tuple[np.ndarray, str], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a\tb.wav", voice[0], 16000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(32000), 16000)
    out = tmp_path / "out.jsonl"
    asked = ["openai/whisper-base", tmp_path / "a\tb.wav", tmp_path / "silence.wav", "--window", "400"]
    done = lors("transcribe", *asked, "--json", "--nbest", "3", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n"
    spoken, silent = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert spoken["audio_filepath"] == str(tmp_path / "a\tb.wav")
    assert (spoken["language"], spoken["task"], spoken["looped"]) == ("es", "transcribe", False)
    assert 0.5 < spoken["language_probability"] <= 1
    assert spoken["nbest"][0]["text"] == spoken["text"]
    assert len(spoken["nbest"]) == 3
    assert spoken["log_probability"] < 0
    assert len(silent["text"]) < 200  # whatever a model makes of silence, it comes to an end
    plain = lors("transcribe", *asked[:2], "--window", "400", "--language", "Spanish")
    assert plain.stdout == f"{tmp_path}/a\\tb.wav\t{spoken['text']}\n"
    assert "exists already" in refused(*asked, "--out", out)


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    time = np.arange(16000) / 16000
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * time), 16000)
    return tmp_path / "tone.wav"


def test_what_cannot_be_asked_for(
    refused: Callable[..., str], tiny_whisper: Path, tone: Path, tmp_path: Path
) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, np.zeros(round(30.1 * 16000)), 16000)
    sentence = refused(tiny_whisper, tone, long)
    assert "long.wav" in sentence and "30.1 s" in sentence and "cut" in sentence
    assert "'xx' is no language" in refused(tiny_whisper, tone, "--language", "xx")
    assert "no token for German (de)" in refused(tiny_whisper, tone, "--language", "de")
    assert "Did you mean 'translate'?" in refused(tiny_whisper, tone, "--task", "translat")
    english = refused(tiny_whisper, tone, "--task", "translate", "--language", "en")
    assert "English already" in english
    assert "--json" in refused(tiny_whisper, tone, "--nbest", "2")
    assert "beam size, 5" in refused(tiny_whisper, tone, "--nbest", "6", "--json")
    several = refused(tiny_whisper, tone, "--nbest", "2", "--json", "--engine", "transformers")
    assert "ctranslate2" in several
    assert "needs" in refused(tiny_whisper, tone, "--memory", "1MiB")
    assert "--memory: '4 pounds'" in refused(tiny_whisper, tone, "--memory", "4 pounds")
    assert "is a folder" in refused(tiny_whisper, tone, "--out", tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound" * 100, None])
def test_audio_that_is_none(
    refused: Callable[..., str], content: bytes | None, tiny_whisper: Path, tone: Path
) -> None:
    bad = tone.with_name("bad.wav")
    if content is not None:
        bad.write_bytes(content)
    assert "bad.wav" in refused(tiny_whisper, tone, bad, code=1)
