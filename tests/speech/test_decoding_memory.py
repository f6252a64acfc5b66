"""The memory that decoding takes: counted by hand, kept under the budget, and measured on real weights."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import WhisperConfig

from lors.base.errors import UsageError
from lors.speech.decoding import available
from lors.speech.decoding.batches import memory_of_one, plan_batches
from lors.speech.decoding.loops import token_limit
from lors.speech.decoding.memory import MemoryModel
from lors.speech.decoding.options import DecoderOptions
from lors.speech.manifest import Utterance

# d_model, layers, heads, mel bins, vocabulary: openai/whisper's table of models.
SIZES = {
    "tiny": (384, 4, 6, 80, 51865),
    "base": (512, 6, 8, 80, 51865),
    "small": (768, 12, 12, 80, 51865),
    "medium": (1024, 24, 16, 80, 51865),
    "large-v3": (1280, 32, 20, 128, 51866),
}
ENGINES = ("ctranslate2", "transformers")


def config_of(size: str) -> dict[str, Any]:
    width, layers, heads, mel_bins, vocabulary = SIZES[size]
    config: dict[str, Any] = WhisperConfig(
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        num_mel_bins=mel_bins,
        vocab_size=vocabulary,
    ).to_dict()
    return config


def shape_of(size: str, engine: str) -> MemoryModel:
    return MemoryModel.of(config_of(size), engine, "float32")


def clip(number: int, duration: float) -> Utterance:
    return Utterance(
        id=str(number),
        audio_filepath=Path("/none.wav"),
        duration=duration,
        text="hola",
        source_lang="es",
        target_lang="es",
    )


def test_cross_attention_of_twenty_beams_is_what_was_measured() -> None:
    # design.md: whisper-small holds 2.2 GB of it per utterance in float32 at beam 20: keys and values of 12
    # layers, 1500 positions of 768 numbers, 20 times.
    cross = 2 * 12 * 20 * 1500 * 768 * 4
    assert cross == pytest.approx(2.2e9, rel=0.01)
    small = shape_of("small", "transformers")
    assert cross < small.bytes(1, 1500, 20, 48) < 1.5 * cross
    # CTranslate2 keeps it once for all beams.
    assert shape_of("small", "ctranslate2").bytes(1, 1500, 20, 48) < cross / 4


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", SIZES)
@given(
    durations=st.lists(st.floats(0.1, 30), min_size=1, max_size=40),
    beams=st.sampled_from([1, 5, 20]),
    window=st.sampled_from([400, 1500]),
    workers=st.integers(1, 4),
    gibibytes=st.sampled_from([0.25, 0.5, 1, 2, 4, 8, 16, 32]),
)
def test_planned_batches_stay_within_the_budget(
    size: str, engine: str, durations: list[float], beams: int, window: int, workers: int, gibibytes: float
) -> None:
    options = DecoderOptions(engine=engine, beam_size=beams, window=window)
    model, budget = shape_of(size, engine), int(gibibytes * 2**30)
    clips = [clip(number, seconds) for number, seconds in enumerate(durations)]
    longest = max(-(-round(seconds * 50 + 0.4999) // window) * window for seconds in durations)
    try:
        plan = plan_batches(clips, options, model, workers, budget)
    except UsageError:
        assert memory_of_one(model, options, min(1500, longest)) > budget
        return
    at_work = 0
    for batch in plan.batches:
        count, most = len(batch.indices), max(durations[i] for i in batch.indices)
        first = model.bytes(count, batch.window, beams, token_limit(most, 444))
        again = model.bytes(1, batch.window, beams, 444)  # one whose text is longer than expected
        # What must be held whatever the engine: states, logits, and the text's own keys and values.
        rows = count * beams
        width, layers, _, _, vocabulary = SIZES[size]
        own = 2 * layers * rows * token_limit(most, 444) * width * 4
        cross = 2 * layers * (rows if engine == "transformers" else count) * batch.window * width * 4
        assert first > own + cross + rows * vocabulary * 4
        at_work = max(at_work, first, again)
    assert at_work * plan.workers <= budget


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", SIZES)
def test_more_of_anything_takes_more(size: str, engine: str) -> None:
    model = shape_of(size, engine)
    least = model.bytes(1, 400, 2, 40)
    assert model.bytes(2, 400, 2, 40) > least
    assert model.bytes(1, 1500, 2, 40) > least
    assert model.bytes(4, 400, 8, 40) > model.bytes(4, 400, 4, 40)
    assert model.bytes(4, 400, 8, 80) > model.bytes(4, 400, 8, 40)
    half = MemoryModel.of(config_of(size), "transformers", "float16")
    assert half.bytes(4, 1500, 20, 40) < shape_of(size, "transformers").bytes(4, 1500, 20, 40)


def test_batches_shrink_before_anything_is_refused() -> None:
    clips = [clip(number, 5.0) for number in range(64)]
    model = shape_of("base", "transformers")
    options = DecoderOptions(engine="transformers", beam_size=20)
    alone = memory_of_one(model, options, 1500)
    generous = plan_batches(clips, options, model, 4, 100 * alone)
    tight = plan_batches(clips, options, model, 4, alone)
    assert (generous.workers, tight.workers) == (4, 1)
    assert len(generous.batches) < len(tight.batches) <= 64
    with pytest.raises(UsageError) as refused:
        plan_batches(clips, options, model, 4, alone - 1)
    sentence = str(refused.value)
    for part in (f"{-(-alone // 2**20):,} MiB", "20 beams", "1500", "--memory", "--beam-size", "ctranslate2"):
        assert part in sentence


def test_default_memory_is_at_most_half_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(available, "_free", lambda: 10 << 30)
    assert available.default_memory() == 4 << 30
    monkeypatch.setattr(available, "_free", lambda: 8 << 30)
    assert available.default_memory() == 4 << 30
    monkeypatch.setattr(available, "_free", lambda: 0)
    assert available.default_memory() == 256 << 20


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("2000\n")
    (tmp_path / "memory.current").write_text("1500\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 300\n")
    assert available._free_in_group(tmp_path) == [800]
    (tmp_path / "memory.max").write_text("max\n")
    assert available._free_in_group(tmp_path) == []
    assert available._free_in_group(tmp_path / "none") == []


# Decodes noise, and prints the growth of private memory, looked at every 2 ms, beside what was counted for it.
_MEASURE = """
import os, sys, threading, time
import torch
from lors.checkpoints.find import find_checkpoint
from lors.speech.decoding.decode import load_engine
from lors.speech.decoding.options import DecoderOptions

