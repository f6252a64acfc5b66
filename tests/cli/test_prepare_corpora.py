"""`lors prepare fleurs` and its like, as typed; what the readers do is tested beside them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from lors.speech.manifest import read_manifest

Make = Callable[[Path], list[str]]


def lors(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert "Traceback" not in result.stderr
    return result


def tone(path: Path, seconds: float = 0.5, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * 16000)) / 16000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * time), 16000, **options)
    return path


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), "utf-8")


def fleurs(root: Path) -> list[str]:
    for folder, words in (("es_419", "Hola."), ("en_us", "Hello.")):
        for split in ("train", "dev", "test"):
            tone(root / folder / "audio" / split / "1.wav")
            text(root / folder / f"{split}.tsv", "\t".join(("5", "1.wav", words, words, "x", "8000", "MALE")))
    return ["fleurs", "--languages", "es", "--targets", "en"]


def multilingual_librispeech(root: Path) -> list[str]:
    for split in ("train", "dev", "test"):
        tone(root / "mls_spanish" / split / "audio" / "1" / "2" / "1_2_3.flac")
        text(root / "mls_spanish" / split / "transcripts.txt", "1_2_3\thola")
    return ["multilingual-librispeech", "--languages", "es"]


def voxpopuli(root: Path) -> list[str]:
    folder = root / "transcribed_data" / "es"
    tone(folder / "2009" / "2009-1.ogg", format="OGG", subtype="VORBIS")
    for split in ("train", "dev", "test"):
        header = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender"
        text(folder / f"asr_{split}.tsv", header, f"2009-1\tHola.\thola\t7\t{split}\tM")
    return ["voxpopuli", "--languages", "es"]


def europarl_st(root: Path) -> list[str]:
    tone(root / "es" / "audios" / "es.1.wav").rename(root / "es" / "audios" / "es.1.m4a")
    (root / "en").mkdir()
    for split in ("train", "dev", "test"):
        for name, line in (("lst", "es.1 0.0 0.4"), ("es", "Hola."), ("en", "Hello.")):
            text(root / "es" / "en" / split / f"segments.{name}", line)
    return ["europarl-st", "--languages", "es", "--targets", "en"]


def must_c(root: Path) -> list[str]:
    for split in ("train", "dev", "tst-COMMON", "tst-HE"):
        folder = root / "en-es" / "data" / split
        tone(folder / "wav" / "ted_1.wav")
        text(
            folder / "txt" / f"{split}.yaml",
            "- {duration: 0.4, offset: 0.0, speaker_id: spk.1, wav: ted_1.wav}",
        )
        text(folder / "txt" / f"{split}.en", "Hello.")
        text(folder / "txt" / f"{split}.es", "Hola.")
    return ["must-c", "--targets", "es"]


CORPORA: dict[Make, tuple[list[str], str]] = {
    fleurs: (["es-transcribe", "es-translate"], "es_419/train.tsv"),
    multilingual_librispeech: (["es-transcribe"], "mls_spanish/train/transcripts.txt"),
    voxpopuli: (["es-transcribe"], "transcribed_data/es/asr_train.tsv"),
    europarl_st: (["es-transcribe", "es-translate"], "es/en/train/segments.lst"),
    must_c: (["en-transcribe", "en-translate-es"], "en-es/data/train/txt/train.yaml"),
}


@pytest.mark.parametrize("make", CORPORA)
def test_a_corpus(make: Make, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    command = ["prepare", *make(corpus), "--corpus", str(corpus), "--out", str(out)]
    result = lors(*command)
    assert result.returncode == 0, result.stderr
    names, table = CORPORA[make]
    splits = ["train", "dev", "test"] + (["test-he"] if make is must_c else [])
    assert {p.name for p in out.glob("*.jsonl")} == {
        f"{name}-{split}.jsonl" for name in names for split in splits
    }
    for manifest in out.glob("*.jsonl"):
        (utterance,) = read_manifest(manifest)
        assert utterance.text.lower().rstrip(".") == ("hello" if utterance.target_lang == "en" else "hola")
    for kind in names:
        assert kind.split("-")[1] in result.stdout
    again = lors(*command)
    assert again.returncode == 2 and "the output exists already" in again.stderr

    path = corpus / table
    path.write_text(path.read_text("utf-8") + "nonsense\n", "utf-8")
    bad = lors(*command, "--overwrite")
    assert bad.returncode != 0
    assert bad.stderr.startswith(f"lors: {path}") and bad.stderr.count("\n") == 1
    assert {p.name for p in out.glob("*.jsonl")}, "what was there stays"


def test_a_row_is_skipped_and_told(tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    command = ["prepare", *fleurs(corpus), "--corpus", str(corpus), "--out", str(out)]
    table = corpus / "es_419" / "train.tsv"
    table.write_text(table.read_text() + "6\t../../x.wav\tUno.\tuno\tx\t8000\tMALE\n")
    refused = lors(*command)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"lors: {table}:2: '../../x.wav' is no path inside {corpus}; mend it, or pass --skip-bad to leave such rows "
        "out and count them.\n"
    ).replace("'../../x.wav'", "'es_419/audio/train/../../x.wav'")
    result = lors(*command, "--skip-bad")
    assert result.returncode == 0
    assert "es-transcribe, left out: 1 path outside the corpus" in result.stdout


def test_a_data_set(tmp_path: Path) -> None:
    clip = tone(tmp_path / "a.flac").read_bytes()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("audio", kind), ("sentence", pa.string()), ("english", pa.string())])
    rows = [{"audio": {"bytes": clip, "path": "a.flac"}, "sentence": "Hola.", "english": "Hello."}]
    (tmp_path / "set" / "data").mkdir(parents=True)
    for split in ("train", "validation"):
        path = tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    out = tmp_path / "out"
    flags = [
        "--column",
        "audio=audio",
        "--column",
        "text=sentence",
        "--column",
        "translation=english",
        "--source-lang",
        "es",
    ]
    command = [
        "prepare",
        "hub",
        tmp_path / "set",
        *flags,
        "--target-lang",
        "en",
        "--split",
        "train",
        "--out",
        out,
    ]
    result = lors(*command, "--split", "validation")
    assert result.returncode == 0, result.stderr
    assert {p.name for p in out.glob("*.jsonl")} == {
        f"es-{task}-{split}.jsonl" for task in ("transcribe", "translate") for split in ("train", "dev")
    }
    (utterance,) = read_manifest(out / "es-translate-dev.jsonl")
    assert (utterance.text, utterance.audio_filepath.read_bytes()) == ("Hello.", clip)
    assert utterance.audio_filepath.is_relative_to(out)

    wrong = lors(
        "prepare", "hub", tmp_path / "set", "--column", "sentence", "--source-lang", "es", "--out", out
    )
    assert wrong.returncode == 2
    assert (
        wrong.stderr
        == "lors: --column sentence: ROLE=COLUMN was expected, each role once, as text=sentence.\n"
    )


def test_the_hub_is_not_reached(tmp_path: Path) -> None:
    flags = ["--column", "audio=audio", "--column", "text=text", "--source-lang", "es"]
    result = lors(
        "prepare", "hub", "me/set", *flags, "--out", tmp_path / "out", HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert result.returncode == 1
    assert result.stderr.startswith(
        "lors: me/set: no such folder, and the Hugging Face Hub could not be asked"
    )
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
