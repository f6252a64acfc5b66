"""How much memory a batch takes while it is decoded, counted from the shape of the model.

Counted is what grows with the batch: features, the encoder's activations, keys and values of attention, logits.
The weights come on top. What the two engines hold differs most in cross-attention: transformers keeps keys and
values for every beam, CTranslate2 once for an utterance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FLOAT32 = 4
_PROMPT = 4  # start, language, task, no timestamps
_SPECTRUM_BINS = 201

# What a batch takes however small it is: buffers of the matrix products, thread arenas.
_FIXED = 64 << 20

# glibc gives blocks above this size back at once; smaller ones stay in its heap, where caches that are allocated
# anew at every step leave holes: up to 2.3 times the bytes, measured on whisper-base with 5 and with 20 beams.
_HEAP_BLOCK = 32 << 20
_HOLES = 2.5


@dataclass(frozen=True)
class MemoryModel:
    """The shape of a Whisper, and the engine that decodes with it.

    Attributes:
        width: of the states, `d_model`.
        mel_bins: 80, or 128 for large-v3 and turbo.
        heads: of attention in the encoder.
        inner: width inside the encoder's feed-forward layers.
        decoder_layers: how many.
        vocabulary: how many tokens.
        number: bytes of a number in states and caches: 4 for float32, and for int8, which quantizes weights only.
        keys_per_beam: whether keys and values of the encoder's states are kept for every beam (transformers).
        attention_matrix: whether the encoder's attention holds all pairs of positions at once (CTranslate2).
    """

    width: int
    mel_bins: int
    heads: int
    inner: int
    decoder_layers: int
    vocabulary: int
    number: int
    keys_per_beam: bool
    attention_matrix: bool

    @classmethod
    def of(cls, config: Mapping[str, Any], engine: str, quantization: str) -> "MemoryModel":
        """From a Whisper's `config.json`, as `transformers.WhisperConfig` completes it."""
        half = engine == "transformers" and quantization in ("float16", "bfloat16")
        return cls(
            width=int(config["d_model"]),
            mel_bins=int(config["num_mel_bins"]),
            heads=int(config["encoder_attention_heads"]),
            inner=int(config["encoder_ffn_dim"]),
            decoder_layers=int(config["decoder_layers"]),
            vocabulary=int(config["vocab_size"]),
            number=2 if half else _FLOAT32,
            keys_per_beam=engine == "transformers",
            attention_matrix=engine == "ctranslate2",
        )

    def bytes(self, utterances: int, window: int, beams: int, tokens: int) -> int:
        """The most that decoding one batch holds at a time, beside the weights.

        Args:
            utterances: in the batch.
            window: encoder positions of each.
            beams: hypotheses kept of each.
            tokens: longest text.
        """
        features = utterances * 2 * window * (_SPECTRUM_BINS * 3 + 2 * self.mel_bins) * _FLOAT32
        states = utterances * window * self.width * self.number
        return (
            _FIXED
            + features
            + states
            + max(self._encoding(utterances, window), self._search(utterances, window, beams, tokens))
        )

    def _encoding(self, utterances: int, window: int) -> int:
        matrix = self.heads * window if self.attention_matrix else 0
        return utterances * window * (matrix + 8 * self.width + 3 * self.inner) * self.number

    def _search(self, utterances: int, window: int, beams: int, tokens: int) -> int:
        rows = utterances * beams
        kept = rows if self.keys_per_beam else utterances
        cross = kept * window * self.width * self.number  # keys, or values, of one layer
        own = rows * (_PROMPT + tokens) * self.width * self.number
        blocks = 2 * self.decoder_layers
        repeated = (
            3 * cross if self.keys_per_beam else 0
        )  # the states for every beam; a layer while it is reordered
        # Beams that change places have their caches copied, a layer at a time.
        caches = _held(cross, blocks, self.keys_per_beam and beams > 1) + _held(own, blocks + 2, True)
        logits = rows * self.vocabulary * _FLOAT32 * (8 if self.keys_per_beam else 4)
        return caches + repeated + logits


def _held(block: int, count: int, allocated_anew: bool) -> int:
    """Bytes of `count` blocks that grew up to `block` bytes."""
    with_holes = _HOLES * min(block, _HEAP_BLOCK) if allocated_anew else 0
    return round(count * max(block, with_holes))
