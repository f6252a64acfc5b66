from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lors.base.errors import LorsError, UsageError
from lors.merging.plan import make_plan
from lors.merging.recipe import load_recipe, parse_recipe

MakeRecipe = Callable[..., dict[str, Any]]


def test_the_plan_counts_what_will_be_done(recipe: MakeRecipe) -> None:
    plan = make_plan(parse_recipe(recipe()))
    counts = plan.counts()
    assert counts["pruned"] == (32, 2 * 12 * 96 * 96 + 8 * 96 * 384)
    assert counts["copied"] == (0, 0)
    assert sum(tensors for tensors, _ in counts.values()) == len(plan.base.tensors) == len(plan.layout())
    assert [dict(ranks) for ranks in plan.ranks()] == [{4: 32}, {4: 32}]  # floor(0.05 · 96)
    weights = sum(info.nbytes for info in plan.base.tensors.values())
    assert weights < plan.output_bytes() < weights + 20_000
    assert [task.work for task in plan.tasks] == sorted((task.work for task in plan.tasks), reverse=True)


def test_methods_that_do_not_prune_merge_all_whole(recipe: MakeRecipe) -> None:
    plan = make_plan(parse_recipe(recipe(method="task-arithmetic", rank_ratio=None, keep_ratio=None)))
    assert plan.counts()["pruned"] == (0, 0)
    assert plan.ranks() == []


