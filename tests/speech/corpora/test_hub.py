"""Data sets in parquet as the library `datasets` writes them: in folders, and behind a copy of the Hub's interface."""

import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.hub import prepare_hub
from lors.speech.corpora.hub_files import configuration_and_split
from lors.speech.manifest import manifest_problems

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


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "dataset"
    write(root / "data" / "train-00000-of-00002.parquet", ROWS[:4])
    write(root / "data" / "train-00001-of-00002.parquet", ROWS[4:])
    write(root / "data" / "validation-00000-of-00001.parquet", ROWS[:1])
    (root / "README.md").write_text("---\nlanguage:\n- es\nlicense: cc0-1.0\n---\n# A data set\n")
    return root


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


SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    """The Hub's interface for one data set; yields the (path, range) of each file that is asked for."""
    asked: list[tuple[str, str | None]] = []
    files = sorted(p.relative_to(dataset).as_posix() for p in dataset.rglob("*") if p.is_file())

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def entry(self, name: str) -> dict[str, Any]:
            return {"type": "file", "path": name, "size": (dataset / name).stat().st_size, "oid": "0" * 40}

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path in ("/api/datasets/me/set", f"/api/datasets/me/set/revision/{SHA}"):
                info = {"id": "me/set", "sha": SHA, "siblings": [{"rfilename": name} for name in files]}
                info |= {"cardData": {"license": "cc-by-4.0"}, "tags": [], "private": False}
                self.answer(json.dumps(info).encode(), Content_Type="application/json")
            elif path.startswith(f"/api/datasets/me/set/tree/{SHA}"):
                entries = [self.entry(name) for name in files]
                self.answer(json.dumps(entries).encode(), Content_Type="application/json")
            elif path.startswith(f"/datasets/me/set/resolve/{SHA}/"):
                name = path.removeprefix(f"/datasets/me/set/resolve/{SHA}/")
                wanted = self.headers.get("Range")
                asked.append((name, wanted))
                content = (dataset / name).read_bytes()
                headers = {"ETag": '"1"', "X_Repo_Commit": SHA, "Accept_Ranges": "bytes"}
                if wanted:
                    first, _, last = wanted.removeprefix("bytes=").partition("-")
                    begin, end = int(first), min(int(last or len(content)), len(content) - 1)
                    headers["Content_Range"] = f"bytes {begin}-{end}/{len(content)}"
                    self.answer(content[begin : end + 1], 206, **headers)
                else:
                    self.answer(content, **headers)
            else:
                self.answer(b"{}", 404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fields = json.loads(body) if body[:1] == b"{" else None
            paths = (
                fields["paths"]
                if fields
                else [unquote(p.partition(b"=")[2].decode()) for p in body.split(b"&")]
            )
            entries = [self.entry(name) for name in paths if name in files]
            self.answer(json.dumps(entries).encode(), Content_Type="application/json")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    for module in ("hf_api", "hf_file_system", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.constants.ENDPOINT", address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    yield asked
    server.shutdown()
    server.server_close()


def test_by_name_from_the_hub(hub: list[tuple[str, str | None]], dataset: Path, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"columns": COLUMNS, "source_lang": "es"}
    prepare_hub("me/set", tmp_path / "hub", **arguments)
    prepare_hub(str(dataset), tmp_path / "folder", **arguments)
    manifest = "es-transcribe-train.jsonl"
    assert (tmp_path / "hub" / manifest).read_bytes() == (tmp_path / "folder" / manifest).read_bytes()
    audio = [p for p in (tmp_path / "folder" / "audio").rglob("*") if p.is_file()]
    for path in audio:
        assert (tmp_path / "hub" / path.relative_to(tmp_path / "folder")).read_bytes() == path.read_bytes()
    assert {name for name, _ in hub} == {f"data/train-0000{n}-of-00002.parquet" for n in (0, 1)}
    card = (tmp_path / "hub" / "README.md").read_text("utf-8")
    assert "cc-by-4.0" in card
    assert f"https://huggingface.co/datasets/me/set, revision {SHA}" in card
    with pytest.raises(
        UsageError, match="me/other: no such folder, and no such data set on the Hugging Face Hub"
    ):
        prepare_hub("me/other", tmp_path / "other", **arguments)


def test_the_hub_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        LorsError, match="me/set: no such folder, and the Hugging Face Hub could not be asked"
    ):
        prepare_hub("me/set", tmp_path / "out", columns=COLUMNS, source_lang="es")


def test_without_pyarrow(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"reading parquet wants pyarrow: pip install 'lors\[hub\]'"):
        prepare_hub(str(dataset), tmp_path / "out", columns=COLUMNS, source_lang="es")
