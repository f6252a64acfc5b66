"""Data directories of Kaldi and ESPnet, written out by hand, and every way in which they can be wrong."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from lors.speech.manifest import Utterance
from lors.speech.manifests.convert import convert_manifest

from .conversion import put, read, refusal


def kaldi(folder: Path, **files: str) -> Path:
    """A data directory; `wav_scp` for wav.scp."""
    for name, content in files.items():
        put(folder / "data" / (name.replace("wav_scp", "wav.scp")), content)
    return folder / "data"


def test_kaldi_with_segments(folder: Path) -> None:
    source = kaldi(
        folder,
        wav_scp=f"rec1 {folder}/a.wav",
        segments="u1 rec1 0.5 1.25\nu2\trec1  1.25 -1",
        text="u2 y  z\nu1\tx",
        utt2spk="u1 Ana\nu2 u2",
        utt2lang="u1 es\nu2 es-MX",
    )
    (second, first), done = read(source, target_lang="en")
    assert done.source_format == "kaldi"
    assert first == Utterance(
        id="u1", audio_filepath=folder / "a.wav", offset=0.5, duration=0.75, text="x", source_lang="es",
        target_lang="en", speaker="Ana",
    )  # fmt: skip
    assert (second.text, second.offset, second.duration, second.speaker) == ("y  z", 1.25, 0.75, None)
    assert second.source_lang == "es"
    assert not done.dropped


def test_kaldi_without_segments(folder: Path) -> None:
    source = kaldi(
        folder, wav_scp=f"u1 {folder}/a.wav\nu2 {folder}/b.wav\nu3 {folder}/c.wav", text="u1 x\nu2 y", utt2dur="u1 1.9",
        spk2gender="u1 f",
    )  # fmt: skip
    (first, second), done = read(source, source_lang="es", target_lang="es")
    assert (first.duration, second.duration, first.offset) == (1.9, 2.0, 0.0)
    assert done.dropped == {"(entries of wav.scp without a text)": 1, "(the file spk2gender)": 1}


@pytest.mark.parametrize(
    ("files", "place", "what"),
    [
        (
            {"wav_scp": "u1 sox a.mp3 -t wav - |"},
            "wav.scp:1",
            "a pipe ('sox a.mp3 -t wav - |'), which is never run",
        ),
        ({"wav_scp": "u1 touch /tmp/x; cat a.wav |"}, "wav.scp:1", "which is never run"),
        ({"wav_scp": "u1 raw.ark:123"}, "wav.scp:1", "a place in an archive"),
        ({"wav_scp": "u1 a.wav\nu1 b.wav"}, "wav.scp:2", "the key 'u1' is there twice"),
        ({"wav_scp": "u1"}, "wav.scp:1", "nothing follows the key 'u1'"),
        ({"wav_scp": "r a.wav"}, "text:1", "'u1' is not in wav.scp"),
        ({"wav_scp": "u1 ../a.wav"}, "text:1", "leads out of"),
        ({"segments": "u1 r 0 1"}, "text:1", "its recording 'r' is not in wav.scp"),
        ({"segments": "u2 u1 0 1"}, "text:1", "'u1' is not in segments"),
        ({"segments": "u1 u1 1 0.5"}, "text:1", "its segment ends at 0.5 s"),
        ({"segments": "u1 u1 0 x"}, "text:1", "'segments' is 'x'; a number"),
        ({"segments": "u1 u1 0 nan"}, "text:1", "its segment ends at nan s"),
        ({"segments": "u1 u1 -1 1"}, "text:1", "'offset' is -1"),
        ({"segments": "u1 u1 0"}, "text:1", "RECORDING START END was expected"),
        ({"segments": "u1 u1 0 1 A"}, "text:1", "--drop channel"),
        (
            {"segments": "u1 u1 0 1", "utt2dur": "u1 1.5"},
            "text:1",
            "utt2dur says 1.5 s, and its segment has 1 s",
        ),
        ({"utt2dur": "u1 long"}, "text:1", "'utt2dur' is 'long'"),
        ({"text": "\nu1 x\nu1 y"}, "text:3", "the id 'u1' is that of line 2 too"),
        ({"text": "u1"}, "text:1", "'text' is empty"),
    ],
)
def test_bad_kaldi(folder: Path, files: dict[str, str], place: str, what: str) -> None:
    whole = {"wav_scp": "u1 a.wav", "text": "u1 x"} | files
    source = kaldi(folder, **whole)
    soundfile.write(source / "a.wav", np.zeros(32000), 16000)
    message = refusal(source, source_lang="es", target_lang="es")
    assert message.startswith(f"{source}/{place}: ")
    assert what in message
    assert not Path("/tmp/x").exists()


def test_kaldi_asks_for_its_files(folder: Path) -> None:
    assert "no file 'wav.scp'" in refusal(kaldi(folder, text="u x"), "kaldi")


def test_kaldi_is_written_as_its_tools_want_it(folder: Path) -> None:
    rows = [
        {
            "id": "b-2",
            "audio_filepath": "a.wav",
            "offset": 1.0,
            "duration": 0.5,
            "text": "two",
            "speaker": "b",
        },
        {"id": "b-1", "audio_filepath": "a.wav", "duration": 1.0, "text": "one", "speaker": "b"},
        {"id": "B-1", "audio_filepath": "b.wav", "duration": 2.0, "text": "ß", "normaliser": "basic"},
    ]
    source = put(folder / "m.jsonl", *({**row, "source_lang": "de", "target_lang": "en"} for row in rows))
    convert_manifest(source, folder / "data", target_format="kaldi")
    found = {path.name: path.read_text() for path in (folder / "data").iterdir()}
    assert found == {
        "wav.scp": f"B-1 {folder}/b.wav\nb-1 {folder}/a.wav\n",
        "segments": "B-1 B-1 0.0 2.0\nb-1 b-1 0.0 1.0\nb-2 b-1 1.0 1.5\n",
        "text": "B-1 ß\nb-1 one\nb-2 two\n",
        "utt2spk": "B-1 B-1\nb-1 b\nb-2 b\n",
        "spk2utt": "B-1 B-1\nb b-1 b-2\n",
        "utt2dur": "B-1 2.0\nb-1 1.0\nb-2 0.5\n",
        "utt2lang": "B-1 de\nb-1 de\nb-2 de\n",
        "utt2target_lang": "B-1 en\nb-1 en\nb-2 en\n",
        "utt2normaliser": "B-1 basic\n",
    }


def test_espnet(folder: Path) -> None:
    source = kaldi(folder, wav_scp=f"u {folder}/a.wav", utt2spk="u s")
    put(source / "text.lc.rm.es", "u buenos días")
    put(source / "text.tc.es", "u Buenos días.")
    put(source / "text.tc.en", "u Good day.")
    put(source / "text.lc.en", "u good day.")
    ((one,), done) = read(source, target_lang="en")
    assert done.source_format == "espnet"
    assert (one.text, one.source_lang, one.target_lang) == ("Good day.", "es", "en")
    assert done.dropped == {f"(the file text.{name})": 1 for name in ("lc.rm.es", "tc.es", "lc.en")}
    ((one,), _) = read(source, text_file="text.lc.rm.es", source_lang="es")
    assert (one.text, one.source_lang, one.target_lang) == ("buenos días", "es", "es")
    assert "which text is meant?" in refusal(source.rename(folder / "other"))
