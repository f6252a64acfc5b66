"""Rows, clips and stated lengths of CoVoST-2 that cannot be used, each named by its line."""

from pathlib import Path

import pytest

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.covost import prepare_covost

from .tree import BAD_CLIPS, BAD_ROWS, V4, Tree, bad_clip, clips_of


@pytest.mark.parametrize("what", BAD_CLIPS)
def test_a_clip_that_cannot_be_used(small: Tree, tmp_path: Path, what: str) -> None:
    clip = bad_clip(small, what)
    lines = small.validated.read_text().splitlines()
    lines.insert(20, f"s\t{clip}\tUna frase.\t2\t0\t\t\t")
    small.validated.write_text("\n".join(lines))
    with small.covost.open("a") as file:
        file.write(f"{clip}\tA sentence.\ttrain\n")
    with pytest.raises(LorsError) as refusal:
        small.prepare(tmp_path / "out")
    message = str(refusal.value)
    assert message.startswith(f"{small.validated}:21: ")
    assert message.count("\n") == 0
    assert "--skip-bad" in message
    assert not (tmp_path / "out").exists()
    corpus = small.prepare(tmp_path / "out", skip_bad=True)
    assert len(clips_of(corpus, "train")) == 24
    assert sum(corpus.left_out["ca-train"].values()) == 1


@pytest.mark.parametrize("what", BAD_ROWS)
@pytest.mark.parametrize("table", ["validated", "covost"])
def test_a_row_that_cannot_be_used(small: Tree, tmp_path: Path, what: str, table: str) -> None:
    path: Path = getattr(small, table)
    row = (
        BAD_ROWS[what]
        if table == "validated"
        else BAD_ROWS[what].removeprefix(b"s\t").replace(b"\t2\t0\t\t\t", b"\ttrain")
    )
    lines = path.read_bytes().split(b"\n")
    lines.insert(10, row.removesuffix(b"\n"))
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(LorsError) as refusal:
        small.prepare(tmp_path / "out")
    assert str(refusal.value).startswith(f"{path}:11: ")
    assert len(str(refusal.value)) < 400
    assert len(clips_of(small.prepare(tmp_path / "out", skip_bad=True), "train")) == 24


@pytest.mark.parametrize("stated", ["abc", "-5", "0", "inf", "nan", "1e99", ""])
def test_stated_lengths_that_are_none(small: Tree, tmp_path: Path, stated: str) -> None:
    table = small.language / "clip_durations.tsv"
    table.write_text(f"clip\tduration[ms]\ncommon_voice_ca_102.mp3\t{stated}\n")
    with pytest.raises(LorsError, match=r"clip_durations\.tsv"):
        small.prepare(tmp_path / "out")
    corpus = small.prepare(tmp_path / "out", skip_bad=True)
    assert sum(corpus.left_out.get(f"ca-{name}", {}).get(reason, 0) for name, reason in (
        ("rows", "malformed row"), ("train", "damaged audio"), ("train", "longer than 30 s"))) == 1  # fmt: skip


def test_a_split_that_common_voice_lacks(small: Tree, tmp_path: Path) -> None:
    header, *rows = small.validated.read_text().splitlines()
    small.validated.write_text("\n".join([header, *(row for i, row in enumerate(rows) if i % 5)]))
    with pytest.raises(LorsError) as refusal:
        small.prepare(tmp_path / "out")
    assert "no row for dev, for which CoVoST-2 lists 8 clips" in str(refusal.value)
    assert "release 4" in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_another_language_in_the_folder(small: Tree, tmp_path: Path) -> None:
    for path in (small.validated, small.covost):
        path.write_text(path.read_text().replace("common_voice_ca", "common_voice_de"))
    with pytest.raises(LorsError, match="is of 'de', and the folder is taken for 'ca'"):
        small.prepare(tmp_path / "out")
    with pytest.raises(UsageError, match="no folder 'de'; it has ca"):
        prepare_covost(small.language.parent, [small.covost.parent], ["de"], tmp_path / "out")


@pytest.mark.parametrize("column", ["path", "sentence", "client_id", "translation", "split"])
def test_a_column_that_is_missing(small: Tree, tmp_path: Path, column: str) -> None:
    path = small.validated if column in V4 and column != "path" else small.covost
    path.write_text(path.read_text().replace(column, column + "s", 1))
    with pytest.raises(UsageError) as refusal:
        small.prepare(tmp_path / "out")
    assert f"{path}:1: the column '{column}' is missing" in str(refusal.value)
    assert f"Did you mean '{column}s'?" in str(refusal.value)
