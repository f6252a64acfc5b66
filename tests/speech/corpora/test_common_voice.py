"""Common Voice alone, in the layouts of its releases."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.common_voice import prepare_common_voice
from lors.speech.corpora.common_voice_layout import language_names, whisper_code
from lors.speech.corpora.prepared import PreparedCorpus
from lors.speech.manifest import read_manifest

RELEASE_4 = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent"
RELEASE_17 = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tvariant"
    "\tlocale\tsegment"
)


def release_4(speaker: str, clip: str, sentence: str) -> str:
    return f"{speaker}\t{clip}\t{sentence}\t2\t0\t\t\t"


def release_17(speaker: str, clip: str, sentence: str, locale: str = "sv-SE") -> str:
    return f"{speaker}\t{clip}\tdeadbeef\t{sentence}\t\t2\t0\ttwenties\t\t\t\t{locale}\t"


def clip(folder: Path, number: int, seconds: float = 1.0) -> str:
    name = f"common_voice_{folder.name}_{number}.mp3"
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    tone = 0.1 * np.sin(2 * np.pi * 300 * np.arange(round(16000 * seconds)) / 16000)
    soundfile.write(folder / "clips" / name, tone.astype(np.float32), 16000, format="MP3")
    return name


@pytest.fixture
def swedish(tmp_path: Path) -> Path:
    """Release 17: six clips of train, two of dev, two of test, all validated, their lengths stated."""
    folder = tmp_path / "cv-corpus-17.0-2024-03-15" / "sv-SE"
    rows = [release_17(f"s{i}", clip(folder, i), f"Mening {i}") for i in range(10)]
    for table, some in (("train", rows[:6]), ("dev", rows[6:8]), ("test", rows[8:]), ("validated", rows)):
        (folder / f"{table}.tsv").write_text("\n".join([RELEASE_17, *some]) + "\n")
    lengths = "".join(f"common_voice_sv-SE_{i}.mp3\t{900 + i}\n" for i in range(9))
    (folder / "clip_durations.tsv").write_text(f"clip\tduration[ms]\n{lengths}")
    return folder


def texts(corpus: PreparedCorpus, language: str, split: str) -> list[str]:
    return [u.text for u in read_manifest(corpus.manifest(language, "transcribe", split))]


@pytest.mark.parametrize("parts", [0, 1, 2])
@pytest.mark.parametrize("language", ["sv-SE", "sv", "Swedish"])
def test_a_late_release(swedish: Path, tmp_path: Path, parts: int, language: str) -> None:
    """The folder of all releases, of a release, or of a language may be given."""
    root = [swedish, *swedish.parents][parts]
    corpus = prepare_common_voice(root, [language], tmp_path / "out")
    assert [m.name for m in corpus.manifests] == [
        f"sv-transcribe-{split}.jsonl" for split in ("train", "dev", "test")
    ]
    assert texts(corpus, "sv", "train") == [f"Mening {i}" for i in range(6)]
    assert texts(corpus, "sv", "dev") == ["Mening 6", "Mening 7"]
    test = read_manifest(corpus.manifest("sv", "transcribe", "test"))
    assert [u.duration for u in test] == [
        0.908,
        pytest.approx(1.0, abs=0.1),
    ]  # stated, and read from the header
    assert [(u.id, u.speaker) for u in test] == [
        ("common_voice_sv-SE_8", "s8"),
        ("common_voice_sv-SE_9", "s9"),
    ]
    assert not any(corpus.left_out.values())


def test_the_first_releases_leave_mp3_out(tmp_path: Path) -> None:
    folder = tmp_path / "fr"
    for number, split in enumerate(("train", "dev", "test")):
        name = clip(folder, number).removesuffix(".mp3")
        (folder / f"{split}.tsv").write_text(f"{RELEASE_4}\n{release_4(f's{number}', name, 'Oui')}\n")
    corpus = prepare_common_voice(folder, ["fr"], tmp_path / "out")
    assert [u.id for u in read_manifest(corpus.manifest("fr", "transcribe", "dev"))] == ["common_voice_fr_1"]


def test_train_has_nothing_of_dev_and_test(swedish: Path, tmp_path: Path) -> None:
    with (swedish / "train.tsv").open("a") as file:
        file.write(release_17("s8", clip(swedish, 20), "Av en talare i test") + "\n")
        file.write(release_17("s99", "common_voice_sv-SE_6.mp3", "Ett klipp i dev") + "\n")
        file.write(release_17("s1", "common_voice_sv-SE_1.mp3", "En gång till") + "\n")
        file.write(release_17("s1", clip(swedish, 21), "  ") + "\n")
        file.write(release_17("", clip(swedish, 22), "Ingen") + "\n")
    with (swedish / "dev.tsv").open("a") as file:
        file.write(release_17("", clip(swedish, 23), "Ingen heller") + "\n")
        file.write(release_17("s9", "common_voice_sv-SE_9.mp3", "Ett klipp i test") + "\n")
    corpus = prepare_common_voice(swedish, ["sv-SE"], tmp_path / "out")
    assert texts(corpus, "sv", "train") == [*(f"Mening {i}" for i in range(6)), "Ingen"]
    assert texts(corpus, "sv", "dev") == ["Mening 6", "Mening 7", "Ingen heller"]
    assert corpus.left_out["sv-train"] == {
        "speaker in dev or test too": 1, "clip in dev or test too": 1, "duplicate id": 1, "no text": 1,
    }  # fmt: skip
    assert corpus.left_out["sv-dev"] == {"clip in dev or test too": 1}


def test_speakers_are_parted_where_there_are_no_splits(tmp_path: Path) -> None:
    folder = tmp_path / "de"
    rows = [release_4(f"s{i % 40}", clip(folder, i, 0.3), f"Satz {i}") for i in range(120)]
    (folder / "validated.tsv").write_text("\n".join([RELEASE_4, *rows]))
    with pytest.raises(UsageError, match="--speaker-splits parts validated"):
        prepare_common_voice(tmp_path, ["de"], tmp_path / "out")
    corpus = prepare_common_voice(tmp_path, ["de"], tmp_path / "out", speaker_splits=True)
    found = {s: read_manifest(corpus.manifest("de", "transcribe", s)) for s in ("train", "dev", "test")}
    assert sum(map(len, found.values())) == 120
    speakers = [{u.speaker for u in utterances} for utterances in found.values()]
    assert len(set().union(*speakers)) == sum(map(len, speakers)) == 40
    assert len(found["train"]) > 60


def test_bad_rows(swedish: Path, tmp_path: Path) -> None:
    bad = [
        release_17("s", "../../../../../../etc/passwd", "Mening"),
        release_17("s", "/etc/passwd", "Mening"),
        release_17("s", "common_voice_sv-SE_404.mp3", "Mening"),
        release_17("s", clip(swedish, 30), "Mening", locale="nn-NO"),
        release_17("s", "common_voice_da_1.mp3", "Mening"),
        release_17("s", clip(swedish, 31), "En\tmening"),
        "s",
        release_17("s", clip(swedish, 32), "Mening") + "x" * 2_000_000,
        release_17("s", "", "Mening"),
        release_17("s", "x" * 300 + ".mp3", "Mening"),
        release_17("s", "a\0b.mp3", "Mening"),
        release_17("s", ".", "Mening"),
    ]
    good = (swedish / "train.tsv").read_text()
    for row in bad:
        (swedish / "train.tsv").write_text(f"{good}{row}\n")
        with pytest.raises(LorsError) as refusal:
            prepare_common_voice(swedish, ["sv-SE"], tmp_path / "out")
        assert str(refusal.value).startswith(f"{swedish / 'train.tsv'}:8: ")
        assert re.fullmatch(r"[^\n\0]{1,700}", str(refusal.value))
        assert not (tmp_path / "out").exists()
    (swedish / "train.tsv").write_text(good + "\n".join(bad) + "\n")
    corpus = prepare_common_voice(swedish, ["sv-SE"], tmp_path / "out", skip_bad=True)
    assert texts(corpus, "sv", "train") == [f"Mening {i}" for i in range(6)]
    assert sum(corpus.left_out["sv-train"].values()) == len(bad) - 3
    assert corpus.left_out["sv-train"]["path outside the corpus"] == 4
    assert corpus.left_out["sv-train"]["another language"] == 2
    assert corpus.left_out["sv-rows"] == {"malformed row": 3}


def test_a_length_that_the_file_cannot_have(swedish: Path, tmp_path: Path) -> None:
    """Seconds that lie: so few bytes of mp3 cannot last so long."""
    lengths = swedish / "clip_durations.tsv"
    lengths.write_text("clip\tduration[ms]\ncommon_voice_sv-SE_3.mp3\t29000\n")
    with pytest.raises(LorsError, match=r"train.tsv:5: .* bytes of mp3 cannot hold that"):
        prepare_common_voice(swedish, ["sv-SE"], tmp_path / "out")
    corpus = prepare_common_voice(swedish, ["sv-SE"], tmp_path / "out", skip_bad=True)
    assert corpus.left_out["sv-train"] == {"damaged audio": 1}


def test_folders_that_do_not_fit(swedish: Path, tmp_path: Path) -> None:
    release, out = swedish.parent, tmp_path / "out"
    (release / "ga-IE").mkdir()
    (release / "ga-IE" / "validated.tsv").write_text(RELEASE_4)
    for root, languages, message in (
        (tmp_path / "nowhere", ["sv"], "no such folder"),
        (release, ["sv-FI"], "has no folder 'sv-FI'; it has ga-IE, sv-SE.* Did you mean 'sv-SE'"),
        (release, ["de"], "has no folder 'de'; it has ga-IE, sv-SE"),
        (release, ["ga-IE"], "'ga-IE': a language that Whisper does not know"),
        (release, [], "no language is named; .* has ga-IE, sv-SE"),
        (swedish / "clips", ["sv"], "has no folder 'sv'; a folder with validated.tsv"),
    ):
        with pytest.raises(UsageError, match=message):
            prepare_common_voice(root, languages, out)
    (tmp_path / "cv-corpus-9.0-2022-04-27" / "sv-SE").mkdir(parents=True)
    (tmp_path / "cv-corpus-9.0-2022-04-27" / "sv-SE" / "train.tsv").write_text(RELEASE_4)
    with pytest.raises(UsageError, match="has 'sv-SE' more than once"):
        prepare_common_voice(tmp_path, ["sv"], out)
    assert not out.exists()


def test_a_language_that_contradicts_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "de"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv").write_text(RELEASE_4 + "\n")
    with pytest.raises(UsageError, match="is the folder of 'de', and 'it' was asked for"):
        prepare_common_voice(folder, ["it"], tmp_path / "out")
    with pytest.raises(LorsError, match=r"no clip is left of dev.tsv, test.tsv, train.tsv"):
        prepare_common_voice(folder, ["de"], tmp_path / "out")


def test_codes(tmp_path: Path) -> None:
    known = {"zh-CN": "zh", "zh-TW": "zh", "zh-HK": "yue", "yue": "yue", "sv-SE": "sv", "pa-IN": "pa", "nn-NO": "nn",
             "nb-NO": "no", "hy-AM": "hy", "ne-NP": "ne", "jv": "jw", "en": "en"}  # fmt: skip
    assert {locale: whisper_code(locale) for locale in known} == known
    for locale in ("ga-IE", "rm-sursilv", "rm-vallader", "nan-tw", "ckb", "eo", "kab", "lg"):
        with pytest.raises(UsageError, match=f"'{locale}': a language that Whisper does not know"):
            whisper_code(locale)
    for locale in ("zh-CN", "zh-TW", "zh-HK"):
        (tmp_path / locale).mkdir()
        (tmp_path / locale / "train.tsv").touch()
    with pytest.raises(UsageError, match="'zh' may be zh-CN or zh-TW"):
        language_names(tmp_path, ["zh"])
    with pytest.raises(UsageError, match="'zh-TW' and 'zh-CN' are both 'zh' to Whisper"):
        language_names(tmp_path, ["zh-TW", "zh-HK", "zh-CN"])
    assert language_names(tmp_path, ["Cantonese", "zh-HK", "zh-CN"]) == ["zh-HK", "zh-CN"]


def test_the_record(swedish: Path, tmp_path: Path) -> None:
    prepare_common_voice(swedish, ["sv-SE"], tmp_path / "out")
    record = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert record["settings"]["languages"] == ["sv-SE"]
    readme = (tmp_path / "out" / "README.md").read_text()
    for manifest in record["manifests"]:
        assert f"{manifest['ids_sha256']}  {manifest['name']}" in readme
    assert "CC0" in readme
    assert f"lors prepare common-voice --common-voice {swedish}" in readme
