import pytest

from lors.base.errors import UsageError
from lors.merging.tensors import pruned_tensors


def whisper_shapes(width: int, layers: int) -> dict[str, tuple[int, ...]]:
    """The names that transformers gives to a Whisper's tensors, written out by hand."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.encoder.conv1.weight": (width, 80, 3),
        "model.encoder.conv1.bias": (width,),
        "model.encoder.embed_positions.weight": (1500, width),
        "model.decoder.embed_tokens.weight": (51865, width),
        "model.decoder.layer_norm.weight": (width,),
    }
    for side, attentions in (("encoder", ["self_attn"]), ("decoder", ["self_attn", "encoder_attn"])):
        for layer in range(layers):
            stem = f"model.{side}.layers.{layer}"
            for attention in attentions:
                for part in "qkv":
                    shapes[f"{stem}.{attention}.{part}_proj.weight"] = (width, width)
                    shapes[f"{stem}.{attention}.{part}_proj.bias"] = (width,)
                shapes[f"{stem}.{attention}.out_proj.weight"] = (width, width)
                shapes[f"{stem}.{attention}_layer_norm.weight"] = (width,)
            shapes[f"{stem}.fc1.weight"] = (4 * width, width)
            shapes[f"{stem}.fc1.bias"] = (4 * width,)
            shapes[f"{stem}.fc2.weight"] = (width, 4 * width)
            shapes[f"{stem}.final_layer_norm.weight"] = (width,)
    return shapes


@pytest.mark.parametrize(("layers", "expected"), [(4, 64), (6, 96), (12, 192), (24, 384)])
def test_whisper_has_sixteen_for_each_pair_of_layers(layers: int, expected: int) -> None:
    shapes = whisper_shapes(8, layers)
    chosen = pruned_tensors(shapes, None, only_matrices=True)
    assert len(chosen) == expected
    assert all(name.endswith("proj.weight") or ".fc" in name for name in chosen)
    assert not any("bias" in name or "norm" in name or "embed" in name for name in chosen)


def test_patterns_choose_others() -> None:
    shapes = whisper_shapes(8, 2)
    only = pruned_tensors(shapes, ["model.decoder.*.fc?.weight"], only_matrices=True)
    assert sorted(only) == [f"model.decoder.layers.{i}.fc{j}.weight" for i in (0, 1) for j in (1, 2)]


def test_a_pattern_without_a_match_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"'\*\.fc3\.weight' in tensors matches nothing"):
        pruned_tensors(whisper_shapes(8, 2), ["*.fc1.weight", "*.fc3.weight"], only_matrices=True)
    with pytest.raises(UsageError, match=r"Did you mean 'model\.encoder\.conv1\.weight'"):
        pruned_tensors(whisper_shapes(8, 2), ["model.encoder.conv7.weight"], only_matrices=False)


def test_only_matrices_have_a_low_rank_part() -> None:
    shapes = whisper_shapes(8, 2)
    with pytest.raises(UsageError, match=r"conv1\.weight' of shape \[8, 80, 3\]"):
        pruned_tensors(shapes, ["*.conv1.weight"], only_matrices=True)
    assert pruned_tensors(shapes, ["*.conv1.weight"], only_matrices=False) == {"model.encoder.conv1.weight"}


def test_another_architecture_must_say_what_to_prune() -> None:
    shapes = {"bert.encoder.layer.0.output.dense.weight": (8, 8), "bert.pooler.bias": (8,)}
    with pytest.raises(UsageError, match=r"tensors: \['\*\.dense\.weight'\]"):
        pruned_tensors(shapes, None, only_matrices=True)
    assert len(pruned_tensors(shapes, ["*.dense.weight"], only_matrices=True)) == 1
