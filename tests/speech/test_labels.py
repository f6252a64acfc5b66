"""Labels, against the sequences that Whisper was trained on and transformers' own way of making them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, WhisperForConditionalGeneration, WhisperTokenizer

from lors.base.errors import LorsError, UsageError
from lors.checkpoints.find import find_checkpoint
from lors.speech.corpora.prompts import prepare_prompts
from lors.speech.labels import (
    MAX_LABELS,
    check_languages,
    holds_control_tokens,
    is_multilingual,
    label_ids,
    show_labels,
)
from lors.speech.manifest import Utterance, read_manifest
from lors.speech.training import label_losses
from lors.speech.training_data import IGNORED, Collator, SpeechDataset, select_examples

SPANISH = Utterance(
    id="a", audio_filepath=Path("/a.wav"), duration=1.0, text="Sí, ya.", source_lang="es", target_lang="es"
)


@pytest.fixture(scope="module")
def tokenizer(tiny_whisper: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_pretrained(tiny_whisper)


def tokens(ids: list[int], tokenizer: WhisperTokenizer) -> list[str]:
    return tokenizer.convert_ids_to_tokens(ids)


def test_transcription_is_language_task_notimestamps_space_text_end(tokenizer):
    ids = label_ids(SPANISH, tokenizer, multilingual=True)
    assert tokens(ids, tokenizer) == [
        *("<|es|>", "<|transcribe|>", "<|notimestamps|>"),
        *("Ġ", "S", "Ã", "Ń", ",", "Ġ", "y", "a", "."),
        "<|endoftext|>",
    ]


def test_translation_names_the_language_that_is_spoken(tokenizer):
    ids = label_ids(replace(SPANISH, text="Yes", target_lang="en"), tokenizer, multilingual=True)
    assert tokens(ids, tokenizer)[:3] == ["<|es|>", "<|translate|>", "<|notimestamps|>"]


def test_english_only_models_have_neither_language_nor_task(tokenizer):
    english = replace(SPANISH, source_lang="en", target_lang="en", text="Yes")
    found = tokens(label_ids(english, tokenizer, multilingual=False), tokenizer)
    assert found == ["<|notimestamps|>", "Ġ", "Y", "e", "s", "<|endoftext|>"]


def test_there_is_one_space_before_the_text_however_it_is_written(tokenizer):
    padded = replace(SPANISH, text="  \tSí, ya. \n")
    assert label_ids(padded, tokenizer, True) == label_ids(SPANISH, tokenizer, True)


def test_ids_come_from_the_tokenizer(tokenizer, make_whisper: Callable[..., Path], tmp_path):
    """large-v3 has one language more, which moves every id after it."""
    special = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|yue|>", "<|es|>")
    rest = ("<|translate|>", "<|transcribe|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
    shifted = WhisperTokenizer.from_pretrained(make_whisper(tmp_path / "v3", (*special, *rest)))
    before, after = label_ids(SPANISH, tokenizer, True), label_ids(SPANISH, shifted, True)
    assert after[0] == before[0] + 1
    assert tokens(after, shifted) == tokens(before, tokenizer)


def test_show_labels_shows_control_tokens_and_the_space(tokenizer):
    shown = show_labels(label_ids(SPANISH, tokenizer, True), tokenizer)
    assert shown == "<|es|><|transcribe|><|notimestamps|> Sí, ya.<|endoftext|>"


@pytest.mark.parametrize("text", ["say <|es|>", "<|endoftext|>", "<|notimestamps|> a"])
def test_text_that_spells_a_control_token_is_found(tokenizer, text):
    ids = label_ids(replace(SPANISH, text=text), tokenizer, True)
    assert holds_control_tokens(ids, tokenizer, True)
    assert not holds_control_tokens(label_ids(SPANISH, tokenizer, True), tokenizer, True)


def test_a_tokenizer_of_another_model_is_refused():
    other = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE({"a": 0, "?": 1}, [], unk_token="?"))
    )
    with pytest.raises(LorsError, match=r"no token '<\|es\|>'"):
        label_ids(SPANISH, other, True)


@pytest.mark.parametrize(
    ("source", "target", "multilingual", "words"),
    [
        ("es", "es", False, "English only"),
        ("en", "es", False, "English only"),
        ("sv", "sv", True, "no token for the language 'sv'"),
        ("es", "fr", True, "translates into English only"),
    ],
)
def test_what_the_base_cannot_write_is_refused_by_name(tokenizer, source, target, multilingual, words):
    bad = replace(SPANISH, id="the-bad-one", source_lang=source, target_lang=target)
    with pytest.raises(UsageError, match=words) as error:
        check_languages([bad], tokenizer, multilingual, "openai/whisper-x")
    assert "'the-bad-one'" in str(error.value)
    assert "openai/whisper-x" in str(error.value)


def test_what_the_base_can_write_is_accepted(tokenizer):
    translation = replace(SPANISH, target_lang="en")
    english = replace(SPANISH, source_lang="en", target_lang="en")
    check_languages([SPANISH, translation, english], tokenizer, True, "base")
    check_languages([english], tokenizer, False, "base")


@pytest.mark.parametrize(
    ("generation", "vocabulary", "expected"),
    [
        ('{"is_multilingual": true}', 300, True),
        ('{"is_multilingual": false}', 51865, False),
        ("{}", 51864, False),
        ("{}", 51866, True),
        (None, 51864, False),
        (None, 51865, True),
    ],
)
def test_is_multilingual(tmp_path, generation, vocabulary, expected):
    (tmp_path / "config.json").write_text(f'{{"vocab_size": {vocabulary}}}')
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(generation)
    assert is_multilingual(tmp_path) is expected


def test_too_long_and_misspelt_utterances_are_left_out_with_the_reason(tokenizer):
    clips = [
        replace(SPANISH, id="short"),
        replace(SPANISH, id="too-long-a-clip", duration=8.01),
        replace(SPANISH, id="just-fits", duration=8.0),
        replace(SPANISH, id="most-labels", text="x" * (MAX_LABELS - 5)),
        replace(SPANISH, id="too-many-labels", text="x" * (MAX_LABELS - 4)),
        replace(SPANISH, id="control", text="<|es|>"),
    ]
    kept, left_out = select_examples(Path("m.jsonl"), clips, tokenizer, True, 400)
    assert [example.utterance.id for example in kept] == ["short", "just-fits", "most-labels"]
    assert max(len(example.labels) for example in kept) == MAX_LABELS
    assert {item.id: item.reason for item in left_out} == {
        "too-long-a-clip": "lasts 8.01 s, more than the window of 8.00 s",
        "too-many-labels": "has 449 labels, more than the decoder's 448",
        "control": "spells one of Whisper's control tokens in its text",
    }


@pytest.fixture(scope="module")
def whisper_base() -> Path:
    return find_checkpoint("openai/whisper-base")


@pytest.mark.real
def test_labels_are_what_the_tokenizer_of_whisper_makes_after_the_start_token(whisper_base):
    tokenizer = WhisperTokenizer.from_pretrained(whisper_base)
    for source, target, text in [("es", "es", "Por favor, espere."), ("fr", "en", "It's 7 o'clock…")]:
        utterance = replace(SPANISH, source_lang=source, target_lang=target, text=text)
        official = WhisperTokenizer.from_pretrained(whisper_base, language=source, task=utterance.task)
        start, *expected = official(" " + text)["input_ids"]
        assert start == tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
        assert label_ids(utterance, tokenizer, True) == expected


@pytest.mark.real
def test_wrong_labels_cost_more_on_real_speech(whisper_base, tmp_path):
    """The mistakes of public recipes: each raises the loss of the text itself on an untouched Whisper."""
    corpus = prepare_prompts(["es"], tmp_path / "data")
    manifest = corpus.manifest("es", "transcribe", "test")
    tokenizer = WhisperTokenizer.from_pretrained(whisper_base)
    model = WhisperForConditionalGeneration.from_pretrained(whisper_base, dtype=torch.float32).eval()
    short = [utterance for utterance in read_manifest(manifest) if utterance.duration < 4][:6]
    examples, _ = select_examples(manifest, short, tokenizer, True, 512)
    batch = Collator(512, 80)([SpeechDataset(examples)[i] for i in range(len(examples))])
    start = tokenizer.convert_tokens_to_ids("<|startoftranscript|>")

    def loss_of_text(rows: list[list[int]], unmasked: int) -> float:
        """Mean over the text's labels alone, which begin after so many control tokens."""
        labels = torch.full((len(rows), max(map(len, rows))), IGNORED)
        for row, ids in zip(labels, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        with torch.inference_mode():
            losses = label_losses(model, batch["input_features"], labels)
        per_row = losses.split([sum(label != IGNORED for label in ids) for ids in rows])
        return torch.cat([row[unmasked:] for row in per_row]).mean().item()

    right = [list(example.labels) for example in examples]
    correct = loss_of_text(right, 3)
    twice_started = loss_of_text([[start, *ids] for ids in right], 4)
    no_space = [
        [*ids[:3], *tokenizer(utterance.text, add_special_tokens=False)["input_ids"], ids[-1]]
        for ids, utterance in zip(right, short, strict=True)
    ]
    masked_prefix = loss_of_text([[IGNORED] * 3 + ids[3:] for ids in right], 0)
    without_space = loss_of_text(no_space, 3)
    assert correct < 1.0
    assert twice_started > correct + 0.1
    assert without_space > correct + 0.1
    assert masked_prefix > correct + 1.0
