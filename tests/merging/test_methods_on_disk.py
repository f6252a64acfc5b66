"""Every method of the table merges on disk: held against whole arrays, other workers, pieces, runs and seeds."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from lors.merging import engine, low_rank
from lors.merging.engine import merge
from lors.merging.methods import (
    averaging,
    breadcrumbs,
    consensus,
    geometry,
    isotropic,
    knots,
    model_stock,
    pcb,
    projective,
    random_pruning,
    sce,
    singular_vectors,
    star,
    ties,
    wudi,
)
from lors.merging.methods.localize import stitch
from lors.merging.methods.method import Method
from lors.merging.methods.subspace_boosting import subspace_boosting
from lors.merging.methods.table import METHODS
from lors.merging.methods.task_vectors import lors, mp, svp

Arrays = dict[str, np.ndarray]

WEIGHTS_FILE = "model.safetensors"
WEIGHTS = (1.0, 0.5, 2.0)
# What stands in the recipe beside the methods' defaults; descents are cut short.
KEEP = {"keep_ratio": 0.3}
GIVEN: dict[str, dict[str, Any]] = {
    "slerp": {"interpolation": 0.3}, "svp": {"rank_ratio": 0.1}, "mp": KEEP, "lors": {"rank_ratio": 0.1, **KEEP},
    "ties": KEEP, "dare": KEEP, "della": KEEP, "breadcrumbs": KEEP, "pcb": KEEP, "sce": KEEP,
    "localize-and-stitch": KEEP, "knots": KEEP, "wudi": {"iterations": 4}, "doge": {"iterations": 3},
}  # fmt: skip


def recipe_of(models: Path, method: Method, **changes: object) -> dict[str, Any]:
    """The method with defaults, what it needs, and weights where it takes them."""
    experts = [{"model": str(models / "experts" / name)} for name in ("es", "fr", "it")][: method.experts[1]]
    if method.takes("weight"):
        experts = [{**expert, "weight": w} for expert, w in zip(experts, WEIGHTS, strict=False)]
    scale = {"scale": 0.4} if method.takes("scale") else {}
    given = {**scale, **GIVEN.get(method.name, {}), **changes}
    return {"base": str(models / "base"), "method": method.name, "experts": experts, **given}


def added(
    kept: Callable[[np.ndarray], np.ndarray], stack: np.ndarray, weights: Sequence[float]
) -> np.ndarray:
    """Σ wi·f(τi), in float32 and in order."""
    total = np.zeros(stack.shape[1:], dtype=np.float32)
    for task_vector, weight in zip(stack, weights, strict=True):
        total = total + np.float32(weight) * kept(task_vector)
    return total


def uniform(name: str, shape: tuple[int, ...], expert: int, seed: int) -> np.ndarray:
    """A random number for each entry, by the seed, the expert and the tensor's name alone."""
    key = hashlib.sha256(f"{seed} {expert} {name}".encode()).digest()[:16]
    source = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
    return source.random(shape, dtype=np.float32)


def dropped(drop: Callable[..., np.ndarray], name: str, stack: np.ndarray, seed: int) -> np.ndarray:
    return np.stack([drop(t, uniform(name, t.shape, i, seed)) for i, t in enumerate(stack)])


def trimmed_over_the_model(stacks: Mapping[str, np.ndarray], keep_ratio: float) -> Arrays:
    """Of each expert the largest floor(p · n) of all entries, the tensors side by side in order of name."""
    names = sorted(stacks)
    flat = np.concatenate([stacks[name].reshape(len(stacks[name]), -1) for name in names], axis=1)
    count = int(keep_ratio * flat.shape[1] + 1e-9)
    for row in flat:
        row[np.argsort(-np.abs(row), kind="stable")[count:]] = 0
    ends = np.cumsum([stacks[name][0].size for name in names])
    parts = np.split(flat, ends[:-1], axis=1)
    return {name: part.reshape(stacks[name].shape) for name, part in zip(names, parts, strict=True)}


