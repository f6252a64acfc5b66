"""On trees in the layout of Europarl-ST v1.1, against a re-typed join of the fairseq recipe for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.europarl_st import prepare_europarl_st
from lors.speech.manifest import manifest_problems

Tone = Callable[..., Path]
Read = Callable[[Path], list[dict[str, Any]]]

ONE, TWO = "es.20080924.31.3-243", "es.20081023.4.3-018"
SEGMENTS = [
    (f"{ONE} 0.00 1.25", 'Señora "Presidenta".', "Madam President."),
    (f"{ONE} 1.25 2.5", "NA", "null"),
    (f"{TWO} 0.5 1.9", "Gracias.", "Thank you."),
]
FRENCH = [(f"{ONE} 0.00 2.5", "Señora Presidenta. NA", "Madame la Présidente. NA")]


def write(folder: Path, source: str, target: str, segments: list[tuple[str, str, str]]) -> None:
    folder.mkdir(parents=True)
    for name, column in (("lst", 0), (source, 1), (target, 2)):
        (folder / f"segments.{name}").write_text("".join(s[column] + "\n" for s in segments), "utf-8")


@pytest.fixture
def corpus(tmp_path: Path, tone: Tone) -> Path:
    root = tmp_path / "v1.1"
    for speech, seconds in ((ONE, 2.6), (TWO, 2.0)):
        tone(root / "es" / "audios" / f"{speech}.m4a", seconds)
    for split in ("train", "dev", "test", "train-noisy"):
        write(root / "es" / "en" / split, "es", "en", SEGMENTS)
        write(root / "es" / "fr" / split, "es", "fr", FRENCH)
    (root / "en").mkdir()
    (root / "fr").mkdir()
    return root


def fairseq(folder: Path, source: str, target: str) -> list[tuple[str, float, float, str, str]]:
    """Speech, offset, duration, source and target, as prep_europarlst_data.py (duyichao/NPDA-KNN-ST) takes them."""
    segments: list[dict[str, Any]] = []
    for line in (folder / "segments.lst").open():
        parts = line.split("\n")[0].split(" ")
        segments.append({"wav": parts[0], "offset": parts[1], "duration": float(parts[2]) - float(parts[1])})
    for language in (source, target):
        utterances = [r.strip() for r in (folder / f"segments.{language}").open(encoding="utf-8")]
        assert len(segments) == len(utterances)
        for index, utterance in enumerate(utterances):
            segments[index][language] = utterance
    return [(s["wav"], float(s["offset"]), s["duration"], s[source], s[target]) for s in segments]


def test_the_rows_are_those_of_fairseq(corpus: Path, tmp_path: Path, lines_of: Read) -> None:
    out = tmp_path / "out"
    prepared = prepare_europarl_st(corpus, ["es"], out, targets=["en", "French"])
    assert [(m.task, m.split, m.clips) for m in prepared.manifests] == [
        *(("transcribe", split, 3) for split in ("train", "dev", "test")),
        *(("translate", split, 3) for split in ("train", "dev", "test")),
        *(("translate-fr", split, 1) for split in ("train", "dev", "test")),
    ]
    for task, target, column in (("transcribe", "en", 3), ("translate", "en", 4), ("translate-fr", "fr", 4)):
        manifest = out / f"es-{task}-dev.jsonl"
        rows = fairseq(corpus / "es" / target / "dev", "es", target)
        assert [
            (u["audio_filepath"].name, u.get("offset", 0.0), u["duration"], u["text"])
            for u in lines_of(manifest)
        ] == [(f"{r[0]}.m4a", r[1], pytest.approx(r[2]), r[column]) for r in rows]
        assert list(manifest_problems(manifest)) == []
    ids = [u["id"] for u in lines_of(out / "es-translate-dev.jsonl")]
    assert ids == [f"{ONE}_0000000_0001250", f"{ONE}_0001250_0002500", f"{TWO}_0000500_0001900"]
    assert ids == [u["id"] for u in lines_of(out / "es-transcribe-dev.jsonl")]
    card = (out / "README.md").read_text("utf-8")
    assert "CC BY-NC 4.0" in card and "the transcriptions are those of es-en" in card


def test_the_noisy_part_on_request(corpus: Path, tmp_path: Path) -> None:
    made = prepare_europarl_st(
        corpus, ["es"], tmp_path / "out", targets=["en"], splits=["train-noisy"]
    ).manifests
    assert [m.name for m in made] == ["es-transcribe-train-noisy.jsonl", "es-translate-train-noisy.jsonl"]


@pytest.mark.parametrize(("file", "count"), [("segments.lst", 2), ("segments.es", 4), ("segments.en", 2)])
def test_the_numbers_of_lines_differ(corpus: Path, tmp_path: Path, file: str, count: int) -> None:
    path = corpus / "es" / "en" / "train" / file
    lines = (path.read_text("utf-8") + "one more\n").split("\n")[:count]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    numbers = {name: 3 for name in ("segments.lst", "segments.es", "segments.en")} | {file: count}
    with pytest.raises(LorsError) as caught:
        prepare_europarl_st(corpus, ["es"], tmp_path / "out", targets=["en"], skip_bad=True)
    assert ", ".join(f"{name} {number}" for name, number in numbers.items()) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said", "reason"),
    [
        (f"{ONE} 1.25", "SPEECH BEGIN END was expected", "malformed row"),
        ("", "SPEECH BEGIN END was expected", "malformed row"),
        (f"{ONE} x 2.5", "the times are 'x' and '2.5'", "malformed row"),
        (f"{ONE} -1 2.5", "the times are '-1' and '2.5'", "malformed row"),
        (f"{ONE} nan 2.5", "the times are 'nan' and '2.5'", "malformed row"),
        (f"{ONE} 2.5 1.25", "the segment lasts -1.25 s", "segment without length"),
        (f"{ONE} 1.25 9", "the segment ends at 9.00 s", "segment beyond its audio"),
        ("es.20080924.9-1 1.25 2.5", "no such audio file", "no audio file"),
        (f"{'9' * 300} 0 1", "File name too long", "no audio file"),
        ("../../../etc/x 0 1", "is no path inside", "path outside the corpus"),
        ("/etc/x 0 1", "is no path inside", "path outside the corpus"),
    ],
)
def test_a_bad_segment_moves_no_text(
    corpus: Path, tmp_path: Path, line: str, said: str, reason: str, lines_of: Read
) -> None:
    path = corpus / "es" / "en" / "train" / "segments.lst"
    lines = path.read_text().split("\n")
    lines[1] = line
    path.write_text("\n".join(lines))
    with pytest.raises(LorsError) as caught:
        prepare_europarl_st(corpus, ["es"], tmp_path / "out", targets=["en"])
    assert str(caught.value).startswith(f"{path}:2: ") and said in str(caught.value)
    prepared = prepare_europarl_st(corpus, ["es"], tmp_path / "out", targets=["en"], skip_bad=True)
    assert prepared.left_out == {"es-transcribe": {reason: 1}, "es-translate": {reason: 1}}
    texts = [u["text"] for u in lines_of(tmp_path / "out" / "es-translate-train.jsonl")]
    assert texts == ["Madam President.", "Thank you."]


def test_two_texts_for_one_stretch_of_speech(corpus: Path, tmp_path: Path, lines_of: Read) -> None:
    path = corpus / "es" / "en" / "train" / "segments.lst"
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], lines[0], *lines[2:]]))
    prepare_europarl_st(corpus, ["es"], tmp_path / "out", targets=["en"])
    ids = [u["id"] for u in lines_of(tmp_path / "out" / "es-translate-train.jsonl")]
    assert ids[:2] == [f"{ONE}_0000000_0001250", f"{ONE}_0000000_0001250_2"]


@pytest.mark.parametrize(
    ("languages", "targets", "said"),
    [
        (["es"], ["es"], "'es': the targets name no other language"),
        (["de"], ["en"], "no folder for the language 'de'"),
        (["es"], [], "no language is named"),
        (["en"], ["es"], r"en/es/train: no such folder; a split of Europarl-ST with segments.lst"),
    ],
)
def test_what_is_asked_for_is_wrong(
    corpus: Path, tmp_path: Path, languages: list[str], targets: list[str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        prepare_europarl_st(corpus, languages, tmp_path / "out", targets=targets)
