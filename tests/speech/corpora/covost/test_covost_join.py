"""A hundred thousand rows against the published script (get_covost_splits.py), typed again in `tree.py`."""

import csv
import os
import random
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from lors.base.errors import LorsError
from lors.speech.corpora.covost import CovostCorpus

from .tree import BAD_CLIPS, BAD_ROWS, V4, Tree, bad_clip, of_manifest, published, write_mp3, write_table

pytestmark = pytest.mark.xdist_group("covost-join")  # what all share is made once

ROWS = 100_000


SENTENCES = (
    "Una frase {i}.", "Una altra, la {i}", "Cap", '"Va dir {i}', '""Sí"", va dir {i}.', "'{i}'", "NA", "null",
    "nan", "None", "N/A", "#N/A", "True", "007", "1.50", "-", "1e5", "", "   ", "barra \\\\ {i}", "tab\\\tdins {i}",
    "línia\\\nnova {i}", "a\\b {i}", unicodedata.normalize("NFD", "Cançó número {i}, això és"), "fi\u2028nal {i}",
    "\u00a0espai {i} ", "{{\"json\": {i}}}", "=1+{i}", "\U0001f600 {i}", "\ufeffmarca {i}", "ـعربي {i}", "<b>{i}</b>",
)  # fmt: skip


TRANSLATIONS = tuple(s.replace("frase", "sentence") for s in SENTENCES)


SPLITS = ("train",) * 10 + ("train_covost",) * 5 + ("dev", "dev", "test", "test", "", "dev_covost")


