"""Files as other tools write them, written out by hand, and every way in which they can be wrong."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from lors.base.errors import LorsError, UsageError
from lors.speech.manifest import Utterance, read_manifest
from lors.speech.manifests.convert import Converted, convert_manifest
from lors.speech.manifests.formats import format_of_input, format_of_output
from lors.speech.manifests.rows import ReadSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two seconds of audio in a.wav and b.wav."""
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(32000), 16000)
    return tmp_path


def put(path: Path, *lines: Any) -> Path:
    """Lines, objects as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = (
        one if isinstance(one, bytes) else (one if isinstance(one, str) else json.dumps(one)).encode()
        for one in lines
    )
    path.write_bytes(b"".join(one + b"\n" for one in texts))
    return path


def read(
    source: Path, kind: Any = None, skip_bad: bool = False, **settings: Any
) -> tuple[list[Utterance], Converted]:
    """What a source holds, by way of our manifest."""
    out = source.parent / "read.jsonl"
    done = convert_manifest(
        source, out, ReadSettings(**settings), source_format=kind, skip_bad=skip_bad, overwrite=True
    )
    return read_manifest(out, check_audio=False), done


def refusal(source: Path, kind: Any = None, **settings: Any) -> str:
    """The sentence with which it is refused."""
    (source.parent / "read.jsonl").unlink(missing_ok=True)
    with pytest.raises(LorsError) as caught:
        read(source, kind, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert not (source.parent / "read.jsonl").exists()
    return message


# NeMo and Canary

CANARY = {
    "audio_filepath": "a.wav", "duration": 1.5, "taskname": "ast", "source_lang": "es", "target_lang": "en",
    "text": "good day", "answer": "good day", "lang": "en",
}  # fmt: skip


def test_canary(folder: Path) -> None:
    source = put(
        folder / "m.json", CANARY, "", CANARY | {"audio_filepath": str(folder / "b.wav"), "offset": 0.25}
    )
    (first, second), done = read(source)
    assert done.source_format == "nemo"
    assert first == Utterance(
        id="a", audio_filepath=folder / "a.wav", duration=1.5, text="good day", source_lang="es", target_lang="en"
    )  # fmt: skip
    assert (second.id, second.offset) == ("b-000025-000150", 0.25)  # as NeMo names such a cut


def test_nemo_that_says_little(folder: Path) -> None:
    source = put(folder / "m.json", {"audio_filepath": "a.wav", "text": "hola", "lang": "es"})
    ((one,), _) = read(source)
    assert (one.duration, one.source_lang, one.target_lang) == (2.0, "es", "es")
    source = put(
        folder / "m.json", {"audio_filepath": "a.wav", "text": "hola", "duration": None, "speaker": None}
    )
    ((one,), _) = read(source, source_lang="es", target_lang="es")
    assert (one.duration, one.speaker) == (2.0, None)


def test_canary_for_inference_has_no_answer(folder: Path) -> None:
    ((one,), _) = read(put(folder / "m.json", CANARY | {"answer": "na"}))
    assert one.text == "good day"
    without_text = {name: value for name, value in CANARY.items() if name != "text"}
    ((one,), _) = read(
        put(folder / "m.json", without_text | {"answer": "na"})
    )  # a text, for there is no other
    assert one.text == "na"


def test_a_transcript_beside_the_translation(folder: Path) -> None:
    source = put(folder / "m.json", CANARY | {"text": "buenos días"})
    assert "'text' and 'answer' differ" in refusal(source)
    ((one,), done) = read(source, drop=frozenset({"text"}))
    assert one.text == "good day"
    assert done.dropped == {"text": 1}
    ((one,), _) = read(source, drop=frozenset({"answer"}))
    assert one.text == "buenos días"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"pnc": "yes"}, "our manifests have no place for 'pnc'; leave it out with --drop pnc."),
        ({"taskname": "asr"}, "its task is to transcribe, and from es to en is to translate"),
        ({"taskname": "dance"}, "the task 'dance' is not known"),
        ({"lang": "fr"}, "'lang' is 'fr' and 'target_lang' 'en'"),
        ({"source_lang": "xx"}, "'xx' is no language"),
        ({"source_lang": None}, "it does not say 'source_lang'; give --source-lang."),
        ({"offset": -1}, "'offset' is -1"),
        ({"duration": -1}, "'duration' is -1"),
        ({"duration": "2"}, "'duration' is a string"),
        ({"duration": None, "audio_filepath": "c.wav"}, "it says no duration, and"),
        ({"duration": None, "offset": 9.0}, "ends before its offset of 9 s"),
        ({"audio_filepath": 3}, "'audio_filepath' is a number"),
        ({"audio_filepath": None}, "the field 'audio_filepath' is missing"),
        ({"audio_filepath": "../a.wav"}, "leads out of"),
        ({"text": "", "answer": ""}, "'text' is empty"),
    ],
)
def test_bad_canary(folder: Path, change: dict[str, Any], what: str) -> None:
    source = put(folder / "in" / "m.json", "", CANARY | {"audio_filepath": "x.wav"}, CANARY | change)
    (folder / "a.wav").rename(folder / "in" / "a.wav")
    message = refusal(source, "nemo")
    assert message.startswith(f"{source}:3: ")
    assert what in message


def test_bad_rows_can_be_skipped_and_are_counted(folder: Path) -> None:
    source = put(
        folder / "m.json",
        CANARY,
        "{",
        CANARY,
        CANARY | {"id": "z", "offset": -1},
        b"\xff",
        CANARY | {"id": "y"},
    )
    found, done = read(source, "nemo", skip_bad=True)
    assert [one.id for one in found] == ["a", "y"]
    assert done.bad_rows == 4
    assert [place for place, _ in done.bad] == [f"{source}:{number}" for number in (2, 3, 4, 5)]
    assert done.bad[1][1] == "the id 'a' is that of line 1 too."


# Tables


def test_csv_as_spreadsheets_write_it(folder: Path) -> None:
    source = folder / "m.csv"
    source.write_bytes(
        b"\xef\xbb\xbfpath,sentence,client_id,locale\r\n"
        b'a.wav,"He said ""NA"", then\r\nleft",c1,en\r\n'
        b"b.wav,null,,en\r\n"
    )
    columns = {"id": "path", "audio_filepath": "path", "text": "sentence", "speaker": "client_id",
               "source_lang": "locale",
               "target_lang": "locale"}  # fmt: skip
    (first, second), _ = read(source, columns=columns)
    assert (first.id, first.text, first.speaker) == ("a.wav", 'He said "NA", then\r\nleft', "c1")
    assert (second.text, second.speaker, second.duration) == ("null", None, 2.0)


def test_a_tsv_has_no_quotes(folder: Path) -> None:
    source = put(
        folder / "m.tsv",
        "id\taudio_filepath\ttext\tup_votes",
        '1\ta.wav\t"quoted" and " alone\t2',
        "2\tb.wav\tNA\t",
    )
    found, done = read(source, source_lang="en", target_lang="en", drop=frozenset({"up_votes"}))
    assert [one.text for one in found] == ['"quoted" and " alone', "NA"]
    assert done.dropped == {"up_votes": 1}


HEADER = "id,audio_filepath,duration,text,source_lang,target_lang"


@pytest.mark.parametrize(
    ("lines", "place", "what"),
    [
        (
            ["id,text"],
            1,
            "no column 'audio_filepath'; name the one that holds it with --column audio_filepath=NAME",
        ),
        ([HEADER + ",votes"], 1, "votes: columns that a manifest has no place for"),
        ([HEADER + ",id"], 1, "the column 'id' is there twice"),
        ([], 1, "no column 'id'"),
        ([HEADER, "u,a.wav,1"], 2, "3 cells; 6 were expected"),
        ([HEADER, "u,a.wav,1,x,es,en,"], 2, "7 cells"),
        ([HEADER, "", 'u,a.wav,1,"x', "", "y,es,en"], 3, "not CSV (unexpected end of data)"),
        ([HEADER, 'u,a.wav,1,"x" y,es,en'], 2, "not CSV"),
        ([HEADER, "u,a.wav,1,x\ry,es,en"], 2, "not CSV"),
        ([HEADER, 'u,a.wav,1,"x', 'y",es,en', "v,a.wav,one,x,es,en"], 4, "'duration' is 'one'; a number"),
        ([HEADER, 'u,a.wav,1,"x', b'\xff",es,en'], 2, "not UTF-8 (byte 1)"),
        ([HEADER, b"\xff,a.wav,1,x,es,en"], 2, "not UTF-8 (byte 1)"),
        ([HEADER, "u,a.wav,1,,es,en"], 2, "'text' is empty"),
        ([HEADER, "u,a.wav,nan,x,es,en"], 2, "'duration' is too large or no number"),
        ([HEADER, "u,../../etc/passwd,1,x,es,en"], 2, "leads out of"),
        (
            [HEADER, "u,a.wav,1,x,es,en", "v,b.wav,1,x,es,en", "u,b.wav,1,x,es,en"],
            4,
            "the id 'u' is that of line 2 too",
        ),
        ([HEADER, "u,a.wav,1," + "x" * 10_000_000 + ",es,en"], 2, "the line is longer than 1 MiB"),
        (
            [HEADER, "u,a.wav,1," + "x" * 200_000 + ",es,en"],
            2,
            "not CSV (field larger than field limit (131072))",
        ),
    ],
)
def test_bad_tables(folder: Path, lines: list[Any], place: int, what: str) -> None:
    source = put(folder / "m.csv", *lines)
    message = refusal(source)
    assert message.startswith(f"{source}:{place}: ")
    assert what in message


def test_rows_after_one_that_is_no_text_are_read(folder: Path) -> None:
    source = put(
        folder / "m.csv",
        HEADER,
        b"\xff,a.wav,1,x,es,en",
        "v,a.wav,1,x,es,en",
        "w" * 2_000_000,
        "x,a.wav,1,x,es,en",
    )
    found, done = read(source, skip_bad=True)
    assert [one.id for one in found] == ["v", "x"]
    assert [place for place, _ in done.bad] == [f"{source}:2", f"{source}:4"]


def test_a_column_map_that_is_wrong(folder: Path) -> None:
    source = put(folder / "m.csv", HEADER)
    assert "no column 'sentense'; there are id" in refusal(source, columns={"text": "sentense"})
    assert "'txt' is no field of a manifest" in refusal(source, columns={"txt": "text"})


# Kaldi and ESPnet


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


# Lhotse


def cut(folder: Path, **more: Any) -> dict[str, Any]:
    """As lhotse 1.33 wrote it."""
    return {
        "id": "c-0", "start": 0.5, "duration": 1.0, "channel": 0,
        "supervisions": [{
            "id": "u", "recording_id": "r", "start": 0.25, "duration": 0.5, "channel": 0, "text": "hola",
            "language": "Spanish", "speaker": "Ana",
        }],
        "recording": {
            "id": "r", "sources": [{"type": "file", "channels": [0], "source": str(folder / "a.wav")}],
            "sampling_rate": 16000, "num_samples": 32000, "duration": 2.0, "channel_ids": [0],
        },
        "type": "MonoCut",
    } | more  # fmt: skip


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


# Folders and shards


def test_a_folder_of_wav_and_txt(folder: Path) -> None:
    (folder / "in" / "ana").mkdir(parents=True)
    for name in ("b", "a"):
        (folder / f"{name}.wav").rename(folder / "in" / "ana" / f"{name}.WAV")
        (folder / "in" / "ana" / f"{name}.txt").write_bytes(b"\xef\xbb\xbfhola\r\n")
    (folder / "in" / "README.txt").write_text("about")
    (first, second), done = read(folder / "in", source_lang="es", target_lang="es")
    assert done.source_format == "folder"
    assert (first.id, first.text, first.duration) == ("ana/a", "hola", 2.0)
    assert second.audio_filepath == folder / "in" / "ana" / "b.WAV"
    assert done.dropped == {"(files that are no clip's)": 1}


def test_links_out_of_a_folder(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "a.wav").symlink_to(folder / "a.wav")
    (folder / "in" / "a.txt").write_text("x")
    assert "leads out of" in refusal(folder / "in", source_lang="es", target_lang="es")
    ((one,), _) = read(folder / "in", source_lang="es", target_lang="es", audio_anywhere=True)
    assert one.duration == 2.0
    (folder / "read.jsonl").unlink()
    (folder / "in" / "a.wav").unlink()
    (folder / "in" / "a.txt").unlink()
    (folder / "a.wav").rename(folder / "in" / "a.wav")
    (folder / "secret").write_text("password")
    (folder / "in" / "a.txt").symlink_to(folder / "secret")
    message = refusal(folder / "in", source_lang="es", target_lang="es")
    assert "'a.txt' leads out of" in message and "password" not in message


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({}, "no 'a.txt' is beside it"),
        ({"a.txt": b""}, "'text' is empty"),
        ({"a.txt": b"\xff"}, "not UTF-8"),
        ({"a.txt": b"x" * 2_000_000}, "larger than 1 MiB"),
        ({"a.txt": b"x", "a.json": b'{"text": "y"}'}, "have different texts"),
        ({"a.txt": b"x", "a.json": b"[]"}, "a JSON object was expected"),
        ({"a.txt": b"x", "a.json": b'{"mood": 1}'}, "no place for 'mood'"),
    ],
)
def test_bad_folders(folder: Path, files: dict[str, bytes], what: str) -> None:
    (folder / "in").mkdir()
    (folder / "a.wav").rename(folder / "in" / "a.wav")
    for name, content in files.items():
        (folder / "in" / name).write_bytes(content)
    message = refusal(folder / "in", "folder", source_lang="es", target_lang="es")
    assert message.startswith(f"{folder}/in/a.wav: ")
    assert what in message


def shard(path: Path, *members: tuple[str, bytes | tarfile.TarInfo], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            if isinstance(content, bytes):
                about = tarfile.TarInfo(name)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
            else:
                content.name = name
                archive.addfile(content)
    return path


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    about = tarfile.TarInfo()
    about.type, about.linkname = kind, target
    return about


def test_shards(folder: Path) -> None:
    wav = (folder / "a.wav").read_bytes()
    (folder / "shards").mkdir()
    shard(
        folder / "shards" / "1.tar",
        ("./d/x.wav", wav),
        ("./d/x.txt", b"uno"),
        ("y.wav", wav),
        ("y.json", b'{"text": "dos", "id": "Y"}'),
    )
    shard(folder / "shards" / "2.tar.gz", ("y.json", b'{"text": "tres"}'), ("y.wav", wav), mode="w:gz")
    found, done = read(folder / "shards", source_lang="es", target_lang="es")
    assert done.source_format == "webdataset"
    assert [(one.id, one.text, one.duration) for one in found] == [
        ("d/x", "uno", 2.0),
        ("Y", "dos", 2.0),
        ("y", "tres", 2.0),
    ]
    assert all(one.audio_filepath.read_bytes() == wav for one in found)
    assert all(one.audio_filepath.is_relative_to(folder / "read-audio") for one in found)


@pytest.mark.parametrize("name", ["../x.wav", "/tmp/x.wav", "a/../../x.wav", "..\\x.wav"])
def test_members_that_climb_out(folder: Path, name: str) -> None:
    source = shard(folder / "in.tar", (name, (folder / "a.wav").read_bytes()), ("x.txt", b"x"))
    assert "leads out of the archive" in refusal(source, source_lang="es", target_lang="es")
    assert sorted(path.name for path in folder.iterdir()) == ["a.wav", "b.wav", "in.tar"]


def test_bad_shards(folder: Path) -> None:
    wav = (folder / "a.wav").read_bytes()
    bad: list[tuple[list[tuple[str, Any]], str]] = [
        ([("x.wav", wav)], "the sample 'x': no 'x.txt' is beside it"),
        ([("x.txt", b"x")], "no audio file is beside it"),
        ([("x.wav", wav), ("x.flac", wav), ("x.txt", b"x")], "'x' has two audio files"),
        ([("x.wav", b"noise"), ("x.txt", b"x")], "it says no duration, and"),
        (
            [("x.wav", wav), ("x.cls", b"1"), ("x.txt", b"x")],
            "no place for '.cls'; leave it out with --drop .cls",
        ),
        ([("x.wav", link(tarfile.SYMTYPE, "/etc/passwd")), ("x.txt", b"x")], "is a link or a device"),
        ([("x.wav", link(tarfile.LNKTYPE, "../a.wav")), ("x.txt", b"x")], "is a link or a device"),
        ([("x.wav", link(tarfile.CHRTYPE, "")), ("x.txt", b"x")], "is a link or a device"),
        ([("x.wav", wav), ("x.txt", b"x" * 2_000_000)], "larger than 1 MiB"),
    ]
    for members, what in bad:
        message = refusal(shard(folder / "in.tar", *members), source_lang="es", target_lang="es")
        assert what in message
        assert not (folder / "read-audio").exists()
    whole = shard(folder / "in.tar", ("x.wav", wav), ("x.txt", b"x")).read_bytes()
    (folder / "in.tar").write_bytes(whole[:20_000])
    assert "a damaged tar file" in refusal(folder / "in.tar", source_lang="es", target_lang="es")


def test_many_shards_are_written_when_one_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lors.speech.manifests.shards._SHARD_BYTES", 100_000)
    lines = [
        {
            "id": f"u{n}",
            "audio_filepath": "a.wav",
            "duration": 2.0,
            "text": "x",
            "source_lang": "es",
            "target_lang": "es",
        }
        for n in range(4)
    ]
    convert_manifest(put(folder / "m.jsonl", *lines), folder / "shards", target_format="webdataset")
    names = {}
    for path in sorted((folder / "shards").iterdir()):
        with tarfile.open(path) as archive:
            names[path.name] = archive.getnames()
    assert names == {
        f"{place:06d}.tar": [
            f"u{n}.{suffix}" for n in (2 * place, 2 * place + 1) for suffix in ("wav", "txt", "json")
        ]
        for place in (0, 1)
    }


# What is common to all


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