def test_relative_models_are_found_beside_the_recipe_then_here(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "base: base\nmethod: weight-averaging\nexperts: [experts/es, experts/fr]\n"
    beside = models / "recipe.yaml"
    beside.write_text(text)
    monkeypatch.chdir(tmp_path)
    assert make_plan(load_recipe(beside)).base.directory == models / "base"
    elsewhere = tmp_path / "elsewhere" / "recipe.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(text)
    monkeypatch.chdir(models)
    assert make_plan(load_recipe(elsewhere)).base.directory == models / "base"


def test_a_missing_expert_is_not_looked_for_on_the_hub(
    models: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(name: object) -> Path:
        assert Path(str(name)).exists(), "a mistyped path must not reach the Hub"
        return Path(str(name))

    monkeypatch.setattr("lors.merging.locate.find_checkpoint", no_network)
    monkeypatch.chdir(models)
    with pytest.raises(UsageError, match=r"model 'experts/fra'.*looked for .*/experts/fra\..*mean 'fr'\?"):
        make_plan(parse_recipe(recipe(experts=["experts/es", "experts/fra"])))
    with pytest.raises(UsageError, match="no such directory"):
        make_plan(parse_recipe(recipe(experts=["/nowhere/es"])))


def test_the_hub_is_asked_for_what_looks_like_its_id(
    models: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def hub(name: object) -> Path:
        if str(name) == "someone/whisper-es":
            asked.append(str(name))
            return models / "experts" / "es"
        if not Path(str(name)).is_dir():
            raise LorsError(f"{name}: the Hub cannot be reached.")
        return Path(str(name))

    monkeypatch.setattr("lors.merging.locate.find_checkpoint", hub)
    make_plan(parse_recipe(recipe(experts=["someone/whisper-es"])))
    assert asked == ["someone/whisper-es"]
    with pytest.raises(LorsError, match=r"the Hub cannot be reached\..*No directory .*/other/whisper-fr"):
        make_plan(parse_recipe(recipe(experts=["other/whisper-fr"])))


def changed_expert(models: Path, tools: SimpleNamespace, out: Path, change: Callable[[dict], None]) -> str:
    tensors = tools.load(models / "experts" / "es")
    change(tensors)
    return str(tools.save(out, tensors))


FC1 = "model.encoder.layers.0.fc1.weight"


def test_an_expert_of_another_size(
    models: Path, recipe: MakeRecipe, tools: SimpleNamespace, tmp_path: Path
) -> None:
    def widen(tensors: dict) -> None:
        tensors[FC1] = torch.zeros(400, 96)

    expert = changed_expert(models, tools, tmp_path / "wide", widen)
    with pytest.raises(UsageError, match="another size") as caught:
        make_plan(parse_recipe(recipe(experts=[expert])))
    for part in (FC1, "[400, 96]", "[384, 96]", str(tmp_path / "wide"), str(models / "base")):
        assert part in str(caught.value)


def test_an_expert_that_lacks_a_tensor_or_calls_it_otherwise(
    models: Path, recipe: MakeRecipe, tools: SimpleNamespace, tmp_path: Path
) -> None:
    def rename(tensors: dict) -> None:
        tensors[FC1.replace("fc1", "fc_1")] = tensors.pop(FC1)

    expert = changed_expert(models, tools, tmp_path / "renamed", rename)
    with pytest.raises(UsageError, match=rf"lacks the tensor '{FC1}', which the base .*mean '.*fc_1"):
        make_plan(parse_recipe(recipe(experts=[expert])))

    def more(tensors: dict) -> None:
        tensors["model.adapter.weight"] = torch.zeros(3, 3)

    expert = changed_expert(models, tools, tmp_path / "more", more)
    with pytest.raises(UsageError, match=r"has the tensor 'model\.adapter\.weight', which the base .* lacks"):
        make_plan(parse_recipe(recipe(experts=[expert])))


EMBEDDING, HEAD = "model.decoder.embed_tokens.weight", "proj_out.weight"


def store_the_head(tensors: dict) -> None:
    tensors[HEAD] = tensors[EMBEDDING].clone()


def store_another_head(tensors: dict) -> None:
    tensors[HEAD] = tensors[EMBEDDING] + 1


def test_a_tied_head_may_be_stored_by_an_expert_alone(
    models: Path, recipe: MakeRecipe, tools: SimpleNamespace, tmp_path: Path
) -> None:
    expert = changed_expert(models, tools, tmp_path / "tied", store_the_head)
    plan = make_plan(parse_recipe(recipe(experts=[expert])))
    assert HEAD not in plan.layout()
    assert plan.copies == {}
    untied = changed_expert(models, tools, tmp_path / "untied", store_another_head)
    with pytest.raises(UsageError, match=rf"has the tensor '{HEAD}'"):
        make_plan(parse_recipe(recipe(experts=[untied])))


def test_a_copy_under_another_name_is_no_head(
    models: Path, recipe: MakeRecipe, tools: SimpleNamespace, tmp_path: Path
) -> None:
    def copy(tensors: dict) -> None:
        tensors["model.decoder.embed_twin.weight"] = tensors[EMBEDDING].clone()

    expert = changed_expert(models, tools, tmp_path / "twin", copy)
    with pytest.raises(UsageError, match=r"has the tensor 'model\.decoder\.embed_twin\.weight'"):
        make_plan(parse_recipe(recipe(experts=[expert])))


def test_a_tied_head_may_be_stored_by_the_base_alone(
    models: Path, recipe: MakeRecipe, tools: SimpleNamespace, tmp_path: Path
) -> None:
    tensors = tools.load(models / "base")
    store_the_head(tensors)
    base = str(tools.save(tmp_path / "tied", tensors))
    plan = make_plan(parse_recipe(recipe(base=base)))
    assert plan.copies == {HEAD: EMBEDDING}
    assert HEAD in plan.layout()
    store_another_head(tensors)
    base = str(tools.save(tmp_path / "untied", tensors))
    with pytest.raises(UsageError, match=rf"lacks the tensor '{HEAD}'"):
        make_plan(parse_recipe(recipe(base=base)))


def test_formats_that_cannot_be_merged(
    models: Path, recipe: MakeRecipe, tools: SimpleNamespace, tmp_path: Path
) -> None:
    def to_float8(tensors: dict) -> None:
        tensors[FC1] = tensors[FC1].to(torch.float8_e4m3fn)

    expert = changed_expert(models, tools, tmp_path / "float8", to_float8)
    with pytest.raises(UsageError, match=rf"'{FC1}' is in F8_E4M3"):
        make_plan(parse_recipe(recipe(experts=[expert])))

    def to_int(tensors: dict) -> None:
        tensors[FC1] = tensors[FC1].to(torch.int32)

    expert = changed_expert(models, tools, tmp_path / "int", to_int)
    with pytest.raises(UsageError, match=rf"'{FC1}' is I32, but F32 in the base"):
        make_plan(parse_recipe(recipe(experts=[expert])))


def test_doubtful_lists_of_experts_are_warned_of(models: Path, recipe: MakeRecipe) -> None:
    es = str(models / "experts" / "es")
    plan = make_plan(parse_recipe(recipe(experts=[es, es])))
    assert plan.warnings == (f"the expert {es} is listed more than once; each listing counts.",)
    base = str(models / "base")
    plan = make_plan(parse_recipe(recipe(experts=[es, base])))
    assert plan.warnings == (f"the expert {base} is the base itself; its task vector is zero.",)


def test_patterns_reach_the_plan(recipe: MakeRecipe) -> None:
    plan = make_plan(parse_recipe(recipe(tensors=["*.decoder.*.fc1.weight"])))
    assert plan.counts()["pruned"] == (2, 2 * 96 * 384)
    with pytest.raises(UsageError, match="matches nothing"):
        make_plan(parse_recipe(recipe(tensors=["*.fc9.weight"])))
