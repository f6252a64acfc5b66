"""Lhotse's cuts as lhotse 1.33 writes them, and every way in which they can be wrong."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from lors.base.errors import UsageError
from lors.speech.manifest import Utterance, read_manifest
from lors.speech.manifests.convert import convert_manifest

from .conversion import cut, put, read, refusal


def test_lhotse(folder: Path) -> None:
    source = folder / "cuts.jsonl.gz"
    source.write_bytes(gzip.compress(json.dumps(cut(folder)).encode() + b"\n"))
    ((one,), _) = read(source)
    assert one == Utterance(
        id="u", audio_filepath=folder / "a.wav", offset=0.75, duration=0.5, text="hola", source_lang="es",
        target_lang="es", speaker="Ana",
    )  # fmt: skip
    plain = put(folder / "x.jsonl", cut(folder, custom={"source_lang": "fr", "target_lang": "Spanish"}))
    ((one,), done) = read(plain)
    assert (one.source_lang, one.target_lang, done.source_format) == ("fr", "es", "lhotse")


def with_source(folder: Path, **source: Any) -> dict[str, Any]:
    return cut(
        folder,
        recording={"id": "r", "sources": [{"type": "file", "channels": [0], "source": "a.wav"} | source]},
    )


def test_bad_lhotse(folder: Path) -> None:
    supervision = cut(folder)["supervisions"][0]
    bad = [
        (cut(folder, type="MixedCut"), "a cut of type 'MixedCut'"),
        (cut(folder, supervisions=[]), "the cut has no supervision"),
        (cut(folder, supervisions={}), "'supervisions' is no list of objects"),
        (cut(folder, supervisions=[supervision | {"gender": "f"}]), "no place for 'gender'"),
        (cut(folder, features={}), "no place for 'features'"),
        (cut(folder, custom=[1]), "'custom' is a list"),
        (
            cut(folder, custom={"target_lang": "en"}),
            "the supervision's language is 'Spanish', and 'target_lang' 'en'",
        ),
        (cut(folder, recording=None), "the cut has no recording"),
        (cut(folder, start=None), "'start' is null"),
        (cut(folder, start=1e300), "'start' is too large"),
        (cut(folder, start=-2), "'offset' is -1.75"),
        (cut(folder, supervisions=[supervision | {"text": None}]), "the field 'text' is missing"),
        (with_source(folder, type="command", source="touch x"), "commands are never run"),
        (with_source(folder, type="url"), "of type 'url'"),
        (with_source(folder, channels=[0, 1]), "several channels"),
        (with_source(folder, source="../a.wav"), "leads out of"),
    ]
    for one, what in bad:
        message = refusal(put(folder / "cuts.jsonl", "", one), "lhotse")
        assert message.startswith(f"{folder}/cuts.jsonl:2: "), message
        assert what in message
    (folder / "x.jsonl.gz").write_bytes(gzip.compress(b"{}" * 1000)[:-9])
    assert "damaged, or not gzip" in refusal(folder / "x.jsonl.gz")
    assert "damaged, or not gzip" in refusal(put(folder / "y.jsonl.gz", "{}"))


def test_lhotse_itself_reads_what_is_written(folder: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    line = {"id": "u", "audio_filepath": "a.wav", "offset": 0.5, "duration": 1.0, "text": "hola", "source_lang": "es",
            "target_lang": "en", "speaker": "Ana"}  # fmt: skip
    convert_manifest(put(folder / "m.jsonl", line), folder / "cuts.jsonl.gz")
    (found,) = lhotse.CutSet.from_file(folder / "cuts.jsonl.gz")
    assert lhotse.qa.validate(found, read_data=True) is None
    assert found.load_audio().shape == (1, 16000)
    (supervision,) = found.supervisions
    assert (supervision.text, supervision.language, supervision.speaker) == ("hola", "en", "Ana")
    assert (found.start, found.duration, found.source_lang) == (0.5, 1.0, "es")
    lhotse.CutSet.from_cuts([found]).to_file(folder / "again.jsonl")
    ((one,), _) = read(folder / "again.jsonl")
    assert one == read_manifest(folder / "m.jsonl")[0]


def test_a_stereo_file_is_no_mono_cut(folder: Path) -> None:
    soundfile.write(folder / "s.wav", np.zeros((16000, 2)), 16000)
    line = {
        "id": "u",
        "audio_filepath": "s.wav",
        "duration": 1.0,
        "text": "x",
        "source_lang": "es",
        "target_lang": "es",
    }
    with pytest.raises(UsageError, match="2 channels; a MonoCut is of one"):
        convert_manifest(put(folder / "m.jsonl", line), folder / "cuts.jsonl")
