"""`lors finetune` on what people have: data that are odd and must train, data and bases that are wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperForConditionalGeneration

SHORT = ("--window", "50", "--batch-size", "2", "--max-steps", "1", "--device", "cpu")


def tone(seconds: float, rate: int = 16000, channels: int = 1) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * 440 * time)
    return wave if channels == 1 else np.stack([wave] * channels, axis=1)


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Writes a manifest of (audio file, seconds), with one text and one pair of languages."""

    def write(*clips: tuple[str, float], text: str = "uno dos", language: str = "es") -> Path:
        lines = [
            {
                "id": f"{number}-{name}",
                "audio_filepath": name,
                "duration": seconds,
                "text": text,
                "source_lang": language,
                "target_lang": language,
            }
            for number, (name, seconds) in enumerate(clips)
        ]
        path = tmp_path / "data.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


@pytest.fixture
def train(here, tiny_whisper, tmp_path):
    """Fine-tune for one step, which must work; give the record and what was said."""

    def run(data: Path, *flags: str, base: Path = tiny_whisper) -> tuple[dict[str, object], str]:
        command = ["finetune", "--base", str(base), "--train", str(data), "--out", "expert", *SHORT, *flags]
        done = here(tmp_path, *command)
        assert done.code == 0, done.stderr
        record = json.loads((tmp_path / "expert" / "finetune.json").read_text())
        assert all(np.isfinite(of["loss"]) for of in record["train_losses"])
        return record, done.stderr

    return run


@pytest.fixture
def refused(here, tiny_whisper, tmp_path):
    """Fine-tune, which must fail with one sentence and leave nothing; give the sentence."""

    def run(data: Path, *flags: str, base: Path = tiny_whisper, code: int = 2) -> str:
        command = ["finetune", "--base", str(base), "--train", str(data), "--out", "expert", *SHORT, *flags]
        done = here(tmp_path, *command)
        assert (done.code, done.stdout) == (code, ""), done.stderr
        assert done.stderr.startswith("lors: ") and len(done.stderr.splitlines()) == 1, done.stderr
        assert not (tmp_path / "expert").exists() and not (tmp_path / "expert.partial").exists()
        return done.stderr

    return run


# Odd data that must train


