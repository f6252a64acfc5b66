"""Subsets, splits and counts of manifests, against sums done here by hand."""

import hashlib
import itertools
import json
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lors.base.errors import UsageError
from lors.speech.manifest import Utterance, read_manifest, write_manifest
from lors.speech.manifests.divide import split_manifest, subset_manifest
from lors.speech.manifests.stats import histogram_lines, manifest_statistics


def clip(
    number: int, speaker: str | None = None, seconds: float = 3600.0, text: str = "uno dos"
) -> Utterance:
    return Utterance(
        id=f"u{number}", audio_filepath=Path(f"/audio/{number}.wav"), duration=seconds, text=text, source_lang="es",
        target_lang="es", speaker=speaker,
    )  # fmt: skip


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_a_subset(tmp_path: Path) -> None:
    draws = random.Random(0)
    clips = [clip(n, seconds=draws.uniform(60, 600)) for n in range(200)]
    source = tmp_path / "m.jsonl"
    write_manifest(source, clips)
    chosen = {}
    for hours in (1, 2, 5):
        written = subset_manifest(source, tmp_path / f"{hours}.jsonl", hours, seed=3)
        chosen[hours] = ids(written.path)
        seconds = sum(one.duration for one in clips if one.id in chosen[hours])
        assert hours * 3600 <= seconds == pytest.approx(written.seconds)
        assert seconds - hours * 3600 < 600
        text = "".join(f"{one}\n" for one in chosen[hours])
        assert (tmp_path / f"{hours}.ids").read_text() == text
        assert written.ids_sha256 == hashlib.sha256(text.encode()).hexdigest()
        subprocess.run(
            ["sha256sum", "--check", f"{hours}.ids.sha256"], cwd=tmp_path, check=True, capture_output=True
        )
        places = [int(one[1:]) for one in chosen[hours]]
        assert places == sorted(places)  # the manifest's order
    assert set(chosen[1]) < set(chosen[2]) < set(chosen[5])
    again = subset_manifest(source, tmp_path / "1.jsonl", 1, seed=3, overwrite=True)
    assert ids(again.path) == chosen[1]
    other = subset_manifest(source, tmp_path / "other.jsonl", 1, seed=4)
    assert set(ids(other.path)) != set(chosen[1])


