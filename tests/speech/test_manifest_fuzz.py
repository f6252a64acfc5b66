"""Whatever stands in a file: rows or one sentence, never anything else, and never for long."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lors.base.errors import LorsError
from lors.speech.manifest import manifest_problems, read_manifest
from lors.speech.manifests.check import check_manifest
from lors.speech.manifests.convert import convert_manifest
from lors.speech.manifests.rows import ReadSettings

UGLY: list[Any] = [
    "", " ", "NA", "null", "\ufeff", "e\u0301", "a\tb", "a\nb", "\r", '"', '"a', "x" * 3000, "-1", "1e400", "nan",
    "inf",
    "../../etc/passwd", "/etc/passwd", "/dev/zero", "/dev/stdin", "a.wav", ".", "..", "a\x00b", "sox |", "| sox", "-",
    "x.ark:5", "\ud800", "es", "en", "xx", "asr", "ast", "\u2028", "~", "loop.wav", "0", "1.5", "--drop",
]  # fmt: skip
scalars = (
    st.sampled_from(UGLY) | st.text(max_size=5) | st.floats() | st.integers() | st.booleans() | st.none()
)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=5), scalars, max_size=2)
names = st.sampled_from(
    ["id", "audio_filepath", "duration", "offset", "text", "source_lang", "target_lang", "speaker", "normaliser",
     "answer", "lang", "taskname", "task", "pnc", "supervisions", "recording", "custom", "start", "type", "channel"]
)  # fmt: skip
GOOD = {
    "id": "a",
    "audio_filepath": "a.wav",
    "duration": 1.0,
    "text": "hola",
    "source_lang": "es",
    "target_lang": "en",
}
CUT = {
    "id": "c", "start": 0.0, "duration": 1.0, "channel": 0, "type": "MonoCut", "custom": {"source_lang": "es"},
    "supervisions": [{"id": "u", "start": 0.0, "duration": 1.0, "text": "x", "language": "en"}],
    "recording": {"sources": [{"type": "file", "channels": [0], "source": "a.wav"}]},
}  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn, good: dict[str, Any]) -> dict[str, Any]:
    """A good object with some values that are not."""
    found = json.loads(json.dumps(good))
    for name in draw(st.lists(names, max_size=3)):
        found[name] = draw(values)
    place = found
    while draw(st.booleans()):  # and some deep inside
        inner = [
            one
            for one in (place.values() if isinstance(place, dict) else place)
            if isinstance(one, dict | list) and one
        ]
        if not inner:
            break
        place = draw(st.sampled_from(inner))
    if isinstance(place, dict) and place:
        place[draw(st.sampled_from(sorted(place)))] = draw(values)
    return found


def json_lines(good: dict[str, Any]) -> st.SearchStrategy[bytes]:
    line = st.one_of(
        spoilt(good).map(lambda one: json.dumps(one).encode()),
        st.just(json.dumps(good).encode()),
        st.binary(max_size=40),
        st.sampled_from(["[" * 5000, "{}", "null", '{"a":1,"a":2}', "1" * 5000]).map(str.encode),
    )
    return st.lists(line, max_size=4).map(lambda lines: b"\n".join(lines))


cells = st.sampled_from([one for one in UGLY if one != "\ud800"]) | st.text(max_size=6).filter(
    lambda t: t.isprintable()
)
tables = st.lists(st.lists(cells, min_size=5, max_size=7), max_size=4)
HEADER = ["id", "audio_filepath", "duration", "text", "source_lang", "target_lang"]
kaldi_values = (
    cells
    | st.tuples(cells, cells).map(" ".join)
    | st.sampled_from(["a.wav", "u 0 1", "u 0 -1", "u 1 0", "1.0"])
)
kaldi_files = st.fixed_dictionaries(
    {"wav.scp": st.lists(kaldi_values), "text": st.lists(kaldi_values)},
    optional={
        name: st.lists(kaldi_values) for name in ("segments", "utt2dur", "utt2spk", "utt2lang", "text.tc.en")
    },
)
LANGUAGES = ReadSettings(source_lang="es", target_lang="en")


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "a.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    return path


@pytest.fixture
def fresh(audio: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes folders with a.wav, and a link that leads to itself."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("fuzz")
        (folder / "a.wav").write_bytes(audio.read_bytes())
        (folder / "loop.wav").symlink_to("loop.wav")
        return folder

    return make


def survives(source: Path, kind: Any) -> None:
    """It is read or refused; what is read is a good manifest, and what is skipped was counted."""
    out = source.parent / "out.jsonl"
    for skip_bad in (False, True):
        settings = ReadSettings(source_lang="es", target_lang="en")
        try:
            done = convert_manifest(
                source, out, settings, source_format=kind, skip_bad=skip_bad, overwrite=True
            )
        except LorsError as error:
            assert str(error)
            assert not out.exists()
        else:
            assert len(read_manifest(out, check_audio=False)) == done.utterances
            assert skip_bad or not done.bad_rows
            out.unlink()


fuzz = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzz
@given(json_lines(GOOD))
def test_ours(fresh: Any, content: bytes) -> None:
    source = fresh() / "m.jsonl"
    source.write_bytes(content)
    problems = list(manifest_problems(source))
    assert list(check_manifest(source)) == problems
    lines = content.split(b"\n")
    assert all(1 <= number <= len(lines) and lines[number - 1].strip() for number, _ in problems)


@fuzz
@given(json_lines(GOOD))
def test_nemo(fresh: Any, content: bytes) -> None:
    source = fresh() / "m.json"
    source.write_bytes(content)
    survives(source, "nemo")


@fuzz
@given(json_lines(CUT), st.booleans(), st.integers(0, 200))
def test_lhotse(fresh: Any, content: bytes, compress: bool, cut_off: int) -> None:
    source = fresh() / ("m.jsonl.gz" if compress else "m.jsonl")
    source.write_bytes(gzip.compress(content)[: -cut_off or None] if compress else content)
    survives(source, "lhotse")


@fuzz
@given(tables, st.sampled_from(["csv", "tsv"]), st.sampled_from(["\n", "\r\n", "\r"]), st.binary(max_size=20))
def test_tables(fresh: Any, rows: list[list[str]], kind: str, end: str, tail: bytes) -> None:
    source = fresh() / f"m.{kind}"
    parted = "," if kind == "csv" else "\t"
    source.write_bytes(end.join(parted.join(row) for row in [HEADER, *rows]).encode() + tail)
    survives(source, kind)


@fuzz
@given(kaldi_files, st.booleans())
def test_kaldi(fresh: Any, files: dict[str, list[str]], espnet: bool) -> None:
    folder = fresh() / "data"
    folder.mkdir()
    (folder / "a.wav").write_bytes((folder.parent / "a.wav").read_bytes())
    for name, lines in files.items():
        content = "\n".join(
            ("u " if number == 0 else f"u{number} ") + line for number, line in enumerate(lines)
        )
        (folder / name).write_bytes(content.encode())
    survives(folder, "espnet" if espnet else "kaldi")


@fuzz
@given(
    st.dictionaries(
        st.sampled_from(["a.txt", "a.json", "b.wav", "b.txt", "c.json"]),
        st.binary(max_size=30) | json_lines(GOOD),
    )
)
def test_folders(fresh: Any, files: dict[str, bytes]) -> None:
    folder = fresh() / "data"
    folder.mkdir()
    (folder / "a.wav").write_bytes((folder.parent / "a.wav").read_bytes())
    (folder / "l.wav").symlink_to("l.wav")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    survives(folder, "folder")


member_names = st.sampled_from(
    ["a.wav", "a.txt", "a.json", "b.flac", "b.txt", "../a.wav", "/a.wav", "d/../../a.txt", "d/a.wav", ".wav", "a",
     "x.tar",
     "\\a.txt", "a.WAV", "a.b.txt", "a" * 200 + ".wav", "é.wav", "./a.wav"]
)  # fmt: skip


@fuzz
@given(st.lists(st.tuples(member_names, st.sampled_from([b"0", b"1", b"2", b"3", b"5", b"6"]), st.binary(max_size=30))),
       st.booleans(), st.integers(0, 2000))  # fmt: skip
def test_shards(fresh: Any, members: list[tuple[str, bytes, bytes]], real: bool, cut_off: int) -> None:
    folder = fresh()
    wav = (folder / "a.wav").read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, content in members:
            about = tarfile.TarInfo(name)
            about.type, about.linkname = kind, "/etc/passwd"
            content = wav if real and name.endswith("wav") else content
            about.size = len(content) if kind == b"0" else 0
            archive.addfile(about, io.BytesIO(content))
    source = folder / "in.tar"
    source.write_bytes(buffer.getvalue()[: -cut_off or None])
    survives(source, "webdataset")
    assert {path.name for path in folder.iterdir()} <= {
        "a.wav",
        "loop.wav",
        "in.tar",
        "out.jsonl",
        "out-audio",
    }
    assert not any(path.is_symlink() for path in (folder / "out-audio").rglob("*"))
    assert not (folder.parent / "a.wav").exists()
