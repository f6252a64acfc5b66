"""Subsets of CoVoST-2 by hours, and those of the paper."""

from pathlib import Path

import pytest

from lors.base.errors import UsageError
from lors.speech.corpora.covost import prepare_covost
from lors.speech.manifest import read_manifest

from .tree import Tree, clips_of


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
