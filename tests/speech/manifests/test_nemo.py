"""NeMo's and Canary's manifests, written out by hand, and every way in which they can be wrong."""

from pathlib import Path
from typing import Any

import pytest

from lors.speech.manifest import Utterance

from .conversion import CANARY, put, read, refusal


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
