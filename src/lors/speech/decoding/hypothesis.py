"""What goes into decoding, what comes out of it, and what an engine has to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from lors.speech.decoding.memory import MemoryModel


class Speech(Protocol):
    """A clip to decode: an utterance of a manifest, or a file of which nothing more is known."""

    @property
    def audio_filepath(self) -> Path: ...
    @property
    def offset(self) -> float: ...
    @property
    def duration(self) -> float: ...
    @property
    def source_lang(self) -> str | None:
        """Whisper's code of the language that is spoken; None to have it detected."""
        ...

    @property
    def task(self) -> str:
        """ "transcribe" or "translate"."""
        ...


@dataclass(frozen=True)
class Decoded:
    """One text as an engine wrote it.

    Attributes:
        tokens: ids of the text's tokens, without prompt and end.
        text: the text, without surrounding white space.
        log_probability: sum of the natural log probabilities of the tokens and of the end, by the number of
            tokens, ≤ 0, as CTranslate2 ranks texts; None where the engine does not tell.
        others: the next best texts, best first, where more than one was asked for.
    """

    tokens: tuple[int, ...]
    text: str
    log_probability: float | None
    others: tuple["Decoded", ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One of the best texts: without surrounding white space, its length in tokens, and its score as in `Decoded`."""

    text: str
    tokens: int
    log_probability: float | None


@dataclass(frozen=True)
class Hypothesis:
    """The text that is scored, and how it came about.

    Attributes:
        text: without surrounding white space.
        tokens: its length in tokens.
        log_probability: as in `Decoded`.
        window: encoder positions that the clip was decoded with.
        looped: the first attempt repeated itself, or did not end; `text` is the second attempt's, decoded
            with repetition forbidden.
        first_attempt: the text that looped, cut at the token limit; None where nothing looped.
        seconds: wall-clock time, the clip's share of its batch.
        nbest: the best texts, `text` first, where more than one was asked for; else empty. Two may read alike,
            for one text can be cut into tokens in several ways.
        language: Whisper's code of the language that was detected; None where it was given.
        language_probability: of that language among those that the model knows, 0 to 1.
    """

    text: str
    tokens: int
    log_probability: float | None
    window: int
    looped: bool
    first_attempt: str | None
    seconds: float
    nbest: tuple[Candidate, ...] = ()
    language: str | None = None
    language_probability: float | None = None


class Engine(Protocol):
    """A loaded model that decodes batches."""

    workers: int
    """Batches that `decode` may be called with at a time, from as many threads."""
    mel_bins: int
    on_gpu: bool
    memory_model: MemoryModel
    languages: frozenset[str]
    """Whisper's codes of the languages that the model has a token for; of an `.en` model, English alone."""

    def decode(
        self,
        features: Tensor,
        languages: Sequence[str],
        task: str,
        max_new_tokens: int,
        no_repeat_ngram_size: int = 0,
    ) -> list[Decoded]:
        """Decode log-mel features [batch, mel bins, 2 * window] float32, one language code per row."""
        ...

    def detect_language(self, features: Tensor) -> list[tuple[str, float]]:
        """The likeliest of `languages` for each row of such features, and its probability among them, 0 to 1."""
        ...
