"""Whisper's encoder window: how much sound the encoder sees, and running it on less than thirty seconds.

Whisper was trained on windows of 30 s: 3000 mel frames, which its second convolution halves to 1500
positions. A clip of two seconds costs as much as one of thirty, nearly all of it spent on padding. The
convolutions and layers take any length, so a shorter window only needs the first rows of the position table.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lors.base.errors import UsageError

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

FULL_WINDOW = 1500
POSITIONS_PER_SECOND = 50

_SAMPLE_RATE = 16000
_FFT_SIZE = 400
_HOP = 160
_SAMPLES_PER_POSITION = 2 * _HOP
_POWER_FLOOR = 1e-10


def check_window(window: int) -> None:
    """Raise UsageError unless `window` is a number of encoder positions that Whisper has: 1 to 1500."""
    if not 1 <= window <= FULL_WINDOW:
        raise UsageError(
            f"window {window}: expected 1 to {FULL_WINDOW} encoder positions "
            f"({POSITIONS_PER_SECOND} a second, {FULL_WINDOW} for Whisper's full 30 s)."
        )


def encode(model: "WhisperForConditionalGeneration", input_features: Tensor) -> Tensor:
    """Encoder states of a window of any length; at 1500 positions exactly those of the model's own encoder.

    Give them to `forward` or `generate` as `encoder_outputs=BaseModelOutput(states)`. In training mode,
    dropout, layer dropping and gradient checkpointing act as in the model's own encoder.

    Args:
        model: the Whisper model.
        input_features: [batch, mel bins, 2 * positions], log-mel features as `log_mel` gives them.

    Returns:
        [batch, positions, d_model].
    """
    encoder = model.model.encoder
    positions = input_features.shape[-1] // 2
    if input_features.shape[-1] % 2 or not 1 <= positions <= encoder.max_source_positions:
        raise ValueError(
            f"{input_features.shape[-1]} mel frames: expected an even number of at most "
            f"{2 * encoder.max_source_positions}"
        )
    states = F.gelu(encoder.conv1(input_features))
    states = F.gelu(encoder.conv2(states)).permute(0, 2, 1)
    states = states + encoder.embed_positions.weight[:positions]
    states = F.dropout(states, p=encoder.dropout, training=encoder.training)
    for layer in encoder.layers:
        if encoder.training and encoder.layerdrop > 0.0 and torch.rand([]) < encoder.layerdrop:
            continue
        states = layer(states, None)
    return encoder.layer_norm(states)


def log_mel(audio: Sequence[np.ndarray], positions: int, mel_bins: int) -> Tensor:
    """Whisper's input features for clips padded with silence, or cut, to the window.

    At 1500 positions these are the values of transformers' `WhisperFeatureExtractor`. The logarithm is
    floored at 8 (80 dB) below the loudest point of the padded window.

    Args:
        audio: mono clips at 16 kHz, float32 in [-1, 1], each of any length.
        positions: the window, in encoder positions of 20 ms.
        mel_bins: 80, or 128 for large-v3 and turbo.

    Returns:
        [batch, mel_bins, 2 * positions] float32.
    """
    window_samples = positions * _SAMPLES_PER_POSITION
    longest = max(len(clip) for clip in audio)
    # Beyond the longest clip there is silence only, whose features are known: transform no more than
    # the clips and one frame's reach.
    samples = min(window_samples, -(-(longest + _FFT_SIZE) // _HOP) * _HOP)
    batch = torch.zeros(len(audio), samples)
    for row, clip in zip(batch, audio, strict=True):
        kept = torch.from_numpy(np.ascontiguousarray(clip[:samples], dtype=np.float32))
        row[: len(kept)] = kept
    spectrum = torch.stft(batch, _FFT_SIZE, _HOP, window=torch.hann_window(_FFT_SIZE), return_complex=True)
    power = spectrum[..., :-1].abs().square_().contiguous()
    mel = _mel_filters(mel_bins).T @ power
    mel = F.pad(mel, (0, 2 * positions - mel.shape[-1]))
    log_power = mel.clamp_(min=_POWER_FLOOR).log10_()
    floor = log_power.amax(dim=(1, 2), keepdim=True) - 8.0
    return torch.maximum(log_power, floor).add_(4.0).div_(4.0)


@lru_cache
def _mel_filters(mel_bins: int) -> Tensor:
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=1 + _FFT_SIZE // 2,
        num_mel_filters=mel_bins,
        min_frequency=0.0,
        max_frequency=8000.0,
        sampling_rate=_SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters).to(torch.float32)