Whole = Callable[[str, np.ndarray, np.ndarray, Sequence[float]], np.ndarray]
"""(name, base, experts, weights) → θ."""
OF_WEIGHTS: dict[str, Whole] = {
    "weight-averaging": lambda name, base, experts, w: averaging.weight_average(experts, w),
    "slerp": lambda name, base, experts, w: geometry.slerp(experts[0], experts[1], 0.3),
    "multi-slerp": lambda name, base, experts, w: geometry.multi_slerp(experts, w),
    "karcher": lambda name, base, experts, w: geometry.karcher_mean(experts, w, 10),
    "model-stock": lambda name, base, experts, w: model_stock.model_stock(base, experts),
}
Part = Callable[[str, np.ndarray, Sequence[float]], np.ndarray]
"""(name, task vectors, weights) → T; the task vectors of `ties` and of `localize-and-stitch` are trimmed."""
OF_TASK_VECTORS: dict[str, Part] = {
    "task-arithmetic": lambda name, t, w: added(lambda tau: tau, t, w),
    "svp": lambda name, t, w: added(lambda tau: svp(tau, 0.1), t, w),
    "mp": lambda name, t, w: added(lambda tau: mp(tau, 0.3), t, w),
    "lors": lambda name, t, w: added(lambda tau: lors(tau, 0.1, 0.3), t, w),
    "ties": lambda name, t, w: ties.merge_trimmed(t, w),
    "dare": lambda name, t, w: added(
        lambda tau: tau, dropped(lambda tau, u: random_pruning.dare(tau, 0.3, u), name, t, 0), w
    ),
    "della": lambda name, t, w: ties.merge_trimmed(
        dropped(lambda tau, u: random_pruning.della(tau, 0.3, 0.1, u), name, t, 0), w
    ),
    "breadcrumbs": lambda name, t, w: added(lambda tau: breadcrumbs.breadcrumbs(tau, 0.3, 0.01), t, w),
    "pcb": lambda name, t, w: pcb.pcb(t, w, 0.3),
    "sce": lambda name, t, w: sce.sce(t, 0.3),
    "consensus": lambda name, t, w: consensus.consensus(t, w, 0.4, 2),
    "localize-and-stitch": lambda name, t, w: stitch(t),
    "tsv-m": lambda name, t, w: singular_vectors.tsv_m(t, w),
    "boosted-tsv-m": lambda name, t, w: singular_vectors.boosted_tsv_m(t, 0.3, w),
    "iso-c": lambda name, t, w: isotropic.iso_c(t, w),
    "iso-cts": lambda name, t, w: isotropic.iso_cts(t, 0.8, w),
    "star": lambda name, t, w: added(
        lambda tau: star.truncate_and_rescale(tau, 0.4).astype(np.float32), t, w
    ),
    "subspace-boosting": lambda name, t, w: subspace_boosting(added(lambda tau: tau, t, w), 0.01),
    "knots": lambda name, t, w: knots.knots(t, lambda a: ties.ties(a, [0.3] * 3, [1.0] * 3), w),
    "wudi": lambda name, t, w: wudi.wudi(t, 4, 1e-5, w),
    "doge": lambda name, t, w: projective.doge_ta(
        t, keep_ratio=0.3, iterations=3, learning_rate=1e-4, weights=w
    ),
}
ON_WEIGHT_MATRICES = {"svp", "mp", "lors", "star", "subspace-boosting"}
WITH_MEAN_OF_REST = {"tsv-m", "boosted-tsv-m", "iso-c", "iso-cts", "knots", "wudi", "doge"}


def is_attention_or_feed_forward(name: str) -> bool:
    return "layers" in name and name.endswith(("_proj.weight", "fc1.weight", "fc2.weight"))


