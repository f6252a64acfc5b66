"""Through every format and back: nothing is lost, or the field that cannot be held is named."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lors.base.errors import UsageError
from lors.speech.languages import LANGUAGES
from lors.speech.manifest import Utterance, read_manifest, write_manifest
from lors.speech.manifests.convert import convert_manifest

OUT = {
    "nemo": "out.json",
    "csv": "out.csv",
    "tsv": "out.tsv",
    "kaldi": "out",
    "espnet": "out",
    "lhotse": "out.jsonl.gz",
    "folder": "out",
    "webdataset": "out.tar",
}
COPIES = ("folder", "webdataset")


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seconds, three times, under odd names."""
    folder = tmp_path_factory.mktemp("audio")
    names = ["a.wav", 'b "quoted", ñ.wav', "c\u0301 d.flac"]
    for number, name in enumerate(names):
        soundfile.write(folder / name, np.full(32000, number / 10), 16000)
    return [folder / name for name in names]


seconds = st.floats(0.001, 1e6, allow_nan=False)
words = st.text(min_size=1).filter(lambda t: t.strip() and not any("\ud800" <= c <= "\udfff" for c in t))
ODD = st.sampled_from(
    ["NA", "null", "a\tb", "a\nb", "a\r\nb", 'say "hi", "', "\ufeffx", "e\u0301", "é", "a\u2028b", "=1+1", "x |", "-",
     "../../etc/passwd", "a/b", "a.b", "id with spaces", "\\", "a\x00b", " x ", "ab\r", "na", "0", "1e5", "{}"]
)  # fmt: skip
texts = words | ODD
languages = st.sampled_from(sorted(LANGUAGES))
fields = st.fixed_dictionaries(
    {
        "id": texts,
        "audio": st.integers(0, 2),
        "offset": seconds | st.just(0.0),
        "duration": seconds,
        "text": texts,
        "source_lang": languages,
        "target_lang": languages,
        "speaker": st.none() | texts,
        "normaliser": st.none() | texts,
    }
)
many = st.lists(fields, min_size=1, max_size=5, unique_by=lambda f: f["id"])


def there_and_back(folder: Path, kind: Any, utterances: list[Utterance]) -> list[Utterance]:
    write_manifest(folder / "m.jsonl", utterances)
    convert_manifest(folder / "m.jsonl", folder / OUT[kind], target_format=kind)
    convert_manifest(folder / OUT[kind], folder / "back.jsonl", source_format=kind)
    return read_manifest(folder / "back.jsonl", check_audio=False)


def fits(kind: str, one: Utterance) -> bool:
    """Written out by hand: which fields the formats without escapes can hold."""
    values = [one.id, one.text, one.speaker or "", one.normaliser or "", str(one.audio_filepath)]
    if kind == "tsv":
        return not any(character in value for value in values for character in "\t\n\r")
    if kind in ("kaldi", "espnet"):
        tokens = [value for value in (one.id, one.speaker, one.normaliser) if value is not None]
        return (
            not any(c.isspace() or ord(c) < 32 or ord(c) in (127, 0xFEFF) for token in tokens for c in token)
            and one.text == one.text.strip()
            and not any(c in one.text for c in "\n\r\0")
            and one.speaker != one.id
        )
    return True


def plain(one: Utterance) -> dict[str, Any]:
    return one.__dict__ | {"audio_filepath": one.audio_filepath.resolve()}


@pytest.mark.parametrize("kind", OUT)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=many)
@example(rows=[{"id": "a", "audio": 1, "offset": 0.1, "duration": 0.2, "text": "e\u0301 é", "source_lang": "es",
                "target_lang": "en", "speaker": "Ana", "normaliser": "fold-diacritics"}])  # fmt: skip
def test_nothing_is_lost(
    kind: str, rows: list[dict[str, Any]], audio: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    utterances = [
        Utterance(audio_filepath=audio[row["audio"]], **{k: v for k, v in row.items() if k != "audio"})
        for row in rows
    ]
    if kind == "espnet":
        utterances = [replace(one, target_lang=utterances[0].target_lang) for one in utterances]
    if kind in COPIES:  # whole files; what is cut out is below
        utterances = [replace(one, offset=0.0, duration=2.0) for one in utterances]
    folder = tmp_path_factory.mktemp("trip")
    if not all(fits(kind, one) for one in utterances):
        with pytest.raises(UsageError) as caught:
            there_and_back(folder, kind, utterances)
        assert any(f"'{name}'" in str(caught.value) or "its id" in str(caught.value)
                   for name in ("id", "text", "speaker", "normaliser"))  # fmt: skip
        assert not (folder / OUT[kind]).exists()
        return
    back = there_and_back(folder, kind, utterances)
    before, after = ({one.id: one for one in some} for some in (utterances, back))
    assert before.keys() == after.keys()
    for identifier, one in before.items():
        found = after[identifier]
        if kind in COPIES:
            assert found.audio_filepath.read_bytes() == one.audio_filepath.read_bytes()
            found = replace(found, audio_filepath=one.audio_filepath)
        assert plain(found) == plain(one)
    if kind not in ("kaldi", "espnet", *COPIES):
        assert [one.id for one in back] == [one.id for one in utterances]


@pytest.mark.parametrize("kind", COPIES)
def test_a_part_of_a_file_is_cut_out(kind: Any, audio: list[Path], tmp_path: Path) -> None:
    time = np.arange(32000) / 16000
    sound = np.round(2**14 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    soundfile.write(tmp_path / "long.wav", sound, 16000)
    one = Utterance(
        id="u", audio_filepath=tmp_path / "long.wav", offset=0.5, duration=1.0, text="x", source_lang="es",
        target_lang="es",
    )  # fmt: skip
    (back,) = there_and_back(tmp_path, kind, [one])
    assert (back.offset, back.duration) == (0.0, 1.0)
    samples, rate = soundfile.read(back.audio_filepath, dtype="int16")
    assert rate == 16000
    assert np.array_equal(samples, sound[8000:24000])


@pytest.mark.parametrize("kind", OUT)
def test_equal_utterances_give_equal_bytes(kind: Any, audio: list[Path], tmp_path: Path) -> None:
    one = Utterance(
        id="u", audio_filepath=audio[0], duration=2.0, text="x", source_lang="es", target_lang="es", speaker="s"
    )  # fmt: skip
    write_manifest(tmp_path / "m.jsonl", [one, replace(one, id="v")])
    contents = []
    for place in ("first", "second"):
        out = tmp_path / place / OUT[kind]
        convert_manifest(tmp_path / "m.jsonl", out, target_format=kind)
        files = [out] if out.is_file() else sorted(out.iterdir())
        contents.append({path.name: path.read_bytes() for path in files})
    assert contents[0] == contents[1]


def test_lengths_that_floats_cannot_add_survive_kaldi(audio: list[Path], tmp_path: Path) -> None:
    assert (0.7 + 0.1) - 0.7 != 0.1
    one = Utterance(
        id="u", audio_filepath=audio[0], offset=0.7, duration=0.1, text="x", source_lang="es", target_lang="es"
    )  # fmt: skip
    (back,) = there_and_back(tmp_path, "kaldi", [one])
    assert (back.offset, back.duration) == (0.7, 0.1)
    assert math.isclose(float((tmp_path / "out" / "segments").read_text().split()[3]), 0.8)
