"""Decoding: options, batches, the loop guard, and two engines that write the same text."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import WhisperConfig

from lors.base.errors import LorsError, UsageError
from lors.checkpoints.find import find_checkpoint
from lors.speech.corpora.prompts import prepare_prompts
from lors.speech.decoding.batches import plan_batches, window_for
from lors.speech.decoding.decode import decode, load_engine
from lors.speech.decoding.hypothesis import Candidate, Decoded, Hypothesis
from lors.speech.decoding.loops import compression_ratio, is_loop, token_limit
from lors.speech.decoding.memory import MemoryModel
from lors.speech.decoding.options import DecoderOptions
from lors.speech.decoding.vocabulary import check_language, read_config
from lors.speech.manifest import Utterance, read_manifest


def utterance(number: int, duration: float, target: str = "es", path: Path = Path("/none.wav")) -> Utterance:
    return Utterance(
        id=f"clip-{number}",
        audio_filepath=path,
        duration=duration,
        text="hola",
        source_lang="es",
        target_lang=target,
    )


class ScriptedEngine:
    """Writes the tokens of `first`, or of `again` where repetition is forbidden, for every clip."""

    workers = 2
    mel_bins = 80
    on_gpu = False
    memory_model = MemoryModel.of(WhisperConfig().to_dict(), "ctranslate2", "int8")
    languages = frozenset({"en", "es", "fr"})

    def __init__(self, script: dict[str, list[int]]) -> None:
        self.script = script
        self.others: tuple[Decoded, ...] = ()
        self.calls: list[tuple[int, tuple[str, ...], str, int, int]] = []

    def decode(
        self,
        features: Tensor,
        languages: Sequence[str],
        task: str,
        max_new_tokens: int,
        no_repeat_ngram_size: int = 0,
    ) -> list[Decoded]:
        assert features.shape[:2] == (len(languages), self.mel_bins)
        self.calls.append(
            (features.shape[2] // 2, tuple(languages), task, max_new_tokens, no_repeat_ngram_size)
        )
        tokens = self.script["again" if no_repeat_ngram_size else "first"][:max_new_tokens]
        return [Decoded(tuple(tokens), name(tokens), -0.5, self.others) for _ in languages]

    def detect_language(self, features: Tensor) -> list[tuple[str, float]]:
        return [("fr", 0.75)] * len(features)


def name(tokens: list[int]) -> str:
    """A text for the tokens that compresses no better than speech does."""
    return " ".join(hashlib.sha256(bytes(str(token), "ascii")).hexdigest()[:6] for token in tokens)


@pytest.fixture
def clips(tmp_path: Path) -> list[Utterance]:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000 * 12).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    durations = [1.0, 3.0, 2.0, 9.0, 1.5]
    return [
        utterance(number, seconds, "en" if number % 2 else "es", tmp_path / "noise.wav")
        for number, seconds in enumerate(durations)
    ]


def decode_all(engine: ScriptedEngine, clips: list[Utterance], **options: object) -> dict[int, Hypothesis]:
    found: dict[int, Hypothesis] = {}
    for pairs in decode(engine, clips, DecoderOptions(**options)):  # type: ignore[arg-type]
        found.update(pairs)
    return found


# --- options


def test_defaults_and_signature() -> None:
    options = DecoderOptions()
    assert (options.quantization, options.beam_size, options.window) == ("int8", 5, 1500)
    assert DecoderOptions(engine="transformers").quantization == "float32"
    assert "decoder:ctranslate2|" in options.signature
    different = {
        DecoderOptions(engine="transformers"),
        DecoderOptions(quantization="float32"),
        DecoderOptions(beam_size=1),
        DecoderOptions(window=400),
        DecoderOptions(max_new_tokens=100),
        DecoderOptions(nbest=2),
        DecoderOptions(detect_language=True),
    }
    assert len({o.signature for o in different} | {options.signature}) == 8
    assert DecoderOptions(detect_language=True).signature.endswith("|language:detected")
    assert DecoderOptions(memory=1 << 30).signature == options.signature


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"engine": "ctranslate"}, "Did you mean 'ctranslate2'"),
        ({"quantization": "int4"}, "choose one of int8"),
        ({"engine": "transformers", "quantization": "int8"}, "does not go with engine transformers"),
        ({"beam_size": 0}, "beam size 0"),
        ({"window": 1501}, "window 1501"),
        ({"max_new_tokens": 445}, "1 to 444"),
        ({"nbest": 0}, "expected 1 to the beam size, 5"),
        ({"nbest": 6}, "expected 1 to the beam size, 5"),
        ({"nbest": 2, "engine": "transformers"}, "use engine ctranslate2"),
        ({"memory": 0}, "above zero"),
    ],
)
def test_wrong_options(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        DecoderOptions(**wrong)  # type: ignore[arg-type]


# --- batches


@given(st.floats(0.01, 30), st.integers(1, 1500))
def test_a_clip_gets_the_smallest_multiple_that_holds_it(seconds: float, window: int) -> None:
    found = window_for(seconds, window)
    assert found == 1500 or (found % window == 0 and seconds * 50 <= found)
    assert found == window or (found - window) * 1.0 < seconds * 50 or found == 1500
    assert window_for(seconds, 1500) == 1500


@given(
    st.lists(st.tuples(st.floats(0.1, 29), st.sampled_from(["es", "en"])), min_size=1, max_size=60),
    st.integers(100, 1500),
    st.integers(1, 20),
    st.integers(1, 4),
)
def test_batches_hold_each_utterance_once(
    clips: list[tuple[float, str]], window: int, beams: int, workers: int
) -> None:
    utterances = [utterance(i, seconds, target) for i, (seconds, target) in enumerate(clips)]
    options = DecoderOptions(window=window, beam_size=beams)
    plan = plan_batches(utterances, options, ScriptedEngine.memory_model, workers, 4 << 30)
    assert sorted(i for batch in plan.batches for i in batch.indices) == list(range(len(clips)))
    assert 1 <= plan.workers <= workers
    for batch in plan.batches:
        assert {utterances[i].task for i in batch.indices} == {batch.task}
        assert {window_for(utterances[i].duration, window) for i in batch.indices} == {batch.window}
        assert len(batch.indices) <= 8
    assert plan == plan_batches(utterances, options, ScriptedEngine.memory_model, workers, 4 << 30)


# --- loops


@pytest.mark.parametrize(
    ("tokens", "loop"),
    [
        ([7] * 16, True),
        ([7] * 15, False),
        ([1, 2, 3, 4, 5] * 4, True),
        ([1, 2, 3, 4, 5] * 3, False),
        ([9, 8, 7] + [1, 2] * 8, True),
        (list(range(100)), False),
        ([1, 2, 3, 4] * 4 + list(range(50, 90)), True),
        ([], False),
    ],
)
def test_repeated_tokens_are_a_loop(tokens: list[int], loop: bool) -> None:
    assert is_loop(tokens, "") is loop


def test_compression_ratio_is_whispers() -> None:
    text = "por favor " * 30
    assert compression_ratio(text) > 2.4
    assert is_loop([], text)
    assert not is_loop([], "Por favor marque uno para habilitar el modo mudo, dos para salir.")
    assert compression_ratio("") == 0.0


@pytest.mark.real
def test_no_real_sentence_is_a_loop(spanish: dict[str, list[Utterance]]) -> None:
    for utterances in spanish.values():
        assert not [u.text for u in utterances if is_loop(u.text.split(), u.text)]


def test_every_hypothesis_comes_back_in_its_place(clips: list[Utterance]) -> None:
    engine = ScriptedEngine({"first": [1, 2, 3]})
    found = decode_all(engine, clips, window=200)
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert [found[i].window for i in range(5)] == [200, 200, 200, 600, 200]
    assert {h.text for h in found.values()} == {name([1, 2, 3])}
    assert not any(h.looped for h in found.values())
    assert {(task, window) for window, _, task, *_ in engine.calls} == {
        ("transcribe", 200),
        ("translate", 200),
        ("translate", 600),
    }


def test_a_loop_is_decoded_again_and_told(clips: list[Utterance]) -> None:
    engine = ScriptedEngine({"first": [5] * 444, "again": [1, 2, 3]})
    found = decode_all(engine, clips[:1])
    hypothesis = found[0]
    assert hypothesis.looped
    assert hypothesis.text == name([1, 2, 3])
    limit = token_limit(1.0, 444)
    assert hypothesis.first_attempt == name([5] * limit)
    assert [call[3:] for call in engine.calls] == [(limit, 0), (limit, 4)]


def test_a_long_text_that_does_not_loop_is_not_cut(clips: list[Utterance]) -> None:
    engine = ScriptedEngine({"first": list(range(100, 200))})
    hypothesis = decode_all(engine, clips[:1])[0]
    assert hypothesis.tokens == 100
    assert not hypothesis.looped
    assert [call[3] for call in engine.calls] == [token_limit(1.0, 444), 444]


def test_a_text_without_end_counts_as_a_loop(clips: list[Utterance]) -> None:
    engine = ScriptedEngine({"first": list(range(1000, 1500)), "again": [1]})
    hypothesis = decode_all(engine, clips[:1])[0]
    assert hypothesis.looped
    assert hypothesis.text == name([1])


def test_what_is_done_is_not_decoded_again(clips: list[Utterance]) -> None:
    engine = ScriptedEngine({"first": [1]})
    pairs = [pair for batch in decode(engine, clips, DecoderOptions(), done={0, 1, 2, 3}) for pair in batch]
    assert [place for place, _ in pairs] == [4]
    assert not list(decode(ScriptedEngine({}), clips, DecoderOptions(), done=set(range(5))))


def test_nbest_texts_are_kept_best_first(clips: list[Utterance]) -> None:
    engine = ScriptedEngine({"first": [1, 2]})
    engine.others = (Decoded((3,), "next", -0.75),)
    best = decode_all(engine, clips[:1], nbest=2)[0]
    assert best.nbest == (Candidate(name([1, 2]), 2, -0.5), Candidate("next", 1, -0.75))
    assert decode_all(engine, clips[:1])[0].nbest == ()


def test_a_detected_language_takes_the_place_of_the_given_one(clips: list[Utterance]) -> None:
    engine = ScriptedEngine({"first": [1]})
    found = decode_all(engine, clips, detect_language=True)
    assert {(h.language, h.language_probability) for h in found.values()} == {("fr", 0.75)}
    assert {code for call in engine.calls for code in call[1]} == {"fr"}
    given = decode_all(engine, clips)
    assert {(h.language, h.language_probability) for h in given.values()} == {(None, None)}


def test_a_language_that_the_model_lacks_is_named_before_anything_is_decoded(
    clips: list[Utterance],
) -> None:
    engine = ScriptedEngine({"first": [1]})
    engine.languages = frozenset({"en"})
    with pytest.raises(UsageError, match=r"no token for Spanish \(es\)"):
        decode_all(engine, clips)
    assert not engine.calls


def test_an_unreadable_clip_is_named(clips: list[Utterance]) -> None:
    clips[0].audio_filepath.write_bytes(b"no audio")
    with pytest.raises(LorsError, match=r"noise\.wav"):
        decode_all(ScriptedEngine({"first": [1]}), clips)


# --- what a model can be asked for


def _config(folder: Path, **entries: object) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper", **entries}))
    return folder


def test_an_english_only_model_is_asked_for_english_only(tmp_path: Path) -> None:
    config = read_config(_config(tmp_path, vocab_size=51864))
    check_language(tmp_path, config, "en", "en")
    with pytest.raises(UsageError, match="English-only model; it cannot be asked for Spanish text"):
        check_language(tmp_path, config, "es", "es")
    with pytest.raises(UsageError, match="English text of Spanish"):
        check_language(tmp_path, config, "es", "en")


def test_whisper_translates_into_english_only(tmp_path: Path) -> None:
    config = read_config(_config(tmp_path, vocab_size=51865))
    check_language(tmp_path, config, "es", "en")
    with pytest.raises(UsageError, match="into English only"):
        check_language(tmp_path, config, "es", "fr")
    with pytest.raises(UsageError, match="Cantonese"):
        check_language(tmp_path, config, "yue", "yue")


def test_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="'bert'; a Whisper model was expected"):
        read_config(tmp_path)


# --- real weights, real voices


@pytest.fixture(scope="module")
def whisper_base() -> Path:
    return find_checkpoint("openai/whisper-base")


@pytest.fixture(scope="module")
def spanish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Utterance]]:
    corpus = prepare_prompts(["es"], tmp_path_factory.mktemp("prompts") / "data")
    return {task: read_manifest(corpus.manifest("es", task, "test")) for task in ("transcribe", "translate")}


def _texts(directory: Path, clips: list[Utterance], options: DecoderOptions) -> list[str]:
    engine = load_engine(directory, options)
    found = {i: h for pairs in decode(engine, clips, options) for i, h in pairs}
    return [found[i].text for i in range(len(clips))]


@pytest.mark.real
def test_both_engines_write_the_same_text(whisper_base: Path, spanish: dict[str, list[Utterance]]) -> None:
    clips = [u for task in spanish.values() for u in task if u.duration < 4][:12]
    clips += [u for u in spanish["translate"] if u.duration < 4][:4]
    fast = _texts(whisper_base, clips, DecoderOptions(window=400, quantization="float32", beam_size=3))
    reference = _texts(whisper_base, clips, DecoderOptions(window=400, engine="transformers", beam_size=3))
    assert {u.task for u in clips} == {"transcribe", "translate"}
    same = sum(a == b for a, b in zip(fast, reference, strict=True))
    assert same >= len(clips) - 1
    assert len(set(fast)) > 10


@pytest.mark.real
def test_a_clip_longer_than_the_window_loses_nothing(
    whisper_base: Path, spanish: dict[str, list[Utterance]]
) -> None:
    clip = min((u for u in spanish["transcribe"] if u.duration > 9), key=lambda u: u.duration)
    (text,) = _texts(whisper_base, [clip], DecoderOptions(window=200))
    assert len(text.split()) >= 0.7 * len(clip.text.split())


def test_transformers_without_languages_in_the_generation_config(tiny_whisper: Path) -> None:
    with pytest.raises(LorsError, match="names no 'lang_to_id'"):
        load_engine(tiny_whisper, DecoderOptions(engine="transformers"))
