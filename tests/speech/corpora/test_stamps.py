"""On the real recordings, fetched into the cache by the product itself."""

import hashlib
import json
import re
import shutil
import struct
import subprocess
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lors.base.cache import cache_directory
from lors.base.errors import LorsError, UsageError
from lors.speech.audio import load_audio
from lors.speech.corpora import stamps_sources
from lors.speech.corpora.prepared import PreparedCorpus
from lors.speech.corpora.stamps import LETTERS_PER_SECOND, prepare_stamps
from lors.speech.corpora.stamps_corrections import (
    HEARD,
    NOT_TRANSLATIONS,
    NOT_WHAT_IS_SAID,
    SPELLING,
    WITHOUT_ARTICLE,
)
from lors.speech.corpora.stamps_readme import CREDITS
from lors.speech.corpora.stamps_sources import LANGUAGES, recordings, stamps_folder, voice
from lors.speech.corpora.stamps_transcripts import read_descriptions
from lors.speech.manifest import Utterance, manifest_problems, read_manifest

pytestmark = pytest.mark.xdist_group("stamps")  # what all share is made once

PREPARED = ("da", "fr")
NOWHERE = ("http://127.0.0.1:9/debian",)
DEB = "tuxpaint-stamps-default_2022.06.04-1_all.deb"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return prepare_stamps(PREPARED, tmp_path_factory.mktemp("stamps") / "data")


@pytest.fixture(scope="module")
def utterances(corpus: PreparedCorpus) -> dict[str, list[Utterance]]:
    return {m.name: read_manifest(corpus.directory / m.name) for m in corpus.manifests}


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def letters(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if c.isalnum())


@pytest.mark.real
def test_every_manifest_is_good(corpus: PreparedCorpus, utterances: dict[str, list[Utterance]]) -> None:
    assert {m.name for m in corpus.manifests} == {
        f"{language}-{task}-{split}.jsonl"
        for language in PREPARED
        for task in ("transcribe", "translate")
        for split in ("train", "dev", "test")
    }
    for manifest in corpus.manifests:
        path = corpus.manifest(manifest.language, manifest.task, manifest.split)
        assert list(manifest_problems(path)) == []
        held = utterances[manifest.name]
        assert len(held) == manifest.clips > 20
        assert sum(u.duration for u in held) == pytest.approx(manifest.seconds, abs=0.01)
        for u in held:
            assert (u.source_lang, u.task, u.normaliser) == (manifest.language, manifest.task, None)
            assert u.text == unicodedata.normalize("NFC", " ".join(u.text.split()))
            assert not re.search(r"\([^)]*[$€¥]", u.text)
            if u.task == "transcribe":
                assert sum(map(str.isalnum, u.text)) <= LETTERS_PER_SECOND * u.duration * 1.01
    transcribed = [u for name, held in utterances.items() if "-transcribe-" in name for u in held]
    speakers = Counter(u.speaker for u in transcribed)
    assert set(speakers) == {"da_JoeDalton", "fr_PaulK", "fr_letters", "fr_animals"}
    assert all(u.id.startswith("animals/") for u in transcribed if u.speaker == "fr_animals")
    assert all("/english/" in u.id for u in transcribed if u.speaker == "fr_letters")


@pytest.mark.real
def test_the_texts_are_those_of_the_package(utterances: dict[str, list[Utterance]]) -> None:
    folder = stamps_folder()
    repaired = 0
    for name, held in utterances.items():
        for u in held:
            lines = (folder / f"{u.id}.txt").read_text(encoding="utf-8").split("\n")
            key = f"{u.source_lang}.utf8="
            found = [line.removeprefix(key) for line in lines if line.startswith(key)]
            expected = found[0] if "-transcribe-" in name else lines[0]
            expected = re.sub(r"\s*\([^)]*[$€¥][^)]*\)", "", expected)
            if "-transcribe-" in name and u.id in HEARD.get(u.source_lang, {}):
                expected = HEARD[u.source_lang][u.id]
            if letters(u.text) != letters(expected):
                repaired += 1
                assert any(re.search(wrong, expected) for wrong in SPELLING.get(u.source_lang, {}))
    assert repaired <= 80


@pytest.mark.real
def test_both_tasks_have_the_same_clips(utterances: dict[str, list[Utterance]]) -> None:
    for name, held in utterances.items():
        if "-translate-" in name:
            transcribed = {u.id: u for u in utterances[name.replace("translate", "transcribe")]}
            others = NOT_TRANSLATIONS.get(name[:2], set())
            assert {u.id for u in held} == transcribed.keys() - others
            for u in held:
                assert u.audio_filepath == transcribed[u.id].audio_filepath
                assert u.speaker == transcribed[u.id].speaker


