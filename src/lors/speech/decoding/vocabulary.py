"""The special tokens of a Whisper checkpoint, and the prompt that asks for a language and a task."""

from pathlib import Path
from typing import Any

from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json
from lors.speech.languages import LANGUAGES

_NO_TIMESTAMPS = "<|notimestamps|>"
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


def complete_config(directory: Path) -> dict[str, Any]:
    """`read_config`, with Whisper's own values for what it leaves out."""
    from transformers import WhisperConfig

    config: dict[str, Any] = WhisperConfig.from_dict(read_config(directory)).to_dict()
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
    """Token ids of one checkpoint's prompt, and its text decoder.

    Raises:
        LorsError: there is no tokenizer, or it is that of another model.
    """

    def __init__(self, directory: Path) -> None:
        from transformers import WhisperTokenizer

        config = complete_config(directory)
        self._directory = directory
        self.multilingual = is_multilingual(config)
        try:
            self._tokenizer = WhisperTokenizer.from_pretrained(directory)
        except (
            Exception
        ) as error:  # tokenizers raises bare ones, and transformers KeyError where a part is missing
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise LorsError(f"{directory}: its tokenizer cannot be loaded ({reason}).") from None
        self.start = self._id("<|startoftranscript|>")
        self.languages = self._languages()
        """Whisper's language codes that the model knows → their tokens' ids."""
        self._check_matches(config)

    def prompt(self, language: str, task: str) -> list[int]:
        """[start of transcript, language, task, no timestamps]; an `.en` model has no middle two."""
        asked = [self._id(f"<|{language}|>"), self._id(f"<|{task}|>")] if self.multilingual else []
        return [self.start, *asked, self._id(_NO_TIMESTAMPS)]

    def text(self, tokens: list[int]) -> str:
        """The text of tokens, special ones left out, without surrounding white space."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def is_text(self, token: int) -> bool:
        """Whether a token is text, not a special one (special ones come last, from end of text on)."""
        return token < int(self._tokenizer.eos_token_id)

    def _languages(self) -> dict[str, int]:
        if not self.multilingual:
            return {"en": self.start}
        found = {code: self._find(f"<|{code}|>") for code in LANGUAGES}
        return {code: token for code, token in found.items() if token is not None}

    def _check_matches(self, config: dict[str, Any]) -> None:
        """A neighbour's tokenizer, such as large-v3's, has ids one off: its prompts ask for something else."""
        path = self._directory / "generation_config.json"
        stated = read_json(path) if path.is_file() else {}
        expected = {
            "<|startoftranscript|>": config.get("decoder_start_token_id"),
            _NO_TIMESTAMPS: stated.get("no_timestamps_token_id"),
        }
        for token, wanted in expected.items():
            if wanted is not None and wanted != self._id(token):
                self._refuse(f"it gives {token} the number {self._id(token)} where the model has {wanted}")
        if len(self._tokenizer) > int(config["vocab_size"]):
            self._refuse(f"it has {len(self._tokenizer)} tokens and the model {config['vocab_size']}")

    def _refuse(self, what: str) -> None:
        raise LorsError(
            f"{self._directory}: the tokenizer is not that of this model ({what}); copy the tokenizer files from "
            "the model that the checkpoint was trained from."
        )

    def _find(self, token: str) -> int | None:
        found = self._tokenizer.convert_tokens_to_ids(token)  # an unknown token gets the id of another
        known = found is not None and self._tokenizer.convert_ids_to_tokens(found) == token
        return int(found) if known else None

    def _id(self, token: str) -> int:
        found = self._find(token)
        if found is None:
            raise LorsError(
                f"{self._directory}: its tokenizer has no token '{token}'; a Whisper's was expected."
            )
        return found
