"""What the decoder is taught to write: Whisper's control tokens, the text, the end token."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json
from lors.speech.manifest import Utterance

if TYPE_CHECKING:
    from transformers import WhisperTokenizer

MAX_LABELS = 448
"""Whisper's decoder has this many positions; a longer sequence of labels cannot be learnt."""

_END = "<|endoftext|>"
_NO_TIMESTAMPS = "<|notimestamps|>"
_MULTILINGUAL_VOCABULARY = 51865


def is_multilingual(directory: Path) -> bool:
    """Whether a Whisper writes language and task tokens; the English-only `.en` models write neither."""
    generation = directory / "generation_config.json"
    stated = read_json(generation).get("is_multilingual") if generation.is_file() else None
    if stated is None:
        return bool(read_json(directory / "config.json")["vocab_size"] >= _MULTILINGUAL_VOCABULARY)
    return bool(stated)


def check_languages(
    utterances: Sequence[Utterance], tokenizer: "WhisperTokenizer", multilingual: bool, base: object
) -> None:
    """Raise UsageError for the first utterance whose language or task the base model cannot write."""
    for utterance in utterances:
        languages = f"'{utterance.source_lang}' to '{utterance.target_lang}'"
        if not multilingual:
            if (utterance.source_lang, utterance.target_lang) != ("en", "en"):
                raise UsageError(
                    f"{base}: this model knows English only, but utterance '{utterance.id}' is {languages}; "
                    "choose a multilingual base such as openai/whisper-base."
                )
        elif _token_id(tokenizer, f"<|{utterance.source_lang}|>") is None:
            raise UsageError(
                f"{base}: this model has no token for the language '{utterance.source_lang}' of utterance "
                f"'{utterance.id}'; choose a base that knows it."
            )
        elif utterance.task == "translate" and utterance.target_lang != "en":
            raise UsageError(
                f"{base}: Whisper translates into English only; utterance '{utterance.id}' is {languages}."
            )


def prefix_tokens(source_lang: str, task: str, multilingual: bool) -> list[str]:
    """The tokens between the start token and the text, as ['<|es|>', '<|transcribe|>', '<|notimestamps|>'].

    The language is the one that is spoken, in translation too.
    """
    control = [f"<|{source_lang}|>", f"<|{task}|>"] if multilingual else []
    return [*control, _NO_TIMESTAMPS]


def label_ids(utterance: Utterance, tokenizer: "WhisperTokenizer", multilingual: bool) -> list[int]:
    """Labels of one utterance: language, task, no-timestamps, the text after one space, end of text.

    The start token is absent: the model itself puts it first when it shifts the labels to the right, and a
    second one would teach a sequence that Whisper never sees. All ids come from the tokenizer, for
    large-v3's lie one higher than those of the models before it.

    Returns:
        Token ids, of any length: what exceeds `MAX_LABELS` is for the caller to leave out.
    """
    control = [*prefix_tokens(utterance.source_lang, utterance.task, multilingual), _END]
    *prefix, end = [_required_token_id(tokenizer, token) for token in control]
    text = tokenizer(f" {utterance.text.strip()}", add_special_tokens=False)["input_ids"]
    return [*prefix, *text, end]


def holds_control_tokens(labels: Sequence[int], tokenizer: "WhisperTokenizer", multilingual: bool) -> bool:
    """Whether the text itself spells one of Whisper's control tokens, such as '<|es|>'."""
    end = _required_token_id(tokenizer, _END)  # every control token lies at or above it
    start = len(prefix_tokens("en", "transcribe", multilingual))
    return any(token >= end for token in labels[start:-1])


def show_labels(labels: Sequence[int], tokenizer: "WhisperTokenizer") -> str:
    """The labels as text, control tokens and spaces visible, for a human eye."""
    return str(tokenizer.decode(list(labels), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _token_id(tokenizer: "WhisperTokenizer", token: str) -> int | None:
    found = tokenizer.convert_tokens_to_ids(token)  # an unknown token gets the id of another
    return int(found) if found is not None and tokenizer.convert_ids_to_tokens(found) == token else None


def _required_token_id(tokenizer: "WhisperTokenizer", token: str) -> int:
    found = _token_id(tokenizer, token)
    if found is None:
        raise LorsError(f"the tokenizer has no token '{token}'; a Whisper tokenizer was expected.")
    return found
