"""Data sets by name, from a copy of the Hub's interface."""

from pathlib import Path
from typing import Any

import pytest

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.hub import prepare_hub

from .conftest import SHA
from .parquet import COLUMNS


def test_by_name_from_the_hub(hub: list[tuple[str, str | None]], dataset: Path, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"columns": COLUMNS, "source_lang": "es"}
    prepare_hub("me/set", tmp_path / "hub", **arguments)
    prepare_hub(str(dataset), tmp_path / "folder", **arguments)
    manifest = "es-transcribe-train.jsonl"
    assert (tmp_path / "hub" / manifest).read_bytes() == (tmp_path / "folder" / manifest).read_bytes()
    audio = [p for p in (tmp_path / "folder" / "audio").rglob("*") if p.is_file()]
    for path in audio:
        assert (tmp_path / "hub" / path.relative_to(tmp_path / "folder")).read_bytes() == path.read_bytes()
    assert {name for name, _ in hub} == {f"data/train-0000{n}-of-00002.parquet" for n in (0, 1)}
    card = (tmp_path / "hub" / "README.md").read_text("utf-8")
    assert "cc-by-4.0" in card
    assert f"https://huggingface.co/datasets/me/set, revision {SHA}" in card
    with pytest.raises(
        UsageError, match="me/other: no such folder, and no such data set on the Hugging Face Hub"
    ):
        prepare_hub("me/other", tmp_path / "other", **arguments)


def test_the_hub_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        LorsError, match="me/set: no such folder, and the Hugging Face Hub could not be asked"
    ):
        prepare_hub("me/set", tmp_path / "out", columns=COLUMNS, source_lang="es")