@pytest.mark.real
def test_languages_share_the_split_and_no_text_is_in_two(utterances: dict[str, list[Utterance]]) -> None:
    split_of_id: dict[str, set[str]] = defaultdict(set)
    split_of_text: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, held in utterances.items():
        split = name.removesuffix(".jsonl").rpartition("-")[2]
        for u in held:
            split_of_id[u.id].add(split)
            split_of_text[u.target_lang, letters(u.text)].add(split)
    assert all(len(splits) == 1 for splits in split_of_id.values())
    assert [text for text, splits in split_of_text.items() if len(splits) > 1] == []


@pytest.mark.real
def test_the_audio_is_the_recording_and_none_is_there_twice(
    corpus: PreparedCorpus, utterances: dict[str, list[Utterance]]
) -> None:
    folder = stamps_folder()
    for held in utterances.values():
        for u in held[::25]:
            info = soundfile.info(str(u.audio_filepath))
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
            assert info.frames == u.duration * 16000
            recording = load_audio(folder / f"{u.id}_desc_{u.source_lang}.ogg")
            assert np.abs(load_audio(u.audio_filepath) - recording).max() <= 1 / 32768
    for language in PREPARED:
        sounds = [
            hashlib.sha256(u.audio_filepath.read_bytes()).hexdigest()  # FLAC of one sound is always the same
            for name, held in utterances.items()
            if name.startswith(f"{language}-transcribe")
            for u in held
        ]
        assert len(set(sounds)) == len(sounds)
    assert {p.suffix for p in (corpus.directory / "audio").rglob("*") if p.is_file()} == {".flac"}


@pytest.mark.real
def test_everything_is_accounted_for(corpus: PreparedCorpus) -> None:
    recorded = json.loads((corpus.directory / "prepare.json").read_text())
    text = (corpus.directory / "README.md").read_text()
    for manifest in recorded["manifests"]:
        content = (corpus.directory / manifest["name"]).read_bytes()
        assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
        row = f"| {manifest['language']} | {manifest['task']} | {manifest['split']} | {manifest['clips']} |"
        assert row in text
    folder = stamps_folder()
    for language, reasons in corpus.left_out.items():
        described = {
            p.relative_to(folder).as_posix().removesuffix(".txt")
            for p in folder.rglob("*.txt")
            if re.search(rf"^{language}\.utf8=\s*\S", p.read_text(encoding="utf-8"), re.MULTILINE)
        }
        spoken = {
            p.relative_to(folder).as_posix().removesuffix(f"_desc_{language}.ogg")
            for p in folder.rglob(f"*_desc_{language}.ogg")
        }
        left_out = sum(n for reason, n in reasons.items() if "of the translations" not in reason)
        kept = sum(m.clips for m in corpus.manifests if m.language == language and m.task == "transcribe")
        assert left_out + kept == len(described | spoken)
        assert reasons["no recording"] == len(described - spoken)
        assert reasons.get("text is not what is said", 0) == len(
            NOT_WHAT_IS_SAID.get(language, set()) & described & spoken
        )
    for said in ("PaulK", "Joe Dalton", "GNU General Public License", "Bill Kendrick"):
        assert said in text
    assert "Estefanía" not in text


@pytest.mark.real
def test_equal_arguments_give_equal_bytes(corpus: PreparedCorpus, tmp_path: Path) -> None:
    one = prepare_stamps(["Danish"], tmp_path / "one").directory
    files = [p for p in one.rglob("*") if p.is_file() and p.name not in ("README.md", "prepare.json")]
    assert len(files) > 250
    for path in files:
        assert path.read_bytes() == (corpus.directory / path.relative_to(one)).read_bytes()
    assert prepare_stamps(["da-DK"], one, reuse=True).manifests == [
        m for m in corpus.manifests if m.language == "da"
    ]
    with pytest.raises(UsageError, match="exists already"):
        prepare_stamps(["da"], one, reuse=True, minimum_words=2)


@pytest.mark.real
def test_limits(tmp_path: Path) -> None:
    corpus = prepare_stamps(["da"], tmp_path / "out", minimum_words=3, maximum_seconds=1.5)
    for manifest in corpus.manifests:
        for u in read_manifest(corpus.directory / manifest.name):
            assert u.duration <= 1.5
            assert u.task == "translate" or len(u.text.split()) >= 3
    with pytest.raises(UsageError, match="'da': no stamp is left"):
        prepare_stamps(["da"], tmp_path / "none", minimum_words=1000)
    assert not (tmp_path / "none").exists()


