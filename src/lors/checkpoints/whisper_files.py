"""The files that make Whisper weights a model that transformers 4 and 5, faster-whisper and whisper.cpp read.

Everything here is derived from the shapes of the weights, CTranslate2's `config.json` and `tokenizer.json`.
The names and values are those of the directories that OpenAI published on the Hugging Face Hub; what those
say by `forced_decoder_ids`, which transformers 5 calls deprecated, is said by `task`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lors.base.files import write_json, write_text

_ENDOFTEXT = "<|endoftext|>"


def model_config(
    shapes: Mapping[str, tuple[int, ...]],
    encoder_heads: int,
    decoder_heads: int,
    ids: Mapping[str, int],
    decoding: Mapping[str, Any],
) -> dict[str, Any]:
    """`config.json` of a Whisper.

    Args:
        shapes: of every tensor, by Hugging Face name.
        encoder_heads: attention heads in each encoder layer.
        decoder_heads: attention heads in each decoder layer.
        ids: token ids by text.
        decoding: CTranslate2's `config.json`.
    """
    vocabulary, width = shapes["model.decoder.embed_tokens.weight"]
    _, mel_bins, _ = shapes["model.encoder.conv1.weight"]
    end = ids[_ENDOFTEXT]
    return {
        "activation_dropout": 0.0,
        "activation_function": "gelu",
        "apply_spec_augment": False,
        "architectures": ["WhisperForConditionalGeneration"],
        "attention_dropout": 0.0,
        "begin_suppress_tokens": decoding["suppress_ids_begin"],
        "bos_token_id": end,
        "classifier_proj_size": 256,
        "d_model": width,
        "decoder_attention_heads": decoder_heads,
        "decoder_ffn_dim": shapes["model.decoder.layers.0.fc1.weight"][0],
        "decoder_layerdrop": 0.0,
        "decoder_layers": _layers(shapes, "decoder"),
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "dropout": 0.0,
        "encoder_attention_heads": encoder_heads,
        "encoder_ffn_dim": shapes["model.encoder.layers.0.fc1.weight"][0],
        "encoder_layerdrop": 0.0,
        "encoder_layers": _layers(shapes, "encoder"),
        "eos_token_id": end,
        "init_std": 0.02,
        "is_encoder_decoder": True,
        "mask_feature_length": 10,
        "mask_feature_min_masks": 0,
        "mask_feature_prob": 0.0,
        "mask_time_length": 10,
        "mask_time_min_masks": 2,
        "mask_time_prob": 0.05,
        "max_source_positions": shapes["model.encoder.embed_positions.weight"][0],
        "max_target_positions": shapes["model.decoder.embed_positions.weight"][0],
        "median_filter_width": 7,
        "model_type": "whisper",
        "num_hidden_layers": _layers(shapes, "encoder"),
        "num_mel_bins": mel_bins,
        "pad_token_id": end,
        "scale_embedding": False,
        "suppress_tokens": decoding["suppress_ids"],
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_weighted_layer_sum": False,
        "vocab_size": vocabulary,
    }


def generation_config(ids: Mapping[str, int], decoding: Mapping[str, Any]) -> dict[str, Any]:
    """`generation_config.json`: how a multilingual Whisper is decoded."""
    texts = {token_id: text for text, token_id in ids.items()}
    return {
        "alignment_heads": decoding["alignment_heads"],
        "begin_suppress_tokens": decoding["suppress_ids_begin"],
        "bos_token_id": ids[_ENDOFTEXT],
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "eos_token_id": ids[_ENDOFTEXT],
        "is_multilingual": True,
        "lang_to_id": {texts[token_id]: token_id for token_id in sorted(decoding["lang_ids"])},
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "pad_token_id": ids[_ENDOFTEXT],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "return_timestamps": False,
        "suppress_tokens": decoding["suppress_ids"],
        # Without a task that is told, transformers 5 leaves the task's token out, and the model loops.
        "task": "transcribe",
        "task_to_id": {"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
    }


def write_processor(directory: Path, mel_bins: int) -> None:
    """Write `preprocessor_config.json` (every runtime), and `processor_config.json` (transformers 5)."""
    extractor = {
        "chunk_length": 30,
        "dither": 0.0,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": mel_bins,
        "hop_length": 160,
        "n_fft": 400,
        "n_samples": 480000,
        "nb_max_frames": 3000,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
        "sampling_rate": 16000,
    }
    write_json(directory / "preprocessor_config.json", {**extractor, "processor_class": "WhisperProcessor"})
    write_json(
        directory / "processor_config.json",
        {"feature_extractor": extractor, "processor_class": "WhisperProcessor"},
    )


def write_tokenizer(directory: Path, tokenizer: Mapping[str, Any]) -> None:
    """Write what belongs beside `tokenizer.json` (not itself): older readers take the vocabulary from here.

    Args:
        directory: where to write.
        tokenizer: the content of `tokenizer.json`, a byte-level BPE.
    """
    added = tokenizer["added_tokens"]
    end = next(token["id"] for token in added if token["content"] == _ENDOFTEXT)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
    write_json(directory / "vocab.json", {**tokenizer["model"]["vocab"], _ENDOFTEXT: end})
    write_text(directory / "merges.txt", "\n".join(["#version: 0.2", *merges]) + "\n")
    write_json(
        directory / "added_tokens.json",
        {token["content"]: token["id"] for token in added if token["id"] != end},
    )
    # The order is the ids': transformers takes what follows the last special token for timestamps.
    special = [token["content"] for token in sorted(added, key=lambda t: t["id"]) if token["special"]]
    roles = {f"{role}_token": _ENDOFTEXT for role in ("bos", "eos", "pad", "unk")}
    write_json(directory / "special_tokens_map.json", {"additional_special_tokens": special, **roles})
    write_json(
        directory / "tokenizer_config.json",
        {
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(token["id"]): {key: value for key, value in token.items() if key != "id"}
                for token in added
            },
            "additional_special_tokens": special,
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            "model_max_length": 1024,
            "processor_class": "WhisperProcessor",
            "return_attention_mask": False,
            "tokenizer_class": "WhisperTokenizer",
            **roles,
        },
    )


def token_ids(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """Every token's id by its text, from the content of `tokenizer.json`."""
    return tokenizer["model"]["vocab"] | {
        token["content"]: token["id"] for token in tokenizer["added_tokens"]
    }


def _layers(shapes: Mapping[str, tuple[int, ...]], side: str) -> int:
    return sum(
        1 for name in shapes if name.startswith(f"model.{side}.layers.") and name.endswith(".fc1.weight")
    )
