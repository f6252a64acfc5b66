"""CoVoST-2 against the published script (facebookresearch/covost, get_covost_splits.py), typed again here."""

import csv
import json
import os
import random
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.covost import CovostCorpus, prepare_covost
from lors.speech.corpora.covost_languages import FROM_ENGLISH, INTO_ENGLISH, choose_languages
from lors.speech.manifest import read_manifest

ROWS = 100_000

V4 = ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent")
"""The columns of Common Voice's release 4."""

SENTENCES = (
    "Una frase {i}.", "Una altra, la {i}", "Cap", '"Va dir {i}', '""Sí"", va dir {i}.', "'{i}'", "NA", "null",
    "nan", "None", "N/A", "#N/A", "True", "007", "1.50", "-", "1e5", "", "   ", "barra \\\\ {i}", "tab\\\tdins {i}",
    "línia\\\nnova {i}", "a\\b {i}", unicodedata.normalize("NFD", "Cançó número {i}, això és"), "fi\u2028nal {i}",
    "\u00a0espai {i} ", "{{\"json\": {i}}}", "=1+{i}", "\U0001f600 {i}", "\ufeffmarca {i}", "ـعربي {i}", "<b>{i}</b>",
)  # fmt: skip
TRANSLATIONS = tuple(s.replace("frase", "sentence") for s in SENTENCES)
SPLITS = ("train",) * 10 + ("train_covost",) * 5 + ("dev", "dev", "test", "test", "", "dev_covost")