engine_name, clips, window, beams, tokens = sys.argv[1], *map(int, sys.argv[2:])

def private():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

torch.set_num_threads(1)
options = DecoderOptions(engine=engine_name, quantization="float32", beam_size=beams, window=window)
engine = load_engine(find_checkpoint("openai/whisper-base"), options)
features = torch.randn(clips, 80, 2 * window, generator=torch.Generator().manual_seed(0)) * 0.3
before, peak, ended = private(), 0, False

def watch():
    global peak
    while not ended:
        peak = max(peak, private())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
engine.decode(features, ["es"] * clips, "transcribe", tokens)
ended = True
watcher.join()
print(peak - before, engine.memory_model.bytes(clips, window, beams, tokens))
"""


@pytest.mark.real
@pytest.mark.skipif(sys.platform != "linux", reason="private memory is read from /proc")
@pytest.mark.parametrize(
    ("engine", "clips", "window", "beams", "tokens"),
    [
        ("ctranslate2", 1, 1500, 20, 12),
        ("ctranslate2", 4, 400, 20, 32),
        ("transformers", 2, 400, 20, 6),
    ],
)
def test_measured_growth_stays_below_what_is_counted(
    engine: str, clips: int, window: int, beams: int, tokens: int
) -> None:
    command = [sys.executable, "-c", _MEASURE, engine, *map(str, (clips, window, beams, tokens))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    growth, counted = map(int, done.stdout.split())
    assert growth < counted
    assert growth > counted / 5  # a count that is far too high would refuse what fits
