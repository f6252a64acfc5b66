import json
from pathlib import Path

import pytest
import yaml

from lors.checkpoints.card import model_card
from lors.merging.arithmetic import Rounding
from lors.merging.engine import merge
from lors.merging.recipe import parse_recipe
from lors.merging.record import half_precision_loss


def front_matter(card: str) -> dict[str, object]:
    _, front, _ = card.split("---\n", 2)
    return yaml.safe_load(front)


def test_a_card_tells_the_hub_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    card = model_card(tmp_path, ["openai/whisper-base"], ["merge"], "# Title\n\nText.\n")
    assert front_matter(card) == {
        "library_name": "transformers",
        "tags": ["merge", "whisper"],
        "pipeline_tag": "automatic-speech-recognition",
        "base_model": ["openai/whisper-base"],
    }
    assert "# Title" in card and "pipeline(" in card


def test_a_card_of_something_else_claims_nothing(tmp_path: Path) -> None:
    card = model_card(tmp_path, [], [], "# Title")
    assert front_matter(card) == {"library_name": "transformers", "tags": []}
    assert "AutoModel" in card


def test_hub_models_are_named_in_the_card(models: Path, recipe, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        "lors.merging.locate.find_checkpoint",
        lambda name: models / "base" if str(name) == "openai/whisper-base" else Path(name),
    )
    result = merge(recipe(base="openai/whisper-base"), tmp_path / "out")
    assert front_matter((result.path / "README.md").read_text())["base_model"] == ["openai/whisper-base"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"dtype": "float32"}, {"dtype": "bfloat16"}),
        ({"torch_dtype": "float16"}, {"torch_dtype": "bfloat16"}),
        ({"torch_dtype": "float16", "dtype": "float32"}, {"torch_dtype": "bfloat16", "dtype": "bfloat16"}),
        ({}, {"dtype": "bfloat16"}),
    ],
)
def test_the_configuration_names_the_dtype_of_the_weights(
    before: dict, after: dict, recipe, models: Path, tools, tmp_path: Path
) -> None:
    base = tools.save(tmp_path / "base", tools.load(models / "base"))
    (base / "config.json").write_text(json.dumps({"model_type": "whisper", **before, "d_model": 96}))
    result = merge(recipe(base=str(base), dtype="bfloat16"), tmp_path / "out")
    config = json.loads((result.path / "config.json").read_text())
    assert config == {"model_type": "whisper", "d_model": 96, **after}


def test_the_loss_is_over_all_tensors() -> None:
    recipe = {"base": "b", "method": "weight-averaging", "experts": ["e"], "dtype": "float16"}
    roundings = {"a": Rounding(1.0, 10.0), "b": Rounding(3.0, 6.0)}
    assert half_precision_loss(parse_recipe(recipe), roundings) == 0.5
    assert half_precision_loss(parse_recipe(recipe), {"a": Rounding(0.0, 0.0)}) == 0.0
    assert half_precision_loss(parse_recipe({**recipe, "dtype": "float32"}), roundings) is None
