"""What decides the text that a model writes: the settings of the decoder, checked and signed."""

from dataclasses import dataclass
from importlib.metadata import version

from lors.base.errors import UsageError, did_you_mean
from lors.speech.window import FULL_WINDOW, check_window

ENGINES = {"ctranslate2": "int8", "transformers": "float32"}
"""Engine → the number format that it computes in unless told otherwise."""

QUANTIZATIONS = {
    "ctranslate2": (
        "int8",
        "float32",
        "float16",
        "bfloat16",
        "int16",
        "int8_float32",
        "int8_float16",
        "int8_bfloat16",
    ),
    "transformers": ("float32", "float16", "bfloat16"),
}

MAX_NEW_TOKENS = 444
"""Whisper's 448 decoder positions without the four tokens of the prompt."""

_RULES = 2
"""Version of this package's own rules (loop guard, token limits); a change of them changes the signature."""


@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """Settings of the decoder; wrong ones are a UsageError.

    Attributes:
        engine: "ctranslate2" (several times faster) or "transformers".
        quantization: number format of the weights; None for the engine's own, int8 or float32.
        beam_size: hypotheses kept in beam search, 1 to 100; 1 is greedy.
        window: encoder positions of 20 ms, 1 to 1500. A longer clip gets the smallest multiple that holds it.
        max_new_tokens: longest text, in tokens, 1 to 444.
        nbest: texts to keep of each clip, 1 to `beam_size`; more than 1 with ctranslate2 only.
        detect_language: have the model tell the language of each clip, in place of the one that is given.
        memory: bytes that all batches at work may hold together, beside the weights; None for half of what is
            free. It decides which clips share a batch, and so at most how their sums round.
    """

    engine: str = "ctranslate2"
    quantization: str | None = None
    beam_size: int = 5
    window: int = FULL_WINDOW
    max_new_tokens: int = MAX_NEW_TOKENS
    nbest: int = 1
    detect_language: bool = False
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UsageError(
                f"engine '{self.engine}' is not known; choose one of {', '.join(ENGINES)}."
                + did_you_mean(self.engine, ENGINES)
            )
        choices = QUANTIZATIONS[self.engine]
        if self.quantization is None:
            object.__setattr__(self, "quantization", ENGINES[self.engine])
        elif self.quantization not in choices:
            raise UsageError(
                f"quantization '{self.quantization}' does not go with engine {self.engine}; "
                f"choose one of {', '.join(choices)}." + did_you_mean(self.quantization, choices)
            )
        if not 1 <= self.beam_size <= 100:
            raise UsageError(f"beam size {self.beam_size}: expected 1 (greedy) to 100.")
        check_window(self.window)
        if not 1 <= self.max_new_tokens <= MAX_NEW_TOKENS:
            raise UsageError(f"max_new_tokens {self.max_new_tokens}: expected 1 to {MAX_NEW_TOKENS}.")
        if self.nbest > 1 and self.engine == "transformers":
            raise UsageError(
                f"nbest {self.nbest}: transformers returns wrong texts where it is asked for several; "
                "use engine ctranslate2."
            )
        if not 1 <= self.nbest <= self.beam_size:
            raise UsageError(
                f"nbest {self.nbest}: expected 1 to the beam size, {self.beam_size}; a search with so many beams "
                "ends with no more texts."
            )
        if self.memory is not None and self.memory < 1:
            raise UsageError(f"memory {self.memory}: expected a number of bytes above zero.")

    @property
    def signature(self) -> str:
        """All that decides the text, the engine's version included."""
        return (
            f"decoder:{self.engine}|version:{version(self.engine)}|quantization:{self.quantization}"
            f"|beam:{self.beam_size}|window:{self.window}|max_new_tokens:{self.max_new_tokens}|rules:{_RULES}"
            f"{f'|nbest:{self.nbest}' * (self.nbest > 1)}{'|language:detected' * self.detect_language}"
        )
