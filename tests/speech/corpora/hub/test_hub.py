"""Data sets in folders of parquet files: audio within and beside them, both tasks, splits and configurations."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lors.base.errors import UsageError
from lors.speech.corpora.hub import prepare_hub
from lors.speech.corpora.hub_files import configuration_and_split
from lors.speech.manifest import manifest_problems

from .parquet import COLUMNS, ROWS, Read, Tone, row, sound, write


def test_embedded_audio_becomes_files(dataset: Path, tmp_path: Path, lines_of: Read) -> None:
    out = tmp_path / "out"
    prepared = prepare_hub(
        str(dataset),
        out,
        columns=COLUMNS,
        source_lang="Spanish",
        splits=["train", "validation"],
        maximum_seconds=1.5,
    )
    assert [(m.name, m.clips) for m in prepared.manifests] == [
        ("es-transcribe-train.jsonl", 4),
        ("es-transcribe-dev.jsonl", 1),
    ]
    found = lines_of(out / "es-transcribe-train.jsonl")
    expected = [(1, ".flac", 0), (2, ".wav", 1), (3, ".opus", 2), (6, ".mp3", 5)]
    assert [(u["id"], u["audio_filepath"]) for u in found] == [
        (f"train-{n:07d}", (out / f"audio/train/0000/{n:07d}{suffix}").resolve()) for n, suffix, _ in expected
    ]
    for line, (_, _, index) in zip(found, expected, strict=True):
        assert line["audio_filepath"].read_bytes() == ROWS[index]["audio"]["bytes"]
    assert [u["text"] for u in found] == ['Dijo "no".', "NA", "El niño.", "Quince."]
    assert [u["duration"] for u in found] == pytest.approx([0.5, 0.75, 0.6, 0.8], abs=0.08)
    assert prepared.left_out == {"es-transcribe": {"no text": 1, "longer than 1.5 s": 1}}
    assert sum(path.is_file() for path in (out / "audio").rglob("*")) == 5, "no audio of what is left out"
    assert sorted(p.name for p in out.iterdir() if p.suffix != ".jsonl") == [
        "README.md",
        "audio",
        "prepare.json",
    ]
    assert list(manifest_problems(out / "es-transcribe-train.jsonl")) == []
    card = (out / "README.md").read_text("utf-8")
    assert "cc0-1.0" in card
    assert f"lors prepare hub {dataset} --column audio=audio --column text=sentence --source-lang es" in card
    assert "--split train,validation" in card


def test_both_tasks_with_ids_and_speakers(dataset: Path, tmp_path: Path, lines_of: Read) -> None:
    out = tmp_path / "out"
    prepared = prepare_hub(
        str(dataset),
        out,
        columns=COLUMNS | {"translation": "english", "id": "number", "speaker": "client_id"},
        source_lang="es",
        target_lang="en",
    )
    transcribed = lines_of(out / "es-transcribe-train.jsonl")
    translated = lines_of(out / "es-translate-train.jsonl")
    assert [(u["id"], u["speaker"]) for u in transcribed] == [
        (str(n), f"speaker-{n % 2}") for n in (10, 11, 12, 14, 15)
    ]
    assert [(u["id"], u["text"]) for u in translated] == [
        ("10", "He said no."),
        ("12", "The child."),
        ("14", "Very long."),
        ("15", "Fifteen."),
    ]
    audio = {u["id"]: u["audio_filepath"] for u in transcribed}
    assert all(u["audio_filepath"] == audio[u["id"]] and u["target_lang"] == "en" for u in translated)
    assert prepared.left_out == {"es-transcribe": {"no text": 1}, "es-translate": {"no text": 1}}
    assert list(manifest_problems(out / "es-translate-train.jsonl")) == []


def test_translation_alone(dataset: Path, tmp_path: Path, lines_of: Read) -> None:
    columns = {"audio": "audio", "translation": "english"}
    (made,) = prepare_hub(
        str(dataset), tmp_path / "out", columns=columns, source_lang="es", target_lang="en"
    ).manifests
    assert (made.name, made.clips) == ("es-translate-train.jsonl", 5)


def test_paths_stay_where_they_are(tmp_path: Path, tone: Tone, lines_of: Read) -> None:
    root = tmp_path / "dataset"
    clip = tone(root / "clips" / "a.wav", 0.5)
    rows = [
        row(1, {"bytes": None, "path": "clips/a.wav"}, "uno"),
        row(2, {"bytes": None, "path": str(clip)}, "dos"),
    ]
    write(root / "train.parquet", rows)
    prepare_hub(str(root), tmp_path / "out", columns=COLUMNS, source_lang="es")
    found = lines_of(tmp_path / "out" / "es-transcribe-train.jsonl")
    assert [u["audio_filepath"] for u in found] == [clip.resolve()] * 2
    assert not (tmp_path / "out" / "audio").exists()


@pytest.mark.parametrize(("kind", "value"), [(pa.binary(), sound(0.5)), (pa.string(), "clips/a.wav")])
def test_plain_columns_of_audio(tmp_path: Path, tone: Tone, kind: pa.DataType, value: Any) -> None:
    tone(tmp_path / "dataset" / "clips" / "a.wav", 0.5)
    write(tmp_path / "dataset" / "train.parquet", [row(1, value, "uno")], kind)
    (made,) = prepare_hub(
        str(tmp_path / "dataset"), tmp_path / "out", columns=COLUMNS, source_lang="es"
    ).manifests
    assert (made.clips, made.seconds) == (1, 0.5)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data/train-00000-of-00003.parquet", ("", "train")),
        ("data/train-00000-of-00001-0a1b2c3d4e5f6071.parquet", ("", "train")),
        ("test.parquet", ("", "test")),
        ("es_419/train-00000-of-00002.parquet", ("es_419", "train")),
        ("es_419/validation/0000.parquet", ("es_419", "validation")),
        ("default/train/0003.parquet", ("", "train")),
        ("train/part-0.parquet", ("", "train")),
        ("clean/train.100-00000-of-00014.parquet", ("clean", "train.100")),
        ("german/9_hours-00000-of-00001.parquet", ("german", "9_hours")),
    ],
)
def test_names_of_parquet_files(path: str, expected: tuple[str, str]) -> None:
    assert configuration_and_split(path) == expected


def test_configurations(tmp_path: Path) -> None:
    for config, rows in (("es", ROWS[:1]), ("ca", ROWS[:3])):
        write(tmp_path / "dataset" / config / "train" / "0000.parquet", rows)
    arguments: dict[str, Any] = {"columns": COLUMNS, "source_lang": "ca"}
    with pytest.raises(
        UsageError, match=r"'train' is in several configurations \(ca, es\); choose one with --config"
    ):
        prepare_hub(str(tmp_path / "dataset"), tmp_path / "out", **arguments)
    (made,) = prepare_hub(str(tmp_path / "dataset"), tmp_path / "out", config="ca", **arguments).manifests
    assert made.clips == 3
