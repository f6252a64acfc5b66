"""Both engines on real weights and voices: the same texts, the same languages, scores that hold, no text cut short."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperTokenizer
from transformers.modeling_outputs import BaseModelOutput

from lors.checkpoints.find import find_checkpoint
from lors.speech.audio import load_audio
from lors.speech.corpora.prompts import prepare_prompts
from lors.speech.decoding.decode import decode, load_engine
from lors.speech.decoding.hypothesis import Engine, Hypothesis
from lors.speech.decoding.options import DecoderOptions
from lors.speech.manifest import Utterance, read_manifest
from lors.speech.window import encode, log_mel

pytestmark = pytest.mark.real

LANGUAGES = ("en", "es", "fr", "it", "ru")
WINDOW = 400


@pytest.fixture(scope="module")
def whisper_base() -> Path:
    return find_checkpoint("openai/whisper-base")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Utterance]]:
    """Language → prompts of 2.5 to 6 s."""
    folder = tmp_path_factory.mktemp("prompts") / "data"
    corpus = prepare_prompts(list(LANGUAGES), folder)
    found = {code: read_manifest(corpus.manifest(code, "transcribe", "test")) for code in LANGUAGES}
    return {code: [u for u in some if 2.5 < u.duration < 6] for code, some in found.items()}


@cache
def engine_of(directory: Path, engine: str, beams: int = 1, nbest: int = 1) -> tuple[Engine, DecoderOptions]:
    options = DecoderOptions(
        engine=engine, quantization="float32", beam_size=beams, window=WINDOW, nbest=nbest, memory=2 << 30
    )
    return load_engine(directory, options), options


def written(engine: Engine, clips: Sequence[Utterance], options: DecoderOptions) -> list[Hypothesis]:
    found = {place: one for pairs in decode(engine, clips, options) for place, one in pairs}
    return [found[place] for place in range(len(clips))]


def features_of(clips: Sequence[Utterance]) -> torch.Tensor:
    return log_mel([load_audio(u.audio_filepath, u.offset, u.duration) for u in clips], WINDOW, 80)


@pytest.mark.parametrize(("beams", "each"), [(1, 3), (5, 1)])
def test_both_engines_write_the_same_texts(
    whisper_base: Path, clips: dict[str, list[Utterance]], beams: int, each: int
) -> None:
    # benchmarks/decode/compare.py counts the share on as many clips as one likes; so few must agree on all.
    chosen = [u for some in clips.values() for u in some[:each]]
    texts = []
    for name in ("ctranslate2", "transformers"):
        engine, options = engine_of(whisper_base, name, beams)
        texts.append([one.text for one in written(engine, chosen, options)])
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == len(chosen)


def test_both_engines_hear_the_same_languages(whisper_base: Path, clips: dict[str, list[Utterance]]) -> None:
    chosen = [u for some in clips.values() for u in some[:2]]
    features = features_of(chosen)
    fast, reference = (
        engine_of(whisper_base, name)[0].detect_language(features) for name in ("ctranslate2", "transformers")
    )
    for (code, probability), (other, other_probability) in zip(fast, reference, strict=True):
        assert code == other
        assert probability == pytest.approx(other_probability, abs=2e-3)
        assert 0 < probability <= 1
    right = sum(code == u.source_lang for (code, _), u in zip(fast, chosen, strict=True))
    assert right >= len(chosen) - 2
    assert {code for code, _ in fast} == set(LANGUAGES)


def test_detection_is_transformers_own(whisper_base: Path, clips: dict[str, list[Utterance]]) -> None:
    chosen = [some[0] for some in clips.values()]
    features = features_of(chosen)
    model = WhisperForConditionalGeneration.from_pretrained(whisper_base)
    with torch.inference_mode():
        states = BaseModelOutput(last_hidden_state=encode(model, features))
        ids = model.detect_language(encoder_outputs=states)
    by_id = {number: token.strip("<|>") for token, number in model.generation_config.lang_to_id.items()}
    ours = engine_of(whisper_base, "transformers")[0].detect_language(features)
    assert [by_id[number] for number in ids.tolist()] == [code for code, _ in ours]


def test_the_best_text_and_its_score_do_not_depend_on_nbest(
    whisper_base: Path, clips: dict[str, list[Utterance]]
) -> None:
    chosen = [some[0] for some in clips.values()]
    single = written(*_with(engine_of(whisper_base, "ctranslate2", 4), chosen))
    several = written(*_with(engine_of(whisper_base, "ctranslate2", 4, 4), chosen))
    for one, best in zip(single, several, strict=True):
        assert (best.text, best.tokens, best.log_probability) == (one.text, one.tokens, one.log_probability)
        assert (best.nbest[0].text, best.nbest[0].log_probability) == (best.text, best.log_probability)
        scores = [candidate.log_probability for candidate in best.nbest]
        assert len(scores) == 4
        assert scores == sorted(scores, key=lambda score: score or 0.0, reverse=True)
        assert len({candidate.text for candidate in best.nbest}) > 1


def test_the_score_is_the_sum_of_log_probabilities_by_the_tokens(
    whisper_base: Path, clips: dict[str, list[Utterance]]
) -> None:
    chosen = clips["es"][:1]
    engine, _ = engine_of(whisper_base, "ctranslate2", 4, 4)
    (found,) = engine.decode(features_of(chosen), ["es"], "transcribe", 100)
    tokenizer = WhisperTokenizer.from_pretrained(whisper_base)
    model = WhisperForConditionalGeneration.from_pretrained(whisper_base).eval()
    names = ["<|startoftranscript|>", "<|es|>", "<|transcribe|>", "<|notimestamps|>"]
    prompt = tokenizer.convert_tokens_to_ids(names)
    with torch.inference_mode():
        states = BaseModelOutput(last_hidden_state=encode(model, features_of(chosen)))
        for one in (found, *found.others):
            row = [*prompt, *one.tokens, tokenizer.eos_token_id]
            logits = model(encoder_outputs=states, decoder_input_ids=torch.tensor([row])).logits[0]
            logits[:, model.generation_config.suppress_tokens] = -math.inf
            logits[len(prompt) - 1, model.generation_config.begin_suppress_tokens] = -math.inf
            steps = logits.log_softmax(-1)[torch.arange(len(prompt) - 1, len(row) - 1), row[len(prompt) :]]
            assert one.log_probability == pytest.approx(float(steps.sum()) / len(one.tokens), abs=2e-3)


@pytest.mark.parametrize("name", ["ctranslate2", "transformers"])
def test_the_limit_of_tokens_is_met_to_the_token(
    name: str, whisper_base: Path, clips: dict[str, list[Utterance]]
) -> None:
    # CTranslate2 counts its `max_length` twice for a text, so that half of what is asked for is what one gets.
    engine, _ = engine_of(whisper_base, name)
    features = features_of(clips["ru"][:1])
    (whole,) = engine.decode(features, ["ru"], "transcribe", 444)
    assert len(whole.tokens) > 12
    for limit in (1, 5, 12):
        (cut,) = engine.decode(features, ["ru"], "transcribe", limit)
        assert cut.tokens == whole.tokens[:limit]


def _with(
    loaded: tuple[Engine, DecoderOptions], clips: Sequence[Utterance]
) -> tuple[Engine, Sequence[Utterance], DecoderOptions]:
    return loaded[0], clips, loaded[1]
