"""On trees as voxpopuli/get_asr_data.py leaves them, against the columns that ESPnet's egs2 recipe takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.voxpopuli import prepare_voxpopuli
from lors.speech.manifest import manifest_problems

Tone = Callable[..., Path]
Read = Callable[[Path], list[dict[str, Any]]]

HEADER = [
    "id",
    "raw_text",
    "normalized_text",
    "speaker_id",
    "split",
    "gender",
    "is_gold_transcript",
    "accent",
]
NAME = "20100112-0900-PLENARY-3-es_20100112-17:01:02_2"
ROWS = {
    "train": [
        ["20090112-0900-PLENARY-3-es_20090112-17:01:02_1", 'Señor "Presidente".', "señor presidente", "125", "F", 1.0],
        ["20100112-0900-PLENARY-3-es_20100112-17:01:02_2", "", "gracias NA", "None", "M", 0.5],
        ["20100112-0900-PLENARY-3-es_20100112-17:01:02_3", "null", "null", "7", "M", 0.7],
    ],
    "dev": [["20110112-0900-PLENARY-1-es_1", "Uno.", "uno", "9", "M", 0.4]],
    "test": [["20120112-0900-PLENARY-1-es_1", "Dos.", "dos", "10", "M", 0.4]],
}  # fmt: skip


def write(root: Path, folder: str, split: str, rows: list[list[Any]], tone: Tone) -> None:
    lines = ["\t".join(HEADER)]
    for identifier, raw, normalised, speaker, gender, seconds in rows:
        tone(root / "transcribed_data" / folder / identifier[:4] / f"{identifier}.ogg", seconds)
        lines.append("\t".join((identifier, raw, normalised, speaker, split, gender, "False", "None")))
    (root / "transcribed_data" / folder / f"asr_{split}.tsv").write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture
def corpus(tmp_path: Path, tone: Tone) -> Path:
    root = tmp_path / "voxpopuli"
    for split, rows in ROWS.items():
        write(root, "es", split, rows, tone)
    write(root, "en_accented", "test", [["20130112-0900-PLENARY-1-en_1", "One.", "one", "4", "M", 0.4]], tone)
    return root


def test_the_rows_are_those_that_espnet_takes(corpus: Path, tmp_path: Path, lines_of: Read) -> None:
    """egs2's local/data.sh: awk on columns 1, 3 and 4 after the header; the audio is in the id's year."""
    out = tmp_path / "out"
    prepare_voxpopuli(corpus, ["Spanish"], out)
    for split in ROWS:
        table = (corpus / "transcribed_data" / "es" / f"asr_{split}.tsv").read_text("utf-8")
        columns = [line.split("\t") for line in table.split("\n")[1:-1]]
        expected = [(c[0], c[2], None if c[3] == "None" else c[3], c[0][:4]) for c in columns]
        found = [
            (u["id"], u["text"], u.get("speaker"), u["audio_filepath"].parent.name)
            for u in lines_of(out / f"es-transcribe-{split}.jsonl")
        ]
        assert found == expected
        assert list(manifest_problems(out / f"es-transcribe-{split}.jsonl")) == []
    assert [u["duration"] for u in lines_of(out / "es-transcribe-train.jsonl")] == [1.0, 0.5, 0.7]
    assert "CC0" in (out / "README.md").read_text("utf-8")


def test_raw_texts_are_not_all_there(corpus: Path, tmp_path: Path, lines_of: Read) -> None:
    prepared = prepare_voxpopuli(corpus, ["es"], tmp_path / "out", text="raw")
    texts = [u["text"] for u in lines_of(tmp_path / "out" / "es-transcribe-train.jsonl")]
    assert texts == ['Señor "Presidente".', "null"]
    assert prepared.left_out["es-transcribe"] == {"no text": 1}


def test_accented_english_has_a_test_alone(corpus: Path, tmp_path: Path) -> None:
    (made,) = prepare_voxpopuli(corpus, ["en_accented"], tmp_path / "out").manifests
    assert (made.name, made.clips) == ("en-transcribe-test-accented.jsonl", 1)


def test_an_older_header_will_do(corpus: Path, tmp_path: Path) -> None:
    prepare_voxpopuli(corpus, ["es"], tmp_path / "new")
    for table in (corpus / "transcribed_data" / "es").glob("*.tsv"):
        lines = [line.split("\t")[:6] for line in table.read_text("utf-8").split("\n")[:-1]]
        table.write_bytes(b"\xef\xbb\xbf" + "".join("\t".join(f) + "\r\n" for f in lines).encode())
    prepare_voxpopuli(corpus, ["es"], tmp_path / "old")
    for manifest in (tmp_path / "new").glob("*.jsonl"):
        assert (tmp_path / "old" / manifest.name).read_bytes() == manifest.read_bytes()


def test_a_column_is_missing(corpus: Path, tmp_path: Path) -> None:
    table = corpus / "transcribed_data" / "es" / "asr_train.tsv"
    table.write_text(table.read_text("utf-8").replace("normalized_text", "text"), "utf-8")
    with pytest.raises(
        LorsError, match=r"asr_train.tsv:1: the column 'normalized_text' is missing; the header names id"
    ):
        prepare_voxpopuli(corpus, ["es"], tmp_path / "out", skip_bad=True)
    table.write_text(table.read_text("utf-8").replace("gender", "id"), "utf-8")
    with pytest.raises(LorsError, match=r"asr_train.tsv:1: the column 'id' is there twice"):
        prepare_voxpopuli(corpus, ["es"], tmp_path / "out", skip_bad=True)


@pytest.mark.parametrize(
    ("old", "new", "said", "reason"),
    [
        ("\ttrain\tM\tFalse\tNone\n2010", "\tdev\tM\tFalse\tNone\n2010", "the split is 'dev'", "another split"),
        ("17:01:02_2\t", "17:01:02_2\t\t", "9 fields with tabs between them, 8 were expected", "malformed row"),
        (NAME, "../../../../x", "is no path inside", "path outside the corpus"),
        (NAME, "/etc/passwd", "is no path inside", "path outside the corpus"),
        ("17:01:02_2\t", "17:01:02_9\t", "no such audio file", "no audio file"),
    ],
)  # fmt: skip
def test_a_bad_row(corpus: Path, tmp_path: Path, old: str, new: str, said: str, reason: str) -> None:
    table = corpus / "transcribed_data" / "es" / "asr_train.tsv"
    before = table.read_text("utf-8")
    table.write_text(before.replace(old, new, 1), "utf-8")
    assert table.read_text("utf-8") != before
    with pytest.raises(LorsError) as caught:
        prepare_voxpopuli(corpus, ["es"], tmp_path / "out")
    assert str(caught.value).startswith(f"{table}:3: ") and said in str(caught.value)
    prepared = prepare_voxpopuli(corpus, ["es"], tmp_path / "out", skip_bad=True)
    assert prepared.left_out["es-transcribe"] == {reason: 1}
    assert prepared.manifests[0].clips == 2


def test_not_yet_cut(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"transcribed_data: no such folder; what voxpopuli.get_asr_data writes"
    ):
        prepare_voxpopuli(tmp_path, ["es"], tmp_path / "out")


def test_a_split_without_clips_is_an_error(corpus: Path, tmp_path: Path) -> None:
    (corpus / "transcribed_data" / "es" / "asr_dev.tsv").write_text("\t".join(HEADER) + "\n")
    with pytest.raises(LorsError, match="VoxPopuli es dev: no clip is left"):
        prepare_voxpopuli(corpus, ["es"], tmp_path / "out")
