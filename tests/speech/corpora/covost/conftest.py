"""Forty clips of Common Voice with their translations."""

import shutil
from pathlib import Path

import pytest

from .tree import V4, Tree, write_mp3, write_table


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Forty clips, each a tenth of a second longer than the one before."""
    folder = tmp_path_factory.mktemp("sounds")
    return [write_mp3(folder / f"{i}.mp3", 1.0 + i / 10) for i in range(40)]


@pytest.fixture
def small(tmp_path: Path, sounds: list[Path]) -> Tree:
    """Forty clips of two minutes in all, of which eight are dev and eight test."""
    tree = Tree(tmp_path / "small")
    clips = [f"common_voice_ca_{100 + i}.mp3" for i in range(40)]
    (tree.language / "clips").mkdir(parents=True)
    for sound, clip in zip(sounds, clips, strict=True):
        shutil.copy(sound, tree.language / "clips" / clip)
    splits = ["dev", "test", "train", "train_covost", "train"] * 8
    rows = [[f"speaker{i % 5}", clip, f"Frase {i}", "2", "0", "", "", ""] for i, clip in enumerate(clips)]
    write_table(tree.validated, V4, rows, lambda: "\n")
    columns = ("path", "translation", "split")
    write_table(
        tree.covost, columns, ([c, f"Sentence {i}", splits[i]] for i, c in enumerate(clips)), lambda: "\n"
    )
    return tree
