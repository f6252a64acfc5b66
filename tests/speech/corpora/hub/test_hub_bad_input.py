"""Audio, columns and files of a data set that are not what they should be."""

import sys
from pathlib import Path
from typing import Any

import pytest

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.hub import prepare_hub

from .parquet import COLUMNS, ROWS, Read, Tone, row, sound, write


@pytest.mark.parametrize(
    ("audio", "said", "reason"),
    [
        (None, "neither bytes nor a path", "no audio"),
        ({"bytes": None, "path": None}, "neither bytes nor a path", "no audio"),
        ({"bytes": b"what is this", "path": None}, "of no kind that is known", "no audio"),
        ({"bytes": b"", "path": "a.wav"}, "is empty", "damaged audio"),
        ({"bytes": sound(0.5)[:50], "path": "a.flac"}, "truncated or not audio", "damaged audio"),
        ({"bytes": b"<html>", "path": "../../evil.wav"}, "truncated or not audio", "damaged audio"),
        ({"bytes": None, "path": "../../../etc/passwd"}, "is no path inside", "path outside the data set"),
        ({"bytes": None, "path": "/etc/passwd"}, "is no path inside", "path outside the data set"),
        (
            {"bytes": None, "path": "link.wav"},
            "a symbolic link that leads out of",
            "path outside the data set",
        ),
        ({"bytes": None, "path": "clips/none.wav"}, "no such audio file", "no audio file"),
    ],
)
def test_bad_audio(tmp_path: Path, audio: Any, said: str, reason: str, tone: Tone, lines_of: Read) -> None:
    root = tmp_path / "dataset"
    rows = [row(1, {"bytes": sound(0.5), "path": "a.flac"}, "uno"), row(2, audio, "dos")]
    write(root / "train.parquet", rows)
    (root / "link.wav").symlink_to(tone(tmp_path / "outside.wav", 0.5))
    with pytest.raises(LorsError, match=said) as caught:
        prepare_hub(str(root), tmp_path / "out", columns=COLUMNS, source_lang="es")
    assert str(caught.value).startswith(f"{root}/train.parquet:2: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset", "outside.wav"]
    prepared = prepare_hub(str(root), tmp_path / "out", columns=COLUMNS, source_lang="es", skip_bad=True)
    assert prepared.left_out == {"es-transcribe": {reason: 1}}
    (line,) = lines_of(tmp_path / "out" / "es-transcribe-train.jsonl")
    written = [p for p in (tmp_path / "out" / "audio").rglob("*") if p.is_file()]
    assert [p.resolve() for p in written] == [line["audio_filepath"]]


def test_an_id_twice(dataset: Path, tmp_path: Path) -> None:
    write(dataset / "data" / "train-00001-of-00002.parquet", [ROWS[0]])
    with pytest.raises(LorsError, match=r"train-00001-of-00002.parquet:1: the id '10' is that of line 1 too"):
        prepare_hub(str(dataset), tmp_path / "out", columns=COLUMNS | {"id": "number"}, source_lang="es")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"columns": {"audio": "audio", "text": "sentense"}},
            "no column 'sentense'; .* Did you mean 'sentence'?",
        ),
        ({"columns": {"audio": "audio"}}, "audio and text, translation or both are needed"),
        ({"columns": COLUMNS | {"txt": "x"}}, "--column txt=…: the columns are audio, text"),
        ({"columns": COLUMNS | {"translation": "english"}}, "belong together"),
        ({"target_lang": "en"}, "belong together"),
        ({"columns": COLUMNS | {"translation": "english"}, "target_lang": "es"}, "both 'es'"),
        ({"source_lang": "klingon"}, "no language that Whisper knows"),
        ({"splits": ["trian"]}, "no parquet file of the split 'trian'; .* Did you mean 'train'?"),
        ({"splits": ["train", "train"]}, "give each split once"),
        ({"config": "es"}, "no parquet file of the split 'train' of 'es'"),
    ],
)
def test_what_is_asked_for_is_wrong(
    dataset: Path, tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        prepare_hub(str(dataset), tmp_path / "out", **({"columns": COLUMNS, "source_lang": "es"} | arguments))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"<html>404</html>", None])
def test_no_parquet(dataset: Path, tmp_path: Path, content: bytes | None) -> None:
    path = dataset / "data" / "train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(LorsError, match=r"train-00001-of-00002.parquet: cannot be read as parquet"):
        prepare_hub(str(dataset), tmp_path / "out", columns=COLUMNS, source_lang="es", skip_bad=True)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_parquet(tmp_path: Path) -> None:
    (tmp_path / "dataset.py").write_text("import datasets")
    with pytest.raises(UsageError, match=r"has no parquet files; .*loading scripts are not run"):
        prepare_hub(str(tmp_path), tmp_path / "out", columns=COLUMNS, source_lang="es")


def test_without_pyarrow(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"reading parquet wants pyarrow: pip install 'lors\[hub\]'"):
        prepare_hub(str(dataset), tmp_path / "out", columns=COLUMNS, source_lang="es")