def from_whole_arrays(method: str, base: Arrays, stacks: Arrays, weights: Sequence[float]) -> Arrays:
    """θ of every tensor: a function of whole arrays; θ0 + λT in float64, rounded once."""
    if method in OF_WEIGHTS:
        return {name: OF_WEIGHTS[method](name, base[name], stacks[name], weights) for name in base}
    deltas = {name: stacks[name] - base[name] for name in base}
    if method in ("ties", "localize-and-stitch"):
        deltas = trimmed_over_the_model(deltas, 0.3)
    merged = {}
    for name, task_vectors in deltas.items():
        if method in ON_WEIGHT_MATRICES | WITH_MEAN_OF_REST and not is_attention_or_feed_forward(name):
            total = added(lambda tau: tau, task_vectors, weights)
            total = total / np.float32(len(task_vectors)) if method in WITH_MEAN_OF_REST else total
        else:
            total = OF_TASK_VECTORS[method](name, task_vectors, weights)
        merged[name] = (base[name].astype(np.float64) + 0.4 * total.astype(np.float64)).astype(np.float32)
    return merged


def digest(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def test_there_is_a_reference_for_every_method() -> None:
    assert {*OF_WEIGHTS, *OF_TASK_VECTORS} == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_a_merge_on_disk_is_the_function_on_whole_arrays(name: str, models: Path, tmp_path: Path) -> None:
    asked = recipe_of(models, METHODS[name])
    out = merge(asked, tmp_path / "out", workers=1).path
    base = load_file(models / "base" / WEIGHTS_FILE)
    experts = [load_file(Path(expert["model"]) / WEIGHTS_FILE) for expert in asked["experts"]]
    stacks = {key: np.stack([expert[key] for expert in experts]) for key in base}
    weights = [expert.get("weight", 1.0) for expert in asked["experts"]]
    expected, found = from_whole_arrays(name, base, stacks, weights), load_file(out / WEIGHTS_FILE)
    assert found.keys() == expected.keys()
    changed = 0
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values, err_msg=key)
        changed += not np.array_equal(values, base[key])
    assert changed == len(base), "no tensor may be the base's own by oversight"
    # A second run: small tensors side by side, those that need more than the memory alone.
    again = merge(asked, tmp_path / "again", workers=3, memory=1 << 20).path
    assert digest(again) == digest(out)


@pytest.mark.parametrize("name", ["dare", "della"])
def test_chance_follows_the_seed(name: str, models: Path, tmp_path: Path) -> None:
    written = [
        digest(merge(recipe_of(models, METHODS[name], seed=seed), tmp_path / str(i)).path)
        for i, seed in enumerate((0, 7, 7))
    ]
    weights = [files[WEIGHTS_FILE] for files in written]
    assert written[1] == written[2] and weights[0] != weights[1]
    base = load_file(models / "base" / WEIGHTS_FILE)
    found = load_file(tmp_path / "1" / WEIGHTS_FILE)
    untouched = sum(int((found[key] == base[key]).sum()) for key in base) / sum(t.size for t in base.values())
    assert untouched == pytest.approx(0.7**3, abs=0.01), "all three experts drop an entry with 0.7 each"


@pytest.mark.parametrize("name", [*(n for n in METHODS if METHODS[n].elementwise), "lors"])
def test_bytes_do_not_depend_on_pieces(
    name: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe_of(models, METHODS[name])
    whole = digest(merge(asked, tmp_path / "whole").path)
    for module in ("pieces", "measured", "tasks", "engine"):
        monkeypatch.setattr(f"lors.merging.{module}.PIECE", 4999)
    monkeypatch.setattr("lors.merging.engine._PORTION", 2 * 4999)
    assert digest(merge(asked, tmp_path / "pieces", workers=2).path) == whole


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_lapack_is_loaded_before_workers_start(
    method: Method, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded by a worker, it would compute on all cores in each."""
    called: list[str] = []
    compute = low_rank.largest_eigenpairs
    monkeypatch.setattr(engine.lapack, "load", lambda: called.append("load"))
    monkeypatch.setattr(
        low_rank, "largest_eigenpairs", lambda *given: called.append("compute") or compute(*given)
    )
    engine.merge(recipe_of(models, method), tmp_path / "out")
    assert "compute" not in called or called[0] == "load"
    assert method.matrices or not called
