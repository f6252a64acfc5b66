"""The special tokens of a Whisper checkpoint, and the prompt that asks for a language and a task."""

from pathlib import Path
from typing import Any

from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json
from lors.speech.languages import LANGUAGES

_ENGLISH_ONLY_VOCABULARY = 51864
_MULTILINGUAL_VOCABULARY = 51865


def read_config(directory: Path) -> dict[str, Any]:
    """`config.json` of a Whisper checkpoint; another model's is a UsageError."""
    path = directory / "config.json"
    config = read_json(path)
    if not isinstance(config, dict) or config.get("model_type") != "whisper":
        found = config.get("model_type") if isinstance(config, dict) else None
        raise UsageError(f"{path}: the model type is {found!r}; a Whisper model was expected.")
    return config


def is_multilingual(config: dict[str, Any]) -> bool:
    """False for the `.en` models, which know neither languages nor tasks."""
    return int(config.get("vocab_size", _MULTILINGUAL_VOCABULARY)) != _ENGLISH_ONLY_VOCABULARY


def check_language(directory: Path, config: dict[str, Any], source: str, target: str) -> None:
    """Raise UsageError where this model cannot be asked for `target` text of `source` speech."""
    if not is_multilingual(config):
        if (source, target) != ("en", "en"):
            raise UsageError(
                f"{directory}: an English-only model; it cannot be asked for {LANGUAGES[target].title()} "
                f"text of {LANGUAGES[source].title()} speech, only for English text of English speech."
            )
    elif target not in (source, "en"):
        raise UsageError(
            f"Whisper translates into English only; {LANGUAGES[target].title()} text of "
            f"{LANGUAGES[source].title()} speech cannot be asked for: leave that data out."
        )
    elif (
        source == "yue"
        and int(config.get("vocab_size", _MULTILINGUAL_VOCABULARY)) <= _MULTILINGUAL_VOCABULARY
    ):
        raise UsageError(f"{directory}: this model does not know Cantonese (yue); large-v3 and turbo do.")


class Vocabulary:
    """Token ids of one checkpoint's prompt, and its text decoder."""

    def __init__(self, directory: Path) -> None:
        from transformers import WhisperTokenizer

        self.multilingual = is_multilingual(read_config(directory))
        try:
            self._tokenizer = WhisperTokenizer.from_pretrained(directory)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise LorsError(f"{directory}: its tokenizer cannot be loaded ({reason}).") from None

    def prompt(self, language: str, task: str) -> list[int]:
        """[start of transcript, language, task, no timestamps]; an `.en` model has no middle two."""
        names = ["<|startoftranscript|>", "<|notimestamps|>"]
        if self.multilingual:
            names[1:1] = [f"<|{language}|>", f"<|{task}|>"]
        return [int(self._tokenizer.convert_tokens_to_ids(name)) for name in names]

    def text(self, tokens: list[int]) -> str:
        """The text of tokens, special ones left out, without surrounding white space."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def is_text(self, token: int) -> bool:
        """Whether a token is text, not a special one (special ones come last, from end of text on)."""
        return token < int(self._tokenizer.eos_token_id)
