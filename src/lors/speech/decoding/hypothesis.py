"""What comes out of decoding, and what an engine has to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Decoded:
    """One text as an engine wrote it.

    Attributes:
        tokens: ids of the text's tokens, without prompt and end.
        text: the text, without surrounding white space.
        log_probability: mean natural log probability of a token, ≤ 0; None where the engine does not tell.
    """

    tokens: tuple[int, ...]
    text: str
    log_probability: float | None


@dataclass(frozen=True)
class Hypothesis:
    """The text that is scored, and how it came about.

    Attributes:
        text: without surrounding white space.
        tokens: its length in tokens.
        log_probability: mean natural log probability of a token, ≤ 0; None where the engine does not tell.
        window: encoder positions that the clip was decoded with.
        looped: the first attempt repeated itself, or did not end; `text` is the second attempt's, decoded
            with repetition forbidden.
        first_attempt: the text that looped, cut at the token limit; None where nothing looped.
        seconds: wall-clock time, the clip's share of its batch.
    """

    text: str
    tokens: int
    log_probability: float | None
    window: int
    looped: bool
    first_attempt: str | None
    seconds: float


class Engine(Protocol):
    """A loaded model that decodes batches."""

    workers: int
    """Batches that `decode` may be called with at a time, from as many threads."""
    mel_bins: int
    bytes_per_position: int
    """Memory of the cross-attention for one encoder position of one beam."""

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
