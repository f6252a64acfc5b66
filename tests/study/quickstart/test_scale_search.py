from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lors.study.quickstart import scale_search
from lors.study.quickstart.scale_search import choose_scale


@pytest.fixture
def recipe(
    make_whisper: Callable[..., Path], make_expert: Callable[..., Path], tmp_path: Path
) -> dict[str, Any]:
    base, expert = make_whisper(tmp_path / "base"), make_expert(tmp_path / "expert", 1, 0.01)
    return {"base": str(base), "method": "task-arithmetic", "experts": [str(expert)]}


@pytest.fixture
def dev(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("dev", [(1.0, "uno dos tres", "es", "es"), (1.2, "un deux trois", "fr", "fr")])


def stub(monkeypatch: pytest.MonkeyPatch, rates: dict[float, float]) -> list[float]:
    """Give each λ a word error rate without decoding; the list tells which were tried."""
    tried: list[float] = []

    def fake(recipe: dict[str, Any], *_: Any) -> float:
        tried.append(recipe["scale"])
        return rates[recipe["scale"]]

    monkeypatch.setattr(scale_search, "_try", fake)
    return tried


def test_the_lowest_rate_wins_and_of_equal_ones_the_smaller_scale(
    recipe: dict[str, Any], dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, {0.2: 9.0, 0.4: 5.0, 0.8: 5.0, 1.0: 7.0})
    found = choose_scale(recipe, [1.0, 0.8, 0.4, 0.2], [dev], tmp_path / "search", {})
    assert found.scale == 0.4
    assert found.trials == {0.2: 9.0, 0.4: 5.0, 0.8: 5.0, 1.0: 7.0}


def test_trials_are_kept_until_something_changes(
    recipe: dict[str, Any], dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = stub(monkeypatch, {0.2: 9.0, 0.4: 5.0, 0.6: 4.0})
    choose_scale(recipe, [0.2, 0.4], [dev], tmp_path / "search", {})
    assert choose_scale(recipe, [0.2, 0.4, 0.6], [dev], tmp_path / "search", {}).scale == 0.6
    assert tried == [0.2, 0.4, 0.6]
    choose_scale(recipe, [0.2], [dev], tmp_path / "search", {"beam_size": 1})
    dev.write_text(dev.read_text().replace("uno", "once"))
    choose_scale(recipe, [0.2], [dev], tmp_path / "search", {"beam_size": 1})
    assert tried == [0.2, 0.4, 0.6, 0.2, 0.2]


def test_a_trial_is_merged_decoded_and_scored(recipe: dict[str, Any], dev: Path, tmp_path: Path) -> None:
    decoding = {"window": 100, "beam_size": 1}
    found = choose_scale(recipe, [0.0, 1.0], [dev], tmp_path / "search", decoding)
    assert set(found.trials) == {0.0, 1.0}
    kept = {
        p.relative_to(tmp_path / "search").as_posix() for p in (tmp_path / "search").rglob("*") if p.is_file()
    }
    assert {"0.json", "1.json", "request.json", "0/results.json", "1/results.json"} <= kept
    assert not any(name.endswith(".safetensors") for name in kept)