def encode(path: Path, codec: str, wave: np.ndarray, rate: int) -> None:
    """Write a sound with FFmpeg."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=rate, frame_size=stream.frame_size or 960
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


FILES: dict[str, Callable[[Path], None]] = {
    "8k.wav": lambda path: soundfile.write(path, tone(0.6, 8000), 8000),
    "stereo.wav": lambda path: soundfile.write(path, tone(0.6, 16000, 2), 16000),
    "48k.wav": lambda path: soundfile.write(path, tone(0.6, 48000), 48000),
    "48k-stereo.flac": lambda path: soundfile.write(path, tone(0.6, 48000, 2), 48000),
    "44k.mp3": lambda path: soundfile.write(path, tone(0.6, 44100), 44100, format="MP3"),
    "48k.opus": lambda path: soundfile.write(path, tone(0.6, 48000), 48000, format="OGG", subtype="OPUS"),
    "44k.m4a": lambda path: encode(path, "aac", tone(0.6, 44100), 44100),
    "48k.webm": lambda path: encode(path, "libopus", tone(0.6, 48000), 48000),
    "silent.wav": lambda path: soundfile.write(path, np.zeros(9600), 16000),
    "clipped.wav": lambda path: soundfile.write(path, np.sign(tone(0.6)), 16000),
    "too-loud.wav": lambda path: soundfile.write(path, 20 * tone(0.6), 16000, subtype="FLOAT"),
    "8-bit.wav": lambda path: soundfile.write(path, tone(0.6), 16000, subtype="PCM_U8"),
}


@pytest.mark.parametrize("name", FILES)
def test_audio_of_many_kinds_trains(train, manifest, tmp_path, name):
    FILES[name](tmp_path / name)
    record, _ = train(manifest((name, 0.6)))
    assert record["train_groups"] == {"es-transcribe": {"clips": 1, "minutes": 0.01}}
    assert record["left_out"] == []


def test_a_manifest_of_one_line_trains_and_so_does_a_reference_without_a_word(train, manifest, tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.6), 16000)
    record, _ = train(
        manifest(("a.wav", 0.6), text="… !"), "--batch-size", "8", "--gradient-accumulation", "4"
    )
    assert record["steps"] == 1
    assert record["first_labels"].endswith(" … !<|endoftext|>")


def test_a_clip_longer_than_thirty_seconds_is_left_out_counted_and_listed(train, manifest, tmp_path):
    soundfile.write(tmp_path / "long.wav", tone(30.1), 16000)
    soundfile.write(tmp_path / "a.wav", tone(0.6), 16000)
    clips = manifest(("a.wav", 0.6), ("long.wav", 30.1), ("long.wav", 30.05))
    record, said = train(clips, "--window", "1500")
    assert (
        "Left out of data.jsonl: '1-long.wav' lasts 30.10 s, more than the window of 30.00 s, and 1 more\n"
        in said
    )
    assert [(of["id"], of["reason"]) for of in record["left_out"]] == [
        ("1-long.wav", "lasts 30.10 s, more than the window of 30.00 s"),
        ("2-long.wav", "lasts 30.05 s, more than the window of 30.00 s"),
    ]
    assert record["train_groups"]["es-transcribe"]["clips"] == 1


# Wrong data


def test_an_empty_manifest(refused, tmp_path):
    (tmp_path / "data.jsonl").write_text("\n\n")
    assert "data.jsonl: the manifest is empty; one JSON object a line" in refused(tmp_path / "data.jsonl")


@pytest.mark.parametrize("text", ["", "  \t"])
def test_an_empty_reference(refused, manifest, tmp_path, text):
    soundfile.write(tmp_path / "a.wav", tone(0.6), 16000)
    assert "data.jsonl:1: 'text' is empty." in refused(manifest(("a.wav", 0.6), text=text))


def test_a_language_that_whisper_lacks(refused, manifest, tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.6), 16000)
    sentence = refused(manifest(("a.wav", 0.6), language="ga"))
    assert "data.jsonl:1: 'source_lang'" in sentence and "'ga'" in sentence
    # One that Whisper has and this base lacks
    sentence = refused(manifest(("a.wav", 0.6), language="cy"))
    assert "no token for the language 'cy' of utterance '0-a.wav'" in sentence


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.m4a"])
def test_truncated_audio_is_named(refused, manifest, tmp_path, name):
    path = tmp_path / name
    if name == "a.m4a":
        encode(path, "aac", tone(3.0, 44100), 44100)
    else:
        soundfile.write(path, tone(3.0) + 0.01 * np.random.default_rng(0).standard_normal(48000), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    sentence = refused(manifest((name, 3.0)), "--window", "200")
    assert f"data.jsonl:1: {path}: " in sentence and "truncated" in sentence


def test_a_file_that_is_no_audio(refused, manifest, tmp_path):
    (tmp_path / "a.wav").write_text("404 Not Found")
    assert f"{tmp_path / 'a.wav'}: truncated or not audio" in refused(manifest(("a.wav", 0.6)))


# Bases


@pytest.fixture
def data(manifest, tmp_path) -> Path:
    soundfile.write(tmp_path / "a.wav", tone(0.6), 16000)
    return manifest(("a.wav", 0.6))


@pytest.fixture
def large_vocabulary(tiny_whisper: Path, tmp_path: Path) -> Path:
    """A Whisper with the 51,865 tokens of the multilingual models, most of them unused."""
    shutil.copytree(tiny_whisper, tmp_path / "large")
    model = WhisperForConditionalGeneration.from_pretrained(tiny_whisper)
    torch.manual_seed(0)
    model.resize_token_embeddings(51865, mean_resizing=False)
    model.save_pretrained(tmp_path / "large")
    return tmp_path / "large"


def test_a_base_without_a_generation_config_is_multilingual_by_its_vocabulary(
    train, data, large_vocabulary, tmp_path
):
    (large_vocabulary / "generation_config.json").unlink()
    record, _ = train(data, base=large_vocabulary)
    assert record["first_labels"] == "<|es|><|transcribe|><|notimestamps|> uno dos<|endoftext|>"
    assert not (tmp_path / "expert" / "generation_config.json").exists()


def test_a_tokenizer_of_another_model(refused, data, make_whisper, tiny_whisper, large_vocabulary, tmp_path):
    more = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|es|>", "<|fr|>", "<|it|>", "<|de|>")
    others = ("<|translate|>", "<|transcribe|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
    other = make_whisper(tmp_path / "other", special=(*more, *others))

    shutil.copytree(tiny_whisper, tmp_path / "small")
    shutil.copy(other / "tokenizer.json", tmp_path / "small" / "tokenizer.json")
    size = json.loads((tiny_whisper / "config.json").read_text())["vocab_size"]
    sentence = refused(data, base=tmp_path / "small")
    assert f"its tokenizer writes the id {size + 1}, but the model has {size} tokens" in sentence

    # Of as many tokens as the model has, or fewer: the control tokens mean others.
    generation = large_vocabulary / "generation_config.json"
    content = {**json.loads(generation.read_text()), "no_timestamps_token_id": size - 1}
    generation.write_text(json.dumps(content))
    shutil.copy(other / "tokenizer.json", large_vocabulary / "tokenizer.json")
    sentence = refused(data, base=large_vocabulary)
    assert f"'<|notimestamps|>' is {size + 1} in its tokenizer, but {size - 1} in its generation" in sentence

    (tmp_path / "small" / "tokenizer.json").unlink()
    assert "small: holds no tokenizer (tokenizer.json, or" in refused(data, base=tmp_path / "small")