def published(validated: Path, covost: Path, split: str) -> list[dict[str, str]]:
    """The rows of get_covost_splits.py: both tables read without quoting, an inner join by path, the split."""

    def load(path: Path) -> Iterator[dict[str, str]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
            for row in rows:
                if row:
                    yield dict.fromkeys(header, "") | dict(zip(header, row, strict=False))

    right: dict[str, list[dict[str, str]]] = {}
    for row in load(covost):
        right.setdefault(row["path"], []).append(row)
    wanted = {"train", "train_covost"} if split == "train" else {split}
    return [
        {name: row[name] for name in ("path", "sentence", "client_id")}
        | {"translation": other["translation"]}
        for row in load(validated)
        for other in right.get(row["path"], ())
        if other["split"] in wanted
    ]


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


@dataclass
class Tree:
    """A release of Common Voice and CoVoST-2's table, with their folders."""

    root: Path

    @property
    def common_voice(self) -> Path:
        return self.root / "cv-corpus-4-2019-12-10"

    @property
    def language(self) -> Path:
        return self.common_voice / "ca"

    @property
    def validated(self) -> Path:
        return self.language / "validated.tsv"

    @property
    def covost(self) -> Path:
        return self.root / "covost" / "covost_v2.ca_en.tsv"

    def prepare(self, out: Path, **options: Any) -> CovostCorpus:
        return prepare_covost(self.common_voice, [self.covost.parent], ["ca"], out, **options)


def write_mp3(path: Path, seconds: float = 10.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.1 * np.sin(2 * np.pi * 300 * np.arange(round(16000 * seconds)) / 16000)
    soundfile.write(path, tone.astype(np.float32), 16000, format="MP3")
    return path


def write_table(
    path: Path, columns: Iterable[str], rows: Iterable[Iterable[str]], ends: Callable[[], str]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\ufeff" + "\t".join(columns) + "\n")
        for row in rows:
            file.write("\t".join(row) + ends())


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


def of_manifest(path: Path) -> list[tuple[str, str, str | None]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [(line["id"], line["text"], line.get("speaker")) for line in lines]


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


BAD_ROWS = {
    "a tab": b"s\tcommon_voice_ca_1.mp3\tUna\tfrase\t2\t0\t\t\t\n",
    "too few": b"s\tcommon_voice_ca_1.mp3\n",
    "latin-1": b"s\tcommon_voice_ca_1.mp3\tCan\xe7\xf3\t2\t0\t\t\t\n",
    "a carriage return": b"s\tcommon_voice_ca_1.mp3\tUna\rfrase\t2\t0\t\t\t\n",
    "ten megabytes": b"s\tcommon_voice_ca_1.mp3\t" + b"x" * 10_000_000 + b"\t2\t0\t\t\t\n",
    "a megabyte of escaped lines": b"x\\\n" * 400_000 + b"\n",
    "binary": bytes(range(128, 256)) + b"\n",
}
BAD_CLIPS = (
    "climbing", "climbing within", "absolute", "link out", "link to nothing", "missing", "empty", "truncated",
    "text", "another language",
)  # fmt: skip


def bad_clip(tree: Tree, what: str) -> str:
    """Make a clip that cannot be used, and return the name that a table gives it."""
    clips = tree.language / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    name = f"common_voice_ca_{BAD_CLIPS.index(what)}.mp3"
    match what:
        case "climbing":
            return "../../../../../../../etc/passwd"
        case "climbing within":
            return f"sub/../../{name}"
        case "absolute":
            return str(write_mp3(tree.root / "outside.mp3"))
        case "link out":
            (clips / name).symlink_to(write_mp3(tree.root / "outside.mp3"))
        case "link to nothing":
            (clips / name).symlink_to(clips / "nothing.mp3")
        case "empty":
            (clips / name).touch()
        case "truncated":
            whole = write_mp3(clips / name)
            whole.write_bytes(whole.read_bytes()[:400])
        case "text":
            (clips / name).write_text("no sound " * 2000)
        case "another language":
            return write_mp3(clips / "common_voice_de_9.mp3").name
    return name


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


def clips_of(corpus: CovostCorpus, split: str, task: str = "transcribe") -> list[str]:
    return [
        line[0].removeprefix("common_voice_ca_") for line in of_manifest(corpus.manifest("ca", task, split))
    ]


def test_audio_lengths_and_texts(small: Tree, tmp_path: Path) -> None:
    corpus = small.prepare(tmp_path / "out")
    for task, text in (("transcribe", "Frase"), ("translate", "Sentence")):
        utterances = read_manifest(corpus.manifest("ca", task, "train"))  # opens each clip
        assert [u.text for u in utterances] == [f"{text} {i}" for i in range(40) if i % 5 > 1]
        assert all(abs(u.duration - (1.0 + int(u.text.split()[1]) / 10)) < 0.1 for u in utterances)
        assert {(u.source_lang, u.target_lang) for u in utterances} == {
            ("ca", "ca" if text == "Frase" else "en")
        }
        assert {u.speaker for u in utterances} == {"speaker2", "speaker3", "speaker4"}
    assert [(join.split, join.listed, join.matched) for join in corpus.joins] == [
        ("train", 24, 24), ("dev", 8, 8), ("test", 8, 8),
    ]  # fmt: skip
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "| of them in Common Voice | 24 | 8 | 8 |" in readme
    assert "lors prepare covost --common-voice" in readme
    assert "CC0" in readme
    tables = json.loads((tmp_path / "out" / "prepare.json").read_text())["settings"]["tables"]
    assert set(tables) == {str(small.covost), str(small.validated)}


def test_without_train_covost(small: Tree, tmp_path: Path) -> None:
    corpus = small.prepare(tmp_path / "out", train_covost=False)
    assert clips_of(corpus, "train") == [str(100 + i) for i in range(40) if i % 5 in (2, 4)]
    assert corpus.left_out["ca-rows"] == {"in no split": 8}


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


def test_a_stated_length_is_taken(small: Tree, tmp_path: Path) -> None:
    table = small.language / "clip_durations.tsv"
    table.write_text("clip\tduration[ms]\ncommon_voice_ca_102.mp3\t777\n")
    utterances = read_manifest(small.prepare(tmp_path / "out").manifest("ca", "transcribe", "train"))
    assert [u.duration for u in utterances[:2]] == [0.777, pytest.approx(1.3, abs=0.1)]


def test_clips_longer_than_whisper_hears(small: Tree, tmp_path: Path) -> None:
    write_mp3(small.language / "clips" / "common_voice_ca_102.mp3", 31.0)
    corpus = small.prepare(tmp_path / "out")
    assert corpus.left_out["ca-train"] == {"longer than 30 s": 1}
    shorter = small.prepare(tmp_path / "shorter", maximum_seconds=4.0)
    assert 0 < len(clips_of(shorter, "train")) < 24


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


@pytest.mark.parametrize("hours", ["0.002,0.004,0.01", "0.01,0.002,0.004"])
def test_subsets_lie_within_each_other(small: Tree, tmp_path: Path, hours: str) -> None:
    corpus = small.prepare(tmp_path / "out", subset=hours, evaluation_hours=0.003)
    one, two, five = (clips_of(corpus, f"train-{n}h") for n in ("0.002", "0.004", "0.01"))
    assert set(one) < set(two) < set(five) < {str(n) for n in range(100, 140)}
    for hour, split in (
        (0.002, "train-0.002h"),
        (0.004, "train-0.004h"),
        (0.01, "train-0.01h"),
        (0.003, "dev"),
    ):
        utterances = read_manifest(corpus.manifest("ca", "transcribe", split))
        total = sum(u.duration for u in utterances)
        assert hour * 3600 <= total < hour * 3600 + max(u.duration for u in utterances)
        assert [u.id for u in utterances] == sorted(u.id for u in utterances)  # the table's order
        assert clips_of(corpus, split) == clips_of(corpus, split, "translate")
    digests = {m.name: m.ids_sha256 for m in corpus.manifests}
    assert digests["ca-transcribe-train-0.01h.jsonl"] == digests["ca-translate-train-0.01h.jsonl"]
    alone = small.prepare(tmp_path / "alone", subset="0.004")
    assert clips_of(alone, "train") == two
    assert len(clips_of(alone, "dev")) == 8
    assert clips_of(small.prepare(tmp_path / "seed", subset="0.004", seed=1), "train") != two


def test_a_subset_passes_over_clips_that_cannot_be_used(small: Tree, tmp_path: Path) -> None:
    before = clips_of(small.prepare(tmp_path / "before", subset="0.004"), "train")
    (small.language / "clips" / f"common_voice_ca_{before[0]}.mp3").write_bytes(b"")
    after = small.prepare(tmp_path / "after", subset="0.004", skip_bad=True)
    assert set(clips_of(after, "train")) >= set(before[1:])
    assert before[0] not in clips_of(after, "train")
    counts = after.left_out["ca-train"]
    assert counts["damaged audio"] == 1
    assert counts["not drawn into the subset"] + 1 + len(clips_of(after, "train")) == 24


def test_a_subset_of_the_paper(small: Tree, tmp_path: Path) -> None:
    corpus = small.prepare(tmp_path / "out", subset="paper-high")
    assert len(clips_of(corpus, "train")) == 24  # all: there are less than 5 hours
    assert (
        "ca-train has 0.02 hours of the 5 asked for; all of them are taken."
        in (tmp_path / "out" / "README.md").read_text()
    )
    with pytest.raises(UsageError, match=r"ca-train has 0\.02 hours of the 5 asked for; ask for fewer"):
        small.prepare(tmp_path / "five", subset="5")
    with pytest.raises(UsageError, match="paper-low: 'ca' is none of its languages"):
        small.prepare(tmp_path / "low", subset="paper-low")
    with pytest.raises(UsageError, match="no folder 'de'"):  # all languages of the subset are asked for
        prepare_covost(small.common_voice, [small.covost.parent], [], tmp_path / "all", subset="paper-high")


def test_from_english(tmp_path: Path) -> None:
    """One set of clips for all targets: those that are translated into each of them."""
    tree = Tree(tmp_path)
    folder = tree.common_voice / "en"
    clips = [f"common_voice_en_{i}.mp3" for i in range(12)]
    for clip in clips:
        write_mp3(folder / "clips" / clip, 1.0)
    write_table(
        folder / "validated.tsv",
        V4,
        ([f"s{i}", c, f"Text {i}", "2", "0"] for i, c in enumerate(clips)),
        lambda: "\n",
    )
    for target, left in (("de", 3), ("sv-SE", 4)):
        rows = [
            [c, f"{target} {i}", ("train", "dev", "test")[i % 3]] for i, c in enumerate(clips) if i != left
        ]
        write_table(
            tree.root / "covost" / f"covost_v2.en_{target}.tsv",
            ("path", "translation", "split"),
            rows,
            lambda: "\n",
        )
    corpus = prepare_covost(
        tree.root, [tree.root / "covost"], ["German", "sv"], tmp_path / "out", direction="from-english"
    )
    assert [m.name for m in corpus.manifests] == [
        f"en-{task}-{split}.jsonl"
        for split in ("train", "dev", "test")
        for task in ("transcribe", "translate-de", "translate-sv")
    ]
    kept = {"train": [0, 6, 9], "dev": [1, 7, 10], "test": [2, 5, 8, 11]}
    for split, numbers in kept.items():
        for task, text in (("transcribe", "Text"), ("translate-de", "de"), ("translate-sv", "sv-SE")):
            found = of_manifest(corpus.manifest("en", task, split))
            assert [(i, t) for i, t, _ in found] == [(f"common_voice_en_{n}", f"{text} {n}") for n in numbers]
    assert corpus.left_out["en-train"] == {"not in every target language": 1}
    assert corpus.left_out["en-dev"] == {"not in every target language": 1}


def test_tables_of_the_published_script_are_read_too(small: Tree, tmp_path: Path) -> None:
    whole = small.prepare(tmp_path / "whole")
    for split in ("train", "dev", "test"):
        rows = published(small.validated, small.covost, split)
        columns = ("path", "sentence", "translation", "client_id")
        write_table(
            small.covost.with_name(f"covost_v2.ca_en.{split}.tsv"),
            columns,
            ([row[name] for name in columns] for row in rows),
            lambda: "\n",
        )
    small.covost.unlink()
    parts = small.prepare(tmp_path / "parts")
    assert [m.sha256 for m in parts.manifests] == [m.sha256 for m in whole.manifests]


def test_languages() -> None:
    assert (len(INTO_ENGLISH), len(FROM_ENGLISH)) == (21, 15)
    assert set(FROM_ENGLISH) < set(INTO_ENGLISH)
    assert choose_languages(["sv", "SV-se", "zh", "Welsh", "et"], "into-english") == [
        "sv-SE",
        "zh-CN",
        "cy",
        "et",
    ]
    for name, direction in (
        ("en", "into-english"),
        ("fr", "from-english"),
        ("zh-TW", "into-english"),
        ("xx", "into-english"),
    ):
        with pytest.raises(UsageError, match="ar, ca, cy, de"):
            choose_languages([name], direction)
    with pytest.raises(UsageError, match="Did you mean 'catalan'"):
        choose_languages(["catalonian"], "into-english")