@pytest.mark.real
def test_corrections_are_of_stamps_that_are_there() -> None:
    folder = stamps_folder()
    raw = read_descriptions(folder)
    for language in LANGUAGES:
        found = recordings(folder, language).keys() & raw[language].keys()
        for table in (HEARD, NOT_WHAT_IS_SAID, NOT_TRANSLATIONS, WITHOUT_ARTICLE):
            assert set(table.get(language, ())) <= found
        for identifier in WITHOUT_ARTICLE.get(language, ()):
            assert re.match("Una? ", raw[language][identifier])
        for wrong in SPELLING.get(language, {}):
            assert any(re.search(wrong, text) for text in raw[language].values()), wrong


@pytest.mark.real
def test_the_catalan_nouns_without_article_are_those_of_two_sessions() -> None:
    """By the headers of the files: libVorbis of 2005 at 32 kbit/s, or 8 kHz."""
    sessions = set()
    for identifier, path in recordings(stamps_folder(), "ca").items():
        header = path.read_bytes()[:4096]
        place = header.index(b"\x01vorbis") + 12
        rate, _, bits = struct.unpack("<Iii", header[place : place + 12])
        if rate == 8000 or (bits == 32000 and b"libVorbis I 20050304" in header):
            sessions.add(identifier)
    others = {i for i in (HEARD["ca"].keys() | NOT_WHAT_IS_SAID["ca"]) & sessions if i.startswith("animals/")}
    assert len(others) == 9
    assert sessions - others - WITHOUT_ARTICLE["ca"] == {"animals/marsupials/wallaby"}  # which has no text
    assert sessions >= WITHOUT_ARTICLE["ca"]


@pytest.mark.real
def test_every_language_has_a_voice_and_a_credit() -> None:
    assert set(CREDITS) == set(LANGUAGES)
    folder = stamps_folder()
    for language in LANGUAGES:
        found = recordings(folder, language)
        voices = Counter(voice(language, path) for path in found.values())
        assert len(voices) == (3 if language == "fr" else 1)
        assert all(name.startswith(f"{language}_") and "unknown" not in name for name in voices)


@pytest.mark.real
@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb on this system")
def test_the_files_are_those_that_the_package_lists() -> None:
    folder = stamps_folder()
    deb = cache_directory() / "downloads" / DEB
    listed = subprocess.run(
        ["dpkg-deb", "--info", deb, "md5sums"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    expected = {}
    for line in listed:
        digest, name = line.split("  ", 1)
        if re.fullmatch(r"usr/share/tuxpaint/stamps/.*(\.txt|_desc_(ca|es|fr|ru|ro|bg|be|el|da)\.ogg)", name):
            expected[name.removeprefix("usr/share/tuxpaint/stamps/")] = digest
    found = {
        p.relative_to(folder).as_posix(): hashlib.md5(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }
    assert len(found) > 8000
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"languages": ["es", "de"]}, "'de': the stamps are described in ca, es, fr, ru, ro, bg, be, el, da"),
        ({"languages": ["klingon"]}, "'klingon': the stamps are described in"),
        ({"languages": []}, "no language is named"),
        ({"languages": ["es"], "minimum_words": 0}, "minimum words: 0 was given"),
        ({"languages": ["es"], "maximum_seconds": 31}, "maximum seconds: 31 was given"),
        ({"languages": ["es"], "maximum_seconds": float("nan")}, "maximum seconds: nan was given"),
    ],
)
def test_mistakes_are_told_before_anything_is_fetched(
    empty_cache: Path, tmp_path: Path, arguments: dict[str, object], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        prepare_stamps(out=tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert not empty_cache.exists()


def test_without_network_the_sentence_says_what_to_place_where(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps_sources, "_DEBIAN", NOWHERE)
    with pytest.raises(LorsError) as caught:
        prepare_stamps(["es"], tmp_path / "out")
    assert f"{DEB} could not be fetched; tried http://127.0.0.1:9/debian/pool" in str(caught.value)
    assert f"place the file in {empty_cache / 'downloads'}" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_another_package_under_this_name_is_refused(empty_cache: Path, tmp_path: Path) -> None:
    (empty_cache / "downloads").mkdir(parents=True)
    (empty_cache / "downloads" / DEB).write_bytes(b"!<arch>\nnothing")
    with pytest.raises(LorsError, match=f"{DEB}: a damaged Debian package"):
        prepare_stamps(["es"], tmp_path / "out")