def without_pairs_and_leaks(
    rows: dict[str, list[dict[str, str]]], shared: bool
) -> dict[str, list[dict[str, str]]]:
    """What is documented to be left out of the published rows."""
    kept: dict[str, dict[str, dict[str, str]]] = {}
    later: set[str] = set()
    for split in ("test", "dev", "train"):
        kept[split] = {}
        for row in rows[split]:
            if row["sentence"].strip() and row["translation"].strip() and row["path"] not in later:
                kept[split].setdefault(row["path"], row)
        later |= {row["path"] for row in rows[split] if row["translation"].strip()}
    speakers = {row["client_id"] for split in ("dev", "test") for row in kept[split].values()} - {""}
    return {
        split: [r for r in of_split.values() if shared or split != "train" or r["client_id"] not in speakers]
        for split, of_split in kept.items()
    }


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A hundred thousand rows with every ugliness; beside each table itself without what no script could read."""
    tree = Tree(tmp_path_factory.mktemp("large"))
    draws = random.Random(0)
    speakers = {"train": 3000, "dev": 300, "test": 300}
    validated, covost = [], []
    for i in range(ROWS):
        clip = f"common_voice_ca_{17_000_000 + i}.mp3"
        split = draws.choice(SPLITS)
        group = split if split in speakers else "train"
        if draws.random() < 0.02:
            group = draws.choice(list(speakers))  # who speaks in two splits
        speaker = f"{group}{draws.randrange(speakers[group])}" if draws.random() < 0.98 else ""
        row = [speaker, clip, draws.choice(SENTENCES).format(i=i), "2", "0", "", "", ""]
        if draws.random() < 0.95:
            validated.append(row[: draws.choice((3, 4, 8, 8, 8))])
        if draws.random() < 0.6:
            covost.append([clip, draws.choice(TRANSLATIONS).format(i=-i), split])
    for rows, text in ((validated, 2), (covost, 1)):
        for row in draws.sample(rows, 500):  # clips that come again, with another text, and perhaps split
            again = list(row)
            again[text] = draws.choice(SENTENCES).format(i="again")
            if rows is covost:
                again[2] = draws.choice(SPLITS)
            rows.append(again)
        draws.shuffle(rows)

    def ends() -> str:
        return draws.choice(("\n", "\n", "\r\n", "\n\n"))

    write_table(tree.validated, V4, validated, ends)
    write_table(tree.covost, ("path", "translation", "split"), covost, ends)
    sounds = [
        write_mp3(tree.root / f"{n}.mp3") for n in range(4)
    ]  # a file may not have a hundred thousand names
    clips = tree.language / "clips"
    clips.mkdir()
    listed = {row[0] for row in covost}
    lengths = {}
    for i, row in enumerate(validated):
        if row[1] in listed and row[1] not in lengths:
            os.link(sounds[i % 4], clips / row[1])
            lengths[row[1]] = str(draws.randint(1000, 11000))
    write_table(tree.language / "clip_durations.tsv", ("clip", "duration[ms]"), lengths.items(), lambda: "\n")
    bad_clips = {name: bad_clip(tree, name) for name in BAD_CLIPS}
    bad = [f"s\t{clip}\tUna frase.\t2\t0\t\t\t\n".encode() for clip in bad_clips.values()]
    insert([*bad, *BAD_ROWS.values()], tree.validated, draws)
    insert([f"{clip}\tA sentence.\ttrain\n".encode() for clip in bad_clips.values()], tree.covost, draws)
    lengths_bad = [b"nowhere.mp3\n", f"{bad_clips['truncated']}\t9000\n".encode(), b"a\tb\tc\n"]
    insert(lengths_bad, tree.language / "clip_durations.tsv", draws)
    return tree


@pytest.fixture(scope="module")
def corpora(large: Tree) -> dict[bool, CovostCorpus]:
    """What becomes of it, without and with the speakers that are in two splits."""
    return {
        shared: large.prepare(large.root / f"out-{shared}", keep_shared_speakers=shared, skip_bad=True)
        for shared in (False, True)
    }


def expected(rows: list[dict[str, str]], text: str) -> list[tuple[str, str, str | None]]:
    return [
        (row["path"].removesuffix(".mp3"), unicodedata.normalize("NFC", row[text]), row["client_id"] or None)
        for row in rows
    ]


@pytest.fixture(scope="module")
def rows_of_the_script(large: Tree) -> dict[str, list[dict[str, str]]]:
    """Split → what the published script makes of the tables without bad rows."""
    return {s: published(clean(large.validated), clean(large.covost), s) for s in ("train", "dev", "test")}


@pytest.mark.parametrize("shared", [False, True])
def test_the_rows_are_those_of_the_published_script(
    corpora: dict[bool, CovostCorpus], rows_of_the_script: dict[str, list[dict[str, str]]], shared: bool
) -> None:
    corpus = corpora[shared]
    assert min(map(len, rows_of_the_script.values())) > 4000
    kept = without_pairs_and_leaks(rows_of_the_script, shared)
    for split, of_split in kept.items():
        transcripts = of_manifest(corpus.manifest("ca", "transcribe", split))
        assert transcripts == expected(of_split, "sentence")
        assert of_manifest(corpus.manifest("ca", "translate", split)) == expected(of_split, "translation")
        gone = len({row["path"] for row in rows_of_the_script[split]}) - len(of_split)
        assert 0 < gone < len(of_split)
    assert {"NA", "null", "nan", "None", "True", "007", "1.50"} < {row["sentence"] for row in kept["train"]}
    assert ("speaker in dev or test too" in corpus.left_out["ca-train"]) != shared
    ids = {m.name: m.ids_sha256 for m in corpus.manifests}
    assert all(ids[f"ca-transcribe-{split}.jsonl"] == ids[f"ca-translate-{split}.jsonl"] for split in kept)


def test_every_row_of_the_tables_is_kept_or_counted(large: Tree, corpora: dict[bool, CovostCorpus]) -> None:
    corpus = corpora[False]
    with clean(large.covost).open(encoding="utf-8-sig", newline="") as file:
        rows = [r for r in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\") if r][1:]
    assert corpus.left_out["ca-rows"] == {
        "in no split": sum(row[2] in ("", "dev_covost") for row in rows),
        "malformed row": len(BAD_ROWS) + 2,
    }
    bad_clips = {"path outside the corpus": 4, "no audio file": 2, "damaged audio": 3, "another language": 1}
    assert bad_clips.items() <= corpus.left_out["ca-train"].items()
    for split in ("train", "dev", "test"):
        kept = next(m.clips for m in corpus.manifests if m.name == f"ca-transcribe-{split}.jsonl")
        reasons = Counter(corpus.left_out[f"ca-{split}"])
        join = next(join for join in corpus.joins if join.split == split)
        unusable = sum(reasons[reason] for reason in bad_clips if reason != "another language")
        assert join.matched == kept + reasons["speaker in dev or test too"] + unusable
        assert reasons["not in validated.tsv"] > 0
        of_table = sum(row[2].removesuffix("_covost") == split and row[2] != "dev_covost" for row in rows)
        in_two = sum(reasons[f"clip in {other} too"] for other in ("dev", "test"))
        bad = len(BAD_CLIPS) if split == "train" else 0
        listed_again = of_table + bad - join.listed - reasons["no translation"] - in_two
        assert 0 < listed_again <= reasons["duplicate id"]


def test_one_bad_row_is_enough(large: Tree, tmp_path: Path) -> None:
    with pytest.raises(LorsError):
        large.prepare(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pandas_reads_the_same(large: Tree, rows_of_the_script: dict[str, list[dict[str, str]]]) -> None:
    """The typed join is the published one: with pandas, as published, where pandas is installed."""
    pandas = pytest.importorskip("pandas")

    def load(path: Path) -> Any:
        return pandas.read_csv(
            path,
            sep="\t",
            header=0,
            encoding="utf-8",
            escapechar="\\",
            quoting=csv.QUOTE_NONE,
            na_filter=False,
        )

    joined = pandas.merge(
        left=load(clean(large.validated))[["path", "sentence", "client_id"]],
        right=load(clean(large.covost))[["path", "translation", "split"]],
        how="inner",
        on="path",
    )
    for split, rows in rows_of_the_script.items():
        wanted = (joined["split"] == split) | ((split == "train") & (joined["split"] == "train_covost"))
        assert joined[wanted].drop(columns="split").to_dict("records") == rows


def insert(rows: Iterable[bytes], table: Path, draws: random.Random) -> None:
    """Put rows at random places, none of them between an escaped line end and its line; keep the table as it was."""
    clean(table).write_bytes(table.read_bytes())
    lines = table.read_bytes().split(b"\n")
    places = [n for n in range(1, len(lines)) if not lines[n - 1].endswith(b"\\")]
    for row, place in zip(rows, sorted(draws.sample(places, 30), reverse=True), strict=False):
        lines.insert(place, row.removesuffix(b"\n"))
    table.write_bytes(b"\n".join(lines))


def clean(table: Path) -> Path:
    """The table without bad rows."""
    return table.with_name(f"clean-{table.name}")
