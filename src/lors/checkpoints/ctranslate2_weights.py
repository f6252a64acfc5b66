"""The weights inside a CTranslate2 `model.bin`, and which of Hugging Face's Whisper tensors each one is."""

import re
import struct
from collections.abc import Mapping
from pathlib import PurePath

import torch

from lors.base.errors import LorsError

# CTranslate2's own numbering of formats (include/ctranslate2/types.h).
_DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)

_BINARY_VERSION = 6

Layout = dict[str, tuple[str, ...]]


def read_variables(content: bytearray, name: PurePath | str) -> dict[str, torch.Tensor]:
    """Every variable of a `model.bin`, aliases included, as copies.

    The layout (ctranslate2/specs/model_spec.py, `_serialize`), little endian: version u32, name of the
    specification, its revision u32, count u32; for each variable its name, rank u8, dimensions u32, format
    u8, bytes u32, content; count u32 of aliases, each a pair of names. A name is its length u16 (the closing
    zero counted), its bytes, a zero.

    Args:
        content: the whole file.
        name: what to call the file in an error.

    Raises:
        LorsError: another version, or the content ends too early.
    """
    cursor = _Cursor(content)
    variables: dict[str, torch.Tensor] = {}
    try:
        version = cursor.number("I")
        if version != _BINARY_VERSION:
            raise LorsError(f"{name}: CTranslate2 binary version {version}, expected {_BINARY_VERSION}.")
        cursor.text()
        cursor.number("I")
        for _ in range(cursor.number("I")):
            variable = cursor.text()
            shape = [cursor.number("I") for _ in range(cursor.number("B"))]
            dtype = _DTYPES[cursor.number("B")]
            variables[variable] = cursor.tensor(cursor.number("I"), dtype, shape)
        for _ in range(cursor.number("I")):
            alias = cursor.text()
            variables[alias] = variables[cursor.text()]
    except (struct.error, ValueError, IndexError, KeyError, RuntimeError):
        raise LorsError(f"{name}: not a CTranslate2 model, or a truncated one.") from None
    return variables


def whisper_layout(encoder_layers: int, decoder_layers: int) -> Layout:
    """For each weight of CTranslate2's Whisper the Hugging Face tensors whose rows it stacks, in order.

    Attention's query, key and value projections are fused: all three in self-attention, key and value in
    cross-attention. Keys have no bias in Whisper; the name stands here all the same, for its rows of zeros.
    """
    layout: Layout = {
        "decoder/embeddings/weight": ("model.decoder.embed_tokens.weight",),
        "decoder/projection/weight": ("model.decoder.embed_tokens.weight",),
    }
    for side, layers in (("encoder", encoder_layers), ("decoder", decoder_layers)):
        layout[f"{side}/position_encodings/encodings"] = (f"model.{side}.embed_positions.weight",)
        layout |= _norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        for index in range(layers):
            layout |= _layer(f"{side}/layer_{index}", f"model.{side}.layers.{index}", side == "decoder")
    for convolution in ("conv1", "conv2"):
        layout |= _linear(f"encoder/{convolution}", f"model.encoder.{convolution}")
    return layout


def to_hugging_face(variables: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """CTranslate2's variables under transformers' names and with its shapes, sorted by name.

    The output projection is the embedding and is left out, as in the checkpoints on the Hub.
    """
    layers = [
        sum(1 for name in variables if re.fullmatch(rf"{side}/layer_\d+/ffn/linear_0/weight", name))
        for side in ("encoder", "decoder")
    ]
    tensors = {}
    for theirs, ours in whisper_layout(*layers).items():
        for name, part in zip(ours, variables[theirs].chunk(len(ours)), strict=True):
            if not name.endswith(".k_proj.bias"):
                tensors[name] = part
    return dict(sorted(tensors.items()))


def _layer(theirs: str, ours: str, cross_attention: bool) -> Layout:
    attention = f"{ours}.self_attn"
    layout: Layout = {
        **_norm(f"{theirs}/self_attention/layer_norm", f"{ours}.self_attn_layer_norm"),
        **_linear(
            f"{theirs}/self_attention/linear_0",
            f"{attention}.q_proj",
            f"{attention}.k_proj",
            f"{attention}.v_proj",
        ),
        **_linear(f"{theirs}/self_attention/linear_1", f"{attention}.out_proj"),
        **_norm(f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm"),
        **_linear(f"{theirs}/ffn/linear_0", f"{ours}.fc1"),
        **_linear(f"{theirs}/ffn/linear_1", f"{ours}.fc2"),
    }
    if cross_attention:
        attention = f"{ours}.encoder_attn"
        layout |= _norm(f"{theirs}/attention/layer_norm", f"{ours}.encoder_attn_layer_norm")
        layout |= _linear(f"{theirs}/attention/linear_0", f"{attention}.q_proj")
        layout |= _linear(f"{theirs}/attention/linear_1", f"{attention}.k_proj", f"{attention}.v_proj")
        layout |= _linear(f"{theirs}/attention/linear_2", f"{attention}.out_proj")
    return layout


def _linear(theirs: str, *ours: str) -> Layout:
    return {f"{theirs}/{part}": tuple(f"{name}.{part}" for name in ours) for part in ("weight", "bias")}


def _norm(theirs: str, ours: str) -> Layout:
    return {f"{theirs}/gamma": (f"{ours}.weight",), f"{theirs}/beta": (f"{ours}.bias",)}


class _Cursor:
    def __init__(self, content: bytearray) -> None:
        self._content = content
        self._at = 0

    def number(self, kind: str) -> int:
        (value,) = struct.unpack_from(f"<{kind}", self._content, self._at)
        self._at += struct.calcsize(f"<{kind}")
        return int(value)

    def text(self) -> str:
        length = self.number("H")
        raw = self._content[self._at : self._at + length - 1]
        self._at += length
        return raw.decode("utf-8")

    def tensor(self, size: int, dtype: torch.dtype, shape: list[int]) -> torch.Tensor:
        start, self._at = self._at, self._at + size
        # Variables lie unaligned in the file; frombuffer takes any offset for bytes alone.
        raw = torch.frombuffer(self._content, dtype=torch.uint8, count=size, offset=start)
        return raw.clone().view(dtype).reshape(shape)
