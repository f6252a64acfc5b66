"""The encoder window and the log-mel features, against transformers' own encoder and feature extractor."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from lors.base.errors import UsageError
from lors.speech.window import FULL_WINDOW, check_window, encode, log_mel


def _model(**changes: object) -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=64,
        d_model=32,
        encoder_layers=3,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_mel_bins=80,
        decoder_start_token_id=1,
        eos_token_id=2,
        bos_token_id=2,
        pad_token_id=2,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **changes,
    )
    return WhisperForConditionalGeneration(config).eval()


def _clip(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * 16000)) / 16000
    tone = 0.3 * np.sin(2 * np.pi * 440 * t) * np.sin(2 * np.pi * 3 * t)
    return (tone + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def test_full_window_is_the_stock_encoder():
    model = _model()
    features = torch.randn(2, 80, 3000)
    with torch.no_grad():
        assert torch.equal(encode(model, features), model.model.encoder(features).last_hidden_state)


def test_full_window_in_training_mode_drops_what_the_stock_encoder_drops():
    model = _model(dropout=0.2, attention_dropout=0.1, activation_dropout=0.1, encoder_layerdrop=0.4).train()
    features = torch.randn(2, 80, 3000)
    for seed in range(6):
        torch.manual_seed(seed)
        stock = model.model.encoder(features).last_hidden_state
        torch.manual_seed(seed)
        assert torch.equal(encode(model, features), stock)


def test_gradient_checkpointing_gives_the_same_gradients():
    features = torch.randn(1, 80, 40)
    gradients = []
    for checkpointing in (False, True):
        model = _model().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        encode(model, features).square().sum().backward()
        gradients.append(model.model.encoder.layers[0].fc1.weight.grad)
    assert torch.allclose(*gradients, rtol=1e-5, atol=1e-6)


def test_short_window_equals_a_stock_encoder_of_that_size():
    model = _model()
    small = _model(max_source_positions=50)
    weights = model.state_dict()
    weights["model.encoder.embed_positions.weight"] = weights["model.encoder.embed_positions.weight"][:50]
    small.load_state_dict(weights)
    features = torch.randn(2, 80, 100)
    with torch.no_grad():
        assert torch.equal(encode(model, features), small.model.encoder(features).last_hidden_state)


def test_short_window_serves_forward_and_generate():
    model = _model()
    small = _model(max_source_positions=50)
    weights = model.state_dict()
    weights["model.encoder.embed_positions.weight"] = weights["model.encoder.embed_positions.weight"][:50]
    small.load_state_dict(weights)
    features = torch.randn(2, 80, 100)
    labels = torch.tensor([[5, 6, 7, 2], [8, 9, 2, -100]])
    with torch.no_grad():
        states = BaseModelOutput(encode(model, features))
        assert torch.equal(
            model(encoder_outputs=states, labels=labels).loss,
            small(input_features=features, labels=labels).loss,
        )
        tokens = model.generate(encoder_outputs=states, max_new_tokens=5, do_sample=False)
    assert tokens.shape[0] == 2


@pytest.mark.parametrize("frames", [0, 3, 3002])
def test_encode_refuses_lengths_that_no_window_has(frames):
    with pytest.raises(ValueError, match="mel frames"):
        encode(_model(), torch.zeros(1, 80, frames))


@pytest.mark.parametrize("mel_bins", [80, 128])
def test_log_mel_equals_the_feature_extractor_at_the_full_window(mel_bins):
    clips = [_clip(0.7), _clip(3.21, 1), _clip(29.995, 2), _clip(34.0, 3), np.zeros(16000, np.float32)]
    extractor = WhisperFeatureExtractor(feature_size=mel_bins)
    expected = extractor(clips, sampling_rate=16000, return_tensors="pt").input_features
    found = log_mel(clips, FULL_WINDOW, mel_bins)
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 24000), min_size=1, max_size=3),
    positions=st.integers(1, 80),
)
def test_log_mel_equals_the_feature_extractor_of_a_shorter_window(lengths, positions):
    clips = [_clip(n / 16000, seed) for seed, n in enumerate(lengths)]
    extractor = WhisperFeatureExtractor()
    expected = extractor(
        clips, sampling_rate=16000, max_length=positions * 320, return_tensors="pt"
    ).input_features
    assert (log_mel(clips, positions, 80) - expected).abs().max() < 1e-5


def test_log_mel_of_a_clip_does_not_depend_on_its_batch():
    clips = [_clip(0.5), _clip(4.0, 1)]
    together = log_mel(clips, 250, 80)
    alone = torch.cat([log_mel([clip], 250, 80) for clip in clips])
    assert (together - alone).abs().max() < 1e-5


@pytest.mark.parametrize("window", [0, -1, 1501])
def test_check_window_names_the_range(window):
    with pytest.raises(UsageError, match="1 to 1500"):
        check_window(window)


def test_check_window_accepts_the_ends():
    check_window(1)
    check_window(1500)