def test_a_subset_that_cannot_be(tmp_path: Path) -> None:
    source = tmp_path / "m.jsonl"
    write_manifest(source, [clip(1)])
    for hours in (2, 0, float("nan")):
        with pytest.raises(UsageError, match="hours was asked for"):
            subset_manifest(source, tmp_path / "s.jsonl", hours)
    with pytest.raises(UsageError, match="--overwrite"):
        subset_manifest(source, source, 1)
    with pytest.raises(UsageError, match=r"name the manifest NAME\.jsonl"):
        subset_manifest(source, tmp_path / "s.ids", 1)
    (tmp_path / "s.ids").write_text("mine")
    with pytest.raises(UsageError, match=r"s.ids: the output exists already"):
        subset_manifest(source, tmp_path / "s.jsonl", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.jsonl", "s.ids"]


def test_a_split_by_speaker(tmp_path: Path) -> None:
    draws = random.Random(1)
    clips = [clip(n, f"s{draws.randrange(60)}", draws.uniform(1, 9)) for n in range(3000)]
    source = tmp_path / "m.jsonl"
    write_manifest(source, clips)
    written = split_manifest(source, tmp_path / "out", dev=0.1, test=0.2, seed=7)
    parts = {one.path.stem: read_manifest(one.path, check_audio=False) for one in written}
    assert sorted(one.id for part in parts.values() for one in part) == sorted(one.id for one in clips)
    found = {
        one.id: (one.audio_filepath.resolve(), one.duration, one.speaker)
        for part in parts.values()
        for one in part
    }
    assert found == {one.id: (one.audio_filepath, one.duration, one.speaker) for one in clips}
    speakers = [{one.speaker for one in parts[name]} for name in ("train", "dev", "test")]
    assert not any(first & second for first, second in itertools.combinations(speakers, 2))
    total = sum(one.duration for one in clips)
    shares = {name: sum(one.duration for one in part) / total for name, part in parts.items()}
    assert 0.08 < shares["dev"] <= 0.1 and 0.18 < shares["test"] <= 0.2
    told = json.loads((tmp_path / "out" / "split.json").read_text())
    assert told["settings"]["seed"] == 7
    for one in told["manifests"]:
        text = "".join(f"{name}\n" for name in ids(tmp_path / "out" / one["path"]))
        assert one["ids_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    # the order of the lines decides nothing
    write_manifest(tmp_path / "shuffled.jsonl", draws.sample(clips, len(clips)))
    split_manifest(tmp_path / "shuffled.jsonl", tmp_path / "other", dev=0.1, test=0.2, seed=7)
    for name in ("train", "dev", "test"):
        assert set(ids(tmp_path / "other" / f"{name}.jsonl")) == set(ids(tmp_path / "out" / f"{name}.jsonl"))


@given(
    lengths=st.lists(st.floats(0.1, 1e4), min_size=1, max_size=8),
    dev=st.sampled_from([0, 0.01, 0.1, 0.4]),
    test=st.sampled_from([0, 0.1, 0.5]),
    seed=st.integers(0, 5),
)
def test_no_split_is_empty(
    lengths: list[float], dev: float, test: float, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("split")
    write_manifest(folder / "m.jsonl", [clip(n, f"s{n}", seconds) for n, seconds in enumerate(lengths)])
    wanted = ["train", *(["dev"] if dev else []), *(["test"] if test else [])]
    if len(lengths) < len(wanted):
        with pytest.raises(UsageError, match="cannot be divided into"):
            split_manifest(folder / "m.jsonl", folder / "out", dev, test, seed)
        return
    written = split_manifest(folder / "m.jsonl", folder / "out", dev, test, seed)
    assert [one.path.stem for one in written] == wanted
    assert all(one.utterances for one in written)
    assert sum(one.speakers for one in written) == len(lengths)


def test_splits_that_cannot_be(tmp_path: Path) -> None:
    source = tmp_path / "m.jsonl"
    write_manifest(source, [clip(1, "a"), clip(2), clip(3)])
    with pytest.raises(UsageError, match=r"2 utterances name no speaker, 'u2' the first"):
        split_manifest(source, tmp_path / "out", 0.1, 0.1)
    for dev, test in ((0.5, 0.5), (-0.1, 0.1), (float("nan"), 0.1)):
        with pytest.raises(UsageError, match="below 1 together"):
            split_manifest(source, tmp_path / "out", dev, test)
    assert not (tmp_path / "out").exists()


def test_relative_paths_stay_right(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        "".join(
            json.dumps({"id": f"u{n}", "audio_filepath": "audio/x.wav", "duration": 1, "text": "x", "source_lang": "es",
                        "target_lang": "es", "speaker": f"s{n}"}) + "\n"
            for n in range(3)
        )
    )  # fmt: skip
    for one in split_manifest(tmp_path / "m.jsonl", tmp_path / "deep" / "out", 0.2, 0.2):
        assert '"audio_filepath": "../../audio/x.wav"' in one.path.read_text()


def test_statistics(tmp_path: Path) -> None:
    write_manifest(
        tmp_path / "a.jsonl",
        [clip(1, "x", 0.5, "a b"), clip(2, "x", 1.0, "ñ"), clip(3, None, 30.0), clip(4, "y", 29.9)],
    )
    english = clip(1, "x", 0.5, "c")
    write_manifest(tmp_path / "b.jsonl", [Utterance(**english.__dict__ | {"target_lang": "en", "id": "q"})])
    more = clip(1, "z", 0.5, "a b")
    write_manifest(tmp_path / "c.jsonl", [Utterance(**more.__dict__ | {"id": "other"})])
    into_english, spanish = manifest_statistics([tmp_path / f"{name}.jsonl" for name in "abc"])
    assert (into_english.target_lang, into_english.utterances) == ("en", 1)
    assert (spanish.utterances, spanish.clips, spanish.speakers, spanish.without_speaker) == (5, 4, 3, 1)
    assert spanish.hours == pytest.approx((0.5 + 1 + 30 + 29.9 + 0.5) / 3600)
    assert (spanish.characters, spanish.different_characters) == (3 + 1 + 7 + 7 + 3, len(set("a bñuno dos")))
    assert (spanish.words, spanish.words_per_second) == (2 + 1 + 2 + 2 + 2, pytest.approx(9 / 61.9))
    assert (spanish.seconds_minimum, spanish.seconds_median, spanish.seconds_maximum) == (0.5, 1.0, 30.0)
    assert spanish.histogram == [2, 1, *[0] * 27, 1, 1]
    with pytest.raises(UsageError, match="the manifest is empty"):
        (tmp_path / "d.jsonl").write_text("")
        manifest_statistics([tmp_path / "d.jsonl"])


def test_the_histogram_is_to_scale() -> None:
    lines = histogram_lines([8, 4, 0, 1, *[0] * 27], width=4)
    assert lines == ["   0–1 s ████ 8", "   1–2 s ██   4", "   2–3 s      0", "   3–4 s ▌    1"]
    assert histogram_lines([0] * 30 + [5], width=2)[-1] == "  ≥ 30 s ██ 5"
