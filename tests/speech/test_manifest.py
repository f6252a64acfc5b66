import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from lors.base.errors import UsageError
from lors.speech.languages import LANGUAGES
from lors.speech.manifest import Utterance, manifest_problems, read_manifest, write_manifest

GOOD: dict[str, Any] = {
    "id": "a",
    "audio_filepath": "audio/a.wav",
    "duration": 2.0,
    "text": "hola",
    "source_lang": "es",
    "target_lang": "en",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two seconds of audio in audio/a.wav."""
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "a.wav", np.zeros(32000), 16000)
    return tmp_path


def write(folder: Path, *lines: str | bytes | dict[str, Any]) -> Path:
    """A manifest with these lines, objects as JSON."""
    path = folder / "manifest.jsonl"
    encoded = (json.dumps(x).encode() if isinstance(x, dict) else x for x in lines)
    path.write_bytes(b"".join((x.encode() if isinstance(x, str) else x) + b"\n" for x in encoded))
    return path


def test_a_good_manifest(folder: Path) -> None:
    line = GOOD | {"offset": 0.5, "duration": 1, "speaker": "Ana", "normaliser": "fold-diacritics"}
    (utterance,) = read_manifest(write(folder, line))
    assert utterance == Utterance(
        id="a",
        audio_filepath=folder / "audio" / "a.wav",
        offset=0.5,
        duration=1.0,
        text="hola",
        source_lang="es",
        target_lang="en",
        speaker="Ana",
        normaliser="fold-diacritics",
    )
    assert utterance.audio_filepath.is_absolute()
    assert utterance.task == "translate"


def test_defaults_tasks_and_languages(folder: Path) -> None:
    first, second = read_manifest(
        write(folder, GOOD | {"source_lang": "es-MX", "target_lang": "Spanish"}, GOOD | {"id": "b"})
    )
    assert (first.source_lang, first.target_lang, first.task) == ("es", "es", "transcribe")
    assert (first.offset, first.speaker, first.normaliser) == (0.0, None, None)
    assert second.task == "translate"


def test_relative_paths_are_the_manifests(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder, GOOD, GOOD | {"id": "b", "audio_filepath": str(folder / "audio" / "a.wav")})
    monkeypatch.chdir(folder.parent)
    relative = path.relative_to(folder.parent)
    assert {u.audio_filepath for u in read_manifest(relative)} == {folder / "audio" / "a.wav"}


def test_windows_line_ends_byte_order_mark_and_blank_lines(folder: Path) -> None:
    lines = [b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r", b"\r", b"   ", GOOD | {"id": "b"}, b""]
    assert [u.id for u in read_manifest(write(folder, *lines))] == ["a", "b"]


def test_a_text_may_hold_unicode_line_separators(folder: Path) -> None:
    line = json.dumps(GOOD | {"text": "uno\u2028dos\u0085tres"}, ensure_ascii=False)
    assert read_manifest(write(folder, line))[0].text == "uno\u2028dos\u0085tres"


BAD_LINES = [
    ("{", "not JSON (Expecting property name"),
    ("hola", "not JSON"),
    ("[" * 100_000, "not JSON that can be read"),
    ('{"duration": ' + "1" * 5000 + "}", "not JSON that can be read"),
    (b'{"text": "\xff"}', "not UTF-8 (byte 11)"),
    ("[1]", "a JSON object was expected, a list was found"),
    ("null", "a JSON object was expected, null was found"),
    ('"x"', "a JSON object was expected, a string was found"),
    ('{"id": "a", "id": "b"}', "the field 'id' is there twice"),
    *(({k: v for k, v in GOOD.items() if k != field}, f"the field '{field}' is missing") for field in GOOD),
    (GOOD | {"txt": "x"}, "unknown field 'txt'; the fields are id, audio_filepath,"),
    (GOOD | {"source_language": "es"}, "Did you mean 'source_lang'?"),
    (GOOD | {"pnc": "yes"}, "unknown field 'pnc'"),
    (GOOD | {"id": 3}, "'id' is a number; a string was expected"),
    (GOOD | {"text": None}, "'text' is null; a string was expected"),
    (GOOD | {"text": " \t"}, "'text' is empty"),
    (GOOD | {"id": ""}, "'id' is empty"),
    (GOOD | {"text": "\ud800"}, "half a surrogate pair"),
    (GOOD | {"speaker": ["Ana"]}, "'speaker' is a list; a string was expected"),
    (GOOD | {"normaliser": {}}, "'normaliser' is an object; a string was expected"),
    (GOOD | {"duration": "2.0"}, "'duration' is a string; a number of seconds was expected"),
    (GOOD | {"duration": True}, "'duration' is true or false; a number of seconds was expected"),
    (GOOD | {"duration": 0}, "'duration' is 0; more than zero seconds were expected"),
    (GOOD | {"duration": -1.5}, "'duration' is -1.5; more than zero"),
    (GOOD | {"duration": float("nan")}, "'duration' is too large or no number"),
    (GOOD | {"duration": float("inf")}, "'duration' is too large or no number"),
    (GOOD | {"duration": 10**400}, "'duration' is too large or no number"),
    (GOOD | {"offset": -0.1}, "'offset' is -0.1; zero or more seconds were expected"),
    (GOOD | {"source_lang": "xx"}, "'source_lang': 'xx' is no language that Whisper knows"),
    (GOOD | {"target_lang": "englsh"}, "Did you mean 'english'?"),
    (GOOD | {"audio_filepath": "audio/b.wav"}, "audio/b.wav: no such audio file"),
    (GOOD | {"audio_filepath": "audio"}, "audio: is a folder, not an audio file"),
    (GOOD | {"audio_filepath": "manifest.jsonl"}, "manifest.jsonl: truncated or not audio"),
    (GOOD | {"audio_filepath": "a\0b"}, "cannot be read"),
    (GOOD | {"duration": 2.5}, "audio/a.wav: lasts 2.00 s, offset and duration ask for 2.50 s"),
    (GOOD | {"offset": 1.0}, "audio/a.wav: lasts 2.00 s, offset and duration ask for 3.00 s"),
]


@pytest.mark.parametrize(("line", "what"), BAD_LINES)
def test_a_bad_line_is_named(folder: Path, line: str | bytes | dict[str, Any], what: str) -> None:
    path = write(folder, GOOD | {"id": "first"}, line, GOOD | {"id": "last"})
    ((number, found),) = manifest_problems(path)
    assert number == 2
    assert what in found
    with pytest.raises(UsageError) as caught:
        read_manifest(path)
    assert str(caught.value) == f"{path}:2: {found}"
    assert "\n" not in found


def test_a_file_of_zero_bytes(folder: Path) -> None:
    (folder / "audio" / "a.wav").write_bytes(b"")
    with pytest.raises(UsageError, match=r"manifest.jsonl:1: .*a.wav: is empty \(zero bytes\)"):
        read_manifest(write(folder, GOOD))


def test_a_repeated_id_names_the_first(folder: Path) -> None:
    path = write(folder, GOOD, GOOD | {"id": "b"}, GOOD)
    assert list(manifest_problems(path)) == [(3, "the id 'a' is that of line 1 too.")]


def test_the_first_problem_is_told_and_the_others_are_counted(folder: Path) -> None:
    path = write(folder, "x", GOOD, "y", "", "z")
    assert [line for line, _ in manifest_problems(path)] == [1, 3, 5]
    with pytest.raises(
        UsageError, match=rf"^{path}:1: not JSON .* \(and 2 more; `lors manifest check {path}`"
    ):
        read_manifest(path)


def test_audio_is_looked_at_only_when_wanted(folder: Path) -> None:
    path = write(folder, GOOD | {"audio_filepath": "nowhere.wav"})
    assert read_manifest(path, check_audio=False)[0].audio_filepath == folder / "nowhere.wav"
    assert list(manifest_problems(path, check_audio=False)) == []


@pytest.mark.parametrize("lines", [[], [""], ["", " "]])
def test_an_empty_manifest(folder: Path, lines: list[str]) -> None:
    with pytest.raises(UsageError, match="the manifest is empty"):
        read_manifest(write(folder, *lines))


def test_no_manifest_there(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"none.jsonl: no such file"):
        read_manifest(folder / "none.jsonl")
    with pytest.raises(UsageError, match="is a folder"):
        list(manifest_problems(folder))


def test_what_is_written_is_read_again_from_another_place(folder: Path) -> None:
    utterances = read_manifest(write(folder, GOOD, GOOD | {"id": "b", "offset": 1.0, "duration": 1.0}))
    write_manifest(folder / "lists" / "new.jsonl", utterances)
    text = (folder / "lists" / "new.jsonl").read_text()
    assert '"audio_filepath": "../audio/a.wav"' in text
    assert "null" not in text
    assert text.count("offset") == 1
    again = read_manifest(folder / "lists" / "new.jsonl")
    assert [u.audio_filepath.resolve() for u in again] == [u.audio_filepath for u in utterances]


seconds = st.floats(0.001, 1e6, allow_nan=False)
texts = st.text(min_size=1).filter(lambda t: t.strip() and not any("\ud800" <= c <= "\udfff" for c in t))
utterance = st.builds(
    Utterance,
    id=texts,
    audio_filepath=st.just(Path("/audio/a.wav")),
    offset=seconds | st.just(0.0),
    duration=seconds,
    text=texts,
    source_lang=st.sampled_from(sorted(LANGUAGES)),
    target_lang=st.sampled_from(sorted(LANGUAGES)),
    speaker=st.none() | texts,
    normaliser=st.none() | texts,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(utterance, min_size=1, unique_by=lambda u: u.id))
def test_write_and_read_are_inverse(
    tmp_path_factory: pytest.TempPathFactory, utterances: list[Utterance]
) -> None:
    path = tmp_path_factory.mktemp("manifest") / "m.jsonl"
    write_manifest(path, utterances)
    again = read_manifest(path, check_audio=False)
    for before, after in zip(utterances, again, strict=True):
        assert after.audio_filepath.resolve() == before.audio_filepath
        fields = before.__dict__ | {"audio_filepath": None}
        assert after.__dict__ | {"audio_filepath": None} == fields
    first = path.read_bytes()
    write_manifest(path, again)
    assert path.read_bytes() == first
