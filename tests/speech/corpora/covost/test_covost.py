"""What becomes of a small CoVoST-2: texts, lengths, both directions, the forms in which its tables come."""

import json
from pathlib import Path

import pytest

from lors.base.errors import UsageError
from lors.speech.corpora.covost import prepare_covost
from lors.speech.corpora.covost_languages import FROM_ENGLISH, INTO_ENGLISH, choose_languages
from lors.speech.manifest import read_manifest

from .tree import V4, Tree, clips_of, of_manifest, published, write_mp3, write_table


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
