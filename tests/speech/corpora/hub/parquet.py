"""Data sets in parquet as the library `datasets` writes them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

Tone = Callable[..., Path]


Read = Callable[[Path], list[dict[str, Any]]]


AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


COLUMNS = {"audio": "audio", "text": "sentence"}


def sound(seconds: float, kind: str = "FLAC") -> bytes:
    buffer = io.BytesIO()
    time = np.arange(round(seconds * 16000)) / 16000
    soundfile.write(buffer, 0.3 * np.sin(2 * np.pi * 440 * time), 16000, format=kind)
    return buffer.getvalue()


def write(path: Path, rows: list[dict[str, Any]], audio: pa.DataType = AUDIO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = [("audio", audio), ("sentence", pa.string()), ("english", pa.string())]
    fields += [("client_id", pa.string()), ("number", pa.int64())]
    table = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    pq.write_table(table, path, row_group_size=2)


def row(number: int, audio: Any, sentence: str | None, english: str | None = "") -> dict[str, Any]:
    return {
        "audio": audio,
        "sentence": sentence,
        "english": english,
        "client_id": f"speaker-{number % 2}",
        "number": number,
    }


ROWS = [
    row(10, {"bytes": sound(0.5), "path": "a b/../ten.flac"}, 'Dijo "no".', "He said no."),
    row(11, {"bytes": sound(0.75, "WAV"), "path": None}, "NA", None),
    row(12, {"bytes": sound(0.6, "OGG"), "path": "twelve.opus"}, "El nin\u0303o.", "The child."),
    row(13, {"bytes": sound(0.4, "MP3"), "path": None}, None, "Nothing was said."),
    row(14, {"bytes": sound(1.9), "path": "fourteen.flac"}, "Muy largo.", "Very long."),
    row(15, {"bytes": sound(0.8, "MP3"), "path": ""}, "Quince.", "Fifteen."),
]
