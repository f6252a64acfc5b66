"""What is common to all formats: how they are told apart, what is left out and counted, what is never overwritten."""

from pathlib import Path

import pytest

from lors.base.errors import UsageError
from lors.speech.manifest import read_manifest
from lors.speech.manifests.convert import convert_manifest
from lors.speech.manifests.formats import format_of_input, format_of_output
from lors.speech.manifests.rows import ReadSettings

from .conversion import CANARY, cut, put, refusal


def test_formats_are_seen_by_names_and_contents(folder: Path) -> None:
    ours = {
        "id": "u",
        "audio_filepath": "a.wav",
        "duration": 1,
        "text": "x",
        "source_lang": "es",
        "target_lang": "es",
    }
    cases = {
        "lors": put(folder / "1.jsonl", ours),
        "nemo": put(folder / "2.jsonl", CANARY),
        "lhotse": put(folder / "3.jsonl", cut(folder)),
    }
    for kind, path in cases.items():
        assert format_of_input(path) == kind
    outputs = {"m.jsonl": "lors", "m.json": "nemo", "m.csv": "csv", "m.TSV": "tsv", "m_cuts.jsonl": "lhotse",
               "m.jsonl.gz": "lhotse", "m.tar": "webdataset", "haircuts.jsonl": "lors"}  # fmt: skip
    for name, kind in outputs.items():
        assert format_of_output(Path(name)) == kind
    for name in ("data", "m.tar.gz", "m.txt"):
        with pytest.raises(UsageError, match="Say it with --to"):
            format_of_output(Path(name))
    with pytest.raises(UsageError, match="Say it with --from"):
        format_of_input(put(folder / "m.txt", "x"))
    with pytest.raises(UsageError, match="no such file or folder"):
        format_of_input(folder / "none")


def test_an_output_that_exists_stays(folder: Path) -> None:
    source = put(folder / "m.json", CANARY)
    out = put(folder / "m.jsonl", "old")
    with pytest.raises(UsageError, match="--overwrite"):
        convert_manifest(source, out)
    assert out.read_text() == "old\n"
    convert_manifest(source, out, overwrite=True)
    assert read_manifest(out)[0].id == "a"


def test_the_other_task_is_left_out_and_counted(folder: Path) -> None:
    rows = [CANARY, CANARY | {"taskname": "asr", "target_lang": "es", "lang": "es"}]
    done = convert_manifest(put(folder / "m.json", *rows), folder / "m.jsonl", task="transcribe")
    assert (done.utterances, done.other_task) == (1, 1)
    assert read_manifest(folder / "m.jsonl")[0].target_lang == "es"


def test_what_is_dropped_is_counted(folder: Path) -> None:
    ours = {
        "id": "u",
        "audio_filepath": "a.wav",
        "duration": 1,
        "text": "x",
        "source_lang": "es",
        "target_lang": "es",
    }
    source = put(
        folder / "m.jsonl", ours | {"speaker": "Ana Ruiz", "normaliser": "basic"}, ours | {"id": "v"}
    )
    with pytest.raises(
        UsageError,
        match="in 'speaker', which Kaldi cannot hold; rename it, or leave it out with --drop speaker",
    ):
        convert_manifest(source, folder / "data", target_format="kaldi")
    done = convert_manifest(
        source, folder / "data", ReadSettings(drop=frozenset({"speaker"})), target_format="kaldi"
    )
    assert done.dropped == {"speaker": 1}
    assert (folder / "data" / "utt2normaliser").read_text() == "u basic\n"


def test_nothing_is_left(folder: Path) -> None:
    assert "no utterance is left to be written" in refusal(put(folder / "m.tsv", "id\taudio_filepath\ttext"))
