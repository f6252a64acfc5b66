import pytest

from lors.base.errors import UsageError
from lors.merging.recipe import parse_recipe
from lors.merging.signature import format_signature, parse_signature
from lors.version import __version__

RECIPE = {
    "base": "b",
    "method": "lors",
    "scale": 0.3,
    "rank_ratio": 0.01,
    "keep_ratio": 0.2,
    "experts": ["x", "y"],
}


def test_format() -> None:
    text = format_signature(parse_recipe(RECIPE), ["aa", "bb", "cc"])
    fields = parse_signature(text)
    assert len(fields["inputs"]) == 8
    assert text == (
        "method:lors|scale:0.3|rank_ratio:0.01|keep_ratio:0.2|experts:2|dtype:float32"
        f"|inputs:{fields['inputs']}|version:{__version__}"
    )


def test_what_differs_between_experts_is_listed() -> None:
    experts = [{"model": "x", "rank_ratio": 0.05}, {"model": "y", "weight": 0.5}]
    fields = parse_signature(format_signature(parse_recipe({**RECIPE, "experts": experts}), ["a", "b", "c"]))
    assert fields["rank_ratio"] == "0.05,0.01"
    assert fields["keep_ratio"] == "0.2"
    assert fields["weight"] == "1.0,0.5"


def test_every_input_and_its_order_counts() -> None:
    recipe = parse_recipe(RECIPE)
    signatures = {
        format_signature(recipe, digests) for digests in (["a", "b", "c"], ["a", "c", "b"], ["a", "b", "d"])
    }
    assert len(signatures) == 3


def test_chosen_tensors_show() -> None:
    plain = format_signature(parse_recipe(RECIPE), ["a", "b", "c"])
    chosen = format_signature(parse_recipe({**RECIPE, "tensors": ["*.fc1.weight"]}), ["a", "b", "c"])
    assert "tensors" not in parse_signature(plain)
    assert len(parse_signature(chosen)["tensors"]) == 8


def test_methods_without_parameters_show_none() -> None:
    recipe = parse_recipe({"base": "b", "method": "weight-averaging", "experts": ["x"]})
    assert list(parse_signature(format_signature(recipe, ["a", "b"]))) == [
        "method",
        "experts",
        "dtype",
        "inputs",
        "version",
    ]


@pytest.mark.parametrize("text", ["", "lors", "method:", ":x", "method:a|method:b", "method:a||b:c"])
def test_parse_refuses_what_is_no_signature(text: str) -> None:
    with pytest.raises(UsageError, match="is no signature"):
        parse_signature(text)
