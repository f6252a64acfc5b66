"""Suspects: a transcript that was spoilt on purpose comes first, on real clips; and the page does no harm."""

import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lors.base.errors import UsageError
from lors.speech import evaluation as evaluation_module
from lors.speech.corpora.stamps import prepare_stamps
from lors.speech.decoding.hypothesis import Hypothesis
from lors.speech.decoding.options import DecoderOptions
from lors.speech.manifest import Utterance, read_manifest, write_manifest
from lors.speech.normalisation import find_normaliser
from lors.speech.suspects import find_suspects
from lors.speech.suspects_signs import Heard, has_accents, has_digits, rank

SPOILT = ("swapped", "other", "halved", "bare")
HOSTILE = '<script>alert(1)</script> "x" \u202eevil\x00\x1b[2J'


def lors(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    result = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert "Traceback" not in result.stderr
    return result


def heard(
    text: str,
    hypothesis: str,
    seconds: float = 2.0,
    log_probability: float | None = -0.1,
    identifier: str = "u",
) -> Heard:
    utterance = Utterance(
        id=identifier,
        audio_filepath=Path("/none.flac"),
        duration=seconds,
        text=text,
        source_lang="es",
        target_lang="es",
    )
    return Heard(utterance, "es", hypothesis, log_probability, False, find_normaliser("no-punctuation"))


def usual_clips(number: int = 30) -> list[Heard]:
    """Clips of 12 letters a second or so, with a slip of the model in each third."""
    draws = random.Random(0)
    words = ["mañana", "camión", "perro", "grande", "verde", "jardín", "cuatro", "árbol", "casa", "niño"]
    clips = []
    for place in range(number):
        said = draws.sample(words, 4)
        text = " ".join(said)
        written = text if place % 3 else " ".join([*said[:3], "pero"])
        letters = sum(map(str.isalpha, text))
        clips.append(heard(text, written, letters / draws.uniform(10, 14), identifier=f"usual-{place}"))
    return clips


def first(spoilt: Heard) -> list[str]:
    """The names of the signs of a clip that has to come first among usual ones."""
    ranked = rank([*usual_clips(), spoilt])
    assert ranked[0].heard is spoilt
    assert ranked[0].suspicion > 1.3 * ranked[1].suspicion
    return [sign.name for sign in ranked[0].signs]


def test_other_words_come_first() -> None:
    assert first(heard("una mariposa azul claro", "el tren llega mañana tarde"))[0] == "other words"


def test_half_a_text_comes_first() -> None:
    assert "other length" in first(heard("la casa verde", "la casa verde está en el jardín"))


def test_a_pace_that_no_one_has_comes_first() -> None:
    long = "esta oración es demasiado larga para un segundo de sonido, ¿verdad que sí? Que sí"
    assert first(heard(long, long, 1.0)) == ["too fast"]
    assert first(heard("no", "no", 9.0)) == ["too slow"]


def test_missing_accents_come_first() -> None:
    names = first(heard("el nino corre por el jardin manana", "el niño corre por el jardín mañana", 2.4))
    assert names[0] == "accents missing"


def test_accents_that_the_writer_has_elsewhere_are_less_suspect() -> None:
    bare = heard("mas cafe", "más café", 0.6)
    some = heard("mas café", "más café", 0.6)
    both = heard("más café", "más café", 0.6)
    ranked = rank([both, some, bare])
    assert [suspect.heard for suspect in ranked] == [bare, some, both]
    assert ranked[2].suspicion == 0


def test_a_model_that_is_not_sure_proves_less() -> None:
    sure = heard("una mariposa azul claro", "el tren llega mañana tarde", log_probability=-0.05)
    unsure = heard("una mariposa azul claro", "el tren llega mañana tarde", log_probability=-2.0)
    unknown = heard("una mariposa azul claro", "el tren llega mañana tarde", log_probability=None)
    looped = replace(sure, looped=True)
    ranked = [s.heard for s in rank([unsure, looped, sure, unknown, *usual_clips()])]
    assert [clip for clip in ranked if clip.hypothesis == sure.hypothesis] == [unknown, sure, looped, unsure]


def test_each_speaker_has_a_pace_of_his_own() -> None:
    slow = [
        replace(c, utterance=replace(c.utterance, speaker="slow", duration=3 * c.utterance.duration))
        for c in usual_clips()
    ]
    fast = [replace(c, utterance=replace(c.utterance, speaker="fast")) for c in usual_clips()]
    few = [replace(c, utterance=replace(c.utterance, speaker="few")) for c in slow[:3]]
    paces = {
        s.heard.utterance.speaker
        for s in rank([*slow, *fast, *fast, *fast, *few])
        for sign in s.signs
        if sign.name.startswith("too ")
    }
    assert paces == {"few"}


def test_two_scripts_and_digits() -> None:
    ranked = rank([*usual_clips(), heard("la cаsa verde nueva", "la casa verde nueva", 1.4)])  # а is Cyrillic
    assert ranked[0].signs[0].name == "two scripts in a word"
    assert ranked[0].signs[0].detail == "cаsa"
    assert has_digits("6x7=42") and has_digits("5 €") and has_digits("a + b") and not has_digits("¡Año!")
    assert has_accents("Año") and not has_accents("Ano") and not has_accents("Мой")


def test_nothing_heard_is_no_error() -> None:
    ranked = rank([heard("", "hola"), heard("hola", ""), heard("hola", "hola")])
    assert [round(s.suspicion, 2) for s in ranked][-1] == 0
    assert all(0 <= s.suspicion <= 1 for s in ranked)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A manifest of real Spanish clips, of which four texts were spoilt: id → how."""
    folder = tmp_path_factory.mktemp("spoilt")
    corpus = prepare_stamps(["es"], folder / "stamps", minimum_words=5, maximum_seconds=7)
    told = {u.id: u for u in read_manifest(corpus.manifest("es", "transcribe", "train"))}
    clips = [told[name] for name in AGREED]
    texts = {clip.id: clip.text for clip in clips}
    one, two, three, four = AGREED[:4]
    texts[one], texts[two] = texts[two], texts[one]
    words = texts[three].split()
    texts[three] = " ".join(words[: len(words) // 2])
    bare = texts[four].translate(str.maketrans("áéíóúñüÁÉÍÓÚÑ", "aeiounuAEIOUN"))
    assert bare != texts[four]
    texts[four] = bare
    write_manifest(folder / "es.jsonl", [replace(clip, text=texts[clip.id]) for clip in clips])
    return folder / "es.jsonl", dict(zip(AGREED, SPOILT, strict=False))


# Clips of which whisper-base writes what the text says, or nearly: what comes first is what was spoilt.
AGREED = (
    "space/planets/1_mercury",
    "household/electronics/compact_disc",
    "space/planets/4_mars",
    "medical/digitalthermometer",
    "clothes/white_pants",
    "hobbies/music/percussion/drum_tomtom_floor",
    "household/dishes/expresso",
    "military/vehicles/ww2_german_gun",
    "people/toys/grannysmith",
    "plants/mushrooms/cep",
    "space/moon/moon_crescent",
    "space/planets/2_venus",
    "symbols/recycle",
    "vehicles/emergency/sedan_police",
    "vehicles/locomotive/cartoon/trainSign",
    "vehicles/ship/cartoon/tugboat",
)


@pytest.mark.real
def test_texts_that_were_spoilt_come_first(spoilt: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    manifest, how = spoilt
    out = tmp_path / "suspects.html"
    result = lors("suspects", manifest, "--model", "openai/whisper-base", "--out", out, "--worst", "10")
    assert result.returncode == 0, result.stderr
    with out.with_suffix(".tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) == len(read_manifest(manifest))
    assert {row["id"] for row in rows[:4]} == set(how)
    signs = {how[row["id"]]: row["signs"] for row in rows[:4]}
    assert "other words" in signs["swapped"] and "other words" in signs["other"]
    assert "other length" in signs["halved"]
    assert signs["bare"].startswith("accents missing")
    page = out.read_text(encoding="utf-8")
    assert page.count("<audio ") == page.count("<article>") == 10
    assert "10 of 16 clips" in result.stdout


class Page(HTMLParser):
    """What a browser would make of the page: its tags, the addresses in it, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def talk(tmp_path: Path, tiny_whisper: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[int]]:
    """A manifest of three clips with hostile texts, and how many were decoded, the decoder replaced."""
    decoded: list[int] = []

    def decode(
        engine: object, utterances: Sequence[Utterance], options: DecoderOptions, done: Sequence[int]
    ) -> Iterator[list[tuple[int, Hypothesis]]]:
        for place, u in enumerate(utterances):
            decoded.append(place)
            text = HOSTILE if u.id == "b" else u.text
            yield [(place, Hypothesis(text, 5, -0.25, options.window, False, None, 0.5))]

    monkeypatch.setattr(evaluation_module, "load_engine", lambda directory, options: None)
    monkeypatch.setattr(evaluation_module, "decode", decode)
    audio = tmp_path / "the audio"
    audio.mkdir()
    clips = []
    for name, text in (("a", "hola"), ("b", "buenos\tdías"), ("c", f"{HOSTILE} 5 €")):
        soundfile.write(audio / f"{name} #1.flac", np.zeros(16000, dtype=np.float32), 16000)
        clips.append(
            Utterance(
                id=name,
                audio_filepath=audio / f"{name} #1.flac",
                duration=1.0,
                text=text,
                source_lang="es",
                target_lang="es",
            )
        )
    write_manifest(tmp_path / "es.jsonl", clips)
    return tmp_path / "es.jsonl", decoded


def test_the_page_shows_the_texts_and_does_nothing(
    talk: tuple[Path, list[int]], tiny_whisper: Path, tmp_path: Path
) -> None:
    manifest, _ = talk
    found = find_suspects([manifest], tmp_path / "s.html", model=tiny_whisper)
    content = (tmp_path / "s.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(content)
    assert "script" not in page.tags
    assert "\x00" not in content and "\x1b" not in content and "\u202e" not in content
    assert "<script>alert(1)</script>" in page.text
    assert sorted(page.addresses) == [f"./the%20audio/{name}%20%231.flac" for name in "abc"]
    assert "default-src" in content or "script-src &#x27;none&#x27;" in content
    lines = (tmp_path / "s.tsv").read_text(encoding="utf-8").split("\n")
    assert len(lines) == 5 and lines[-1] == ""
    assert {line.count("\t") for line in lines[:-1]} == {lines[0].count("\t")}
    assert found.facts["es"].clips == 3
    assert found.facts["es"].digits == 1


def test_listing_again_decodes_nothing(
    talk: tuple[Path, list[int]], tiny_whisper: Path, tmp_path: Path
) -> None:
    manifest, decoded = talk
    out = tmp_path / "s.html"
    find_suspects([manifest], out, model=tiny_whisper)
    assert decoded == [0, 1, 2]
    with pytest.raises(UsageError, match=r"s.html: the output exists already"):
        find_suspects([manifest], out, model=tiny_whisper)
    before = out.with_suffix(".tsv").read_bytes()
    find_suspects([manifest], out, model=tiny_whisper, worst=1, overwrite=True)
    assert decoded == [0, 1, 2]
    assert out.with_suffix(".tsv").read_bytes() == before
    assert out.read_text(encoding="utf-8").count("<article>") == 1


def test_mistakes_are_one_sentence(
    manifest_of: Callable[..., Path], tiny_whisper: Path, tmp_path: Path
) -> None:
    speech = manifest_of("es", [(1.0, "hola", "es", "es")])
    translation = manifest_of("en", [(1.0, "hello", "es", "en")])
    out = tmp_path / "suspects.html"
    for arguments, what in (
        ((translation, "--out", out), "en.jsonl, utterance 'en-0': a translation"),
        ((speech, "--out", tmp_path / "page"), "name the HTML file to write"),
        ((speech, "--out", out, "--worst", "0"), "worst 0: expected at least one clip"),
        ((tmp_path / "none.jsonl", "--out", out), "none.jsonl: no such file"),
        ((speech, "--out", out, "--memory", "much"), "--memory"),
        ((speech, "--out", out, "--normaliser", "lowr"), "normaliser 'lowr' is not known"),
    ):
        result = lors("suspects", *arguments, "--model", tiny_whisper)
        assert result.returncode == 2, what
        assert result.stderr.startswith("lors: ") and result.stderr.count("\n") == 1
        assert what in result.stderr
        assert not out.exists() and not out.with_suffix(".decoded").exists()


def test_json_of_the_hypotheses_is_read_back(
    talk: tuple[Path, list[int]], tiny_whisper: Path, tmp_path: Path
) -> None:
    manifest, _ = talk
    find_suspects([manifest], tmp_path / "s.html", model=tiny_whisper)
    (file,) = (tmp_path / "s.decoded" / "hypotheses").rglob("*.jsonl")
    assert [json.loads(line)["id"] for line in file.read_text(encoding="utf-8").split("\n")[:-1]] == [
        "a",
        "b",
        "c",
    ]
