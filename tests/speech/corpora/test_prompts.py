"""On the real recordings, fetched into the cache by the product itself."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import unicodedata
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lors.base.cache import cache_directory
from lors.base.errors import LorsError, UsageError
from lors.speech.audio import load_audio
from lors.speech.corpora import prompt_sources
from lors.speech.corpora.prepared import PreparedCorpus
from lors.speech.corpora.prompt_sources import VOICES, audio_folder, transcript
from lors.speech.corpora.prompts import prepare_prompts
from lors.speech.manifest import Utterance, manifest_problems, read_manifest

pytestmark = pytest.mark.xdist_group("prompts")  # what all share is made once

NOWHERE = ("http://127.0.0.1:9/debian",)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return prepare_prompts(list(VOICES), tmp_path_factory.mktemp("prompts") / "data")


@pytest.fixture(scope="module")
def utterances(corpus: PreparedCorpus) -> dict[str, list[Utterance]]:
    return {m.name: read_manifest(corpus.directory / m.name) for m in corpus.manifests}


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.mark.real
def test_every_manifest_is_good(corpus: PreparedCorpus, utterances: dict[str, list[Utterance]]) -> None:
    assert len(corpus.manifests) == 3 * (2 * 4 + 1)
    for manifest in corpus.manifests:
        path = corpus.manifest(manifest.language, manifest.task, manifest.split)
        assert path == corpus.directory / manifest.name
        assert list(manifest_problems(path)) == []
        held = utterances[manifest.name]
        assert len(held) == manifest.clips
        assert sum(u.duration for u in held) == pytest.approx(manifest.seconds, abs=0.01)
        assert {(u.source_lang, u.task, u.speaker) for u in held} == {
            (manifest.language, manifest.task, VOICES[manifest.language])
        }
        if manifest.split == "test":
            assert 40 <= manifest.clips <= 56
        for u in held:
            assert u.normaliser == ("fold-diacritics" if u.task == "transcribe" else None)
            assert u.duration <= 30
            assert u.text == unicodedata.normalize("NFC", " ".join(u.text.split()))
            assert not set(u.text) & set("[]<>*#…\ufeff")
            if u.task == "transcribe":
                assert sum(any(c.isalnum() for c in word) for word in u.text.split()) >= 3


@pytest.mark.real
def test_both_tasks_have_the_same_clips(utterances: dict[str, list[Utterance]]) -> None:
    for name, held in utterances.items():
        if "-translate-" in name:
            transcribed = {u.id: u for u in utterances[name.replace("translate", "transcribe")]}
            english = {u.id: u.text for n, us in utterances.items() if n.startswith("en-") for u in us}
            assert {u.id for u in held} <= transcribed.keys()
            assert len(held) >= len(transcribed) - 2
            for u in held:
                assert u.audio_filepath == transcribed[u.id].audio_filepath
                assert u.text == english.get(u.id, u.text)


@pytest.mark.real
def test_languages_share_the_split_and_no_text_is_in_two(utterances: dict[str, list[Utterance]]) -> None:
    split_of_id: dict[str, set[str]] = defaultdict(set)
    split_of_text: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, held in utterances.items():
        split = name.removesuffix(".jsonl").rpartition("-")[2]
        for u in held:
            split_of_id[u.id].add(split)
            letters = "".join(c for c in unicodedata.normalize("NFD", u.text.lower()) if c.isalnum())
            split_of_text[u.target_lang, letters].add(split)
    assert all(len(splits) == 1 for splits in split_of_id.values())
    assert [text for text, splits in split_of_text.items() if len(splits) > 1] == []


@pytest.mark.real
def test_the_audio_is_the_recording(corpus: PreparedCorpus, utterances: dict[str, list[Utterance]]) -> None:
    folders = {language: audio_folder(language) for language in VOICES}
    for held in utterances.values():
        for u in held[::25]:
            info = soundfile.info(str(u.audio_filepath))
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
            assert info.frames == round(u.duration * 16000)
            recording = load_audio(folders[u.source_lang] / f"{u.id}.g722")
            assert np.array_equal(load_audio(u.audio_filepath), recording)
    assert {p.suffix for p in (corpus.directory / "audio").rglob("*") if p.is_file()} == {".flac"}


@pytest.mark.real
def test_everything_is_accounted_for(corpus: PreparedCorpus) -> None:
    recorded = json.loads((corpus.directory / "prepare.json").read_text())
    text = (corpus.directory / "README.md").read_text()
    for manifest in recorded["manifests"]:
        content = (corpus.directory / manifest["name"]).read_bytes()
        assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
        ids = "".join(json.loads(line)["id"] + "\n" for line in content.splitlines())
        assert manifest["ids_sha256"] == hashlib.sha256(ids.encode()).hexdigest()
        row = f"| {manifest['language']} | {manifest['task']} | {manifest['split']} | {manifest['clips']} |"
        assert row in text
    for language, reasons in corpus.left_out.items():
        entries = {
            line.partition(":")[0]
            for line in transcript(language).replace("lock-out-0", "lock-out").splitlines()
            if line and not line.startswith(";")
        }
        folder = audio_folder(language)
        recordings = {p.relative_to(folder).as_posix().removesuffix(".g722") for p in folder.rglob("*.g722")}
        left_out = sum(n for reason, n in reasons.items() if "of the translations" not in reason)
        kept = sum(m.clips for m in corpus.manifests if m.language == language and m.task == "transcribe")
        assert left_out + kept == len(entries | recordings)
        assert reasons["no speech"] >= 5
    assert corpus.left_out["it"]["no speech"] == 17  # "un suono beep" describes a sound too
    for credit in ("Allison Smith", "June Wallack", "Carlo Flora", "Maxim Topal", "CC BY-SA 3.0"):
        assert credit in text


@pytest.mark.real
def test_equal_arguments_give_equal_bytes(corpus: PreparedCorpus, tmp_path: Path) -> None:
    one = prepare_prompts(["Russian"], tmp_path / "one").directory
    two = prepare_prompts(["ru", "ru-RU"], tmp_path / "two").directory
    assert contents(one) == contents(two)
    of_all = contents(corpus.directory)
    for name, digest in contents(one).items():
        if name not in ("README.md", "prepare.json"):
            assert of_all[name] == digest


@pytest.mark.real
def test_limits(tmp_path: Path) -> None:
    corpus = prepare_prompts(["fr"], tmp_path / "out", minimum_words=8, maximum_seconds=5.0)
    for manifest in corpus.manifests:
        for u in read_manifest(corpus.directory / manifest.name):
            assert u.duration <= 5
            assert u.task == "translate" or len(u.text.split()) >= 8
    with pytest.raises(UsageError, match="'fr': no prompt is left"):
        prepare_prompts(["fr"], tmp_path / "none", minimum_words=1000)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"languages": ["es", "de"]}, "'de': the telephone prompts are spoken in en, es, fr, it, ru"),
        ({"languages": ["klingon"]}, "'klingon': the telephone prompts are spoken in"),
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
        prepare_prompts(out=tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert not empty_cache.exists()


def test_an_output_that_exists(empty_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(UsageError, match="the output exists already"):
        prepare_prompts(["es"], tmp_path / "out")
    assert not empty_cache.exists()


def test_without_network_the_sentence_says_what_to_place_where(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_sources, "_DEBIAN", NOWHERE)
    monkeypatch.setattr(prompt_sources, "_UPSTREAM", ("http://127.0.0.1:9/releases",))
    with pytest.raises(LorsError) as caught:
        prepare_prompts(["es"], tmp_path / "out")
    for part in (
        "asterisk-core-sounds-en_1.6.1-1_all.deb could not be fetched; tried http://127.0.0.1:9/debian/pool",
        "http://127.0.0.1:9/releases/asterisk-core-sounds-en-g722-1.6.1.tar.gz",
        f"place either file in {empty_cache / 'downloads'}",
    ):
        assert part in str(caught.value)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out").exists()


def release_tar(language: str, path: Path, change: bytes = b"") -> None:
    """The Asterisk project's release of one language, rebuilt from what Debian ships."""
    folder = audio_folder(language)
    with tarfile.open(path, "w:gz") as archive:
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.g722")}
        source = cache_directory() / "corpora" / f"asterisk-core-sounds-{language}-1.6.1"
        files[f"core-sounds-{language}.txt"] = (source / f"core-sounds-{language}.txt").read_bytes() + change
        files[f"CREDITS-asterisk-core-{language}-1.6.1"] = b"Recorded by"
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.real
def test_the_releases_of_the_asterisk_project_do_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = tmp_path / "releases"
    releases.mkdir()
    release_tar("ru", releases / "asterisk-core-sounds-ru-g722-1.6.1.tar.gz")
    release_tar("it", releases / "asterisk-core-sounds-it-g722-1.6.1.tar.gz", change=b"more")
    expected = contents(audio_folder("ru")), transcript("ru")
    monkeypatch.setenv("LORS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prompt_sources, "_DEBIAN", NOWHERE)
    monkeypatch.setattr(prompt_sources, "_UPSTREAM", (releases.as_uri(),))
    assert (contents(audio_folder("ru")), transcript("ru")) == expected
    with pytest.raises(LorsError, match=r"it-g722-1.6.1.tar.gz: not the files of .* remove it"):
        transcript("it")
    monkeypatch.setattr(prompt_sources, "_UPSTREAM", NOWHERE)  # from here on only the cache
    assert transcript("ru") == expected[1]


@pytest.mark.real
def test_what_was_changed_in_the_cache_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = transcript("fr")
    deb = cache_directory() / "downloads" / "asterisk-core-sounds-fr_1.6.1-1_all.deb"
    monkeypatch.setenv("LORS_CACHE", str(tmp_path))
    monkeypatch.setattr(prompt_sources, "_DEBIAN", NOWHERE)
    (tmp_path / "downloads").mkdir()
    shutil.copy(deb, tmp_path / "downloads")
    assert transcript("fr") == expected
    kept = tmp_path / "corpora" / "asterisk-core-sounds-fr-1.6.1" / "core-sounds-fr.txt"
    kept.write_text("vm-no: changed")
    assert transcript("fr") == expected


@pytest.mark.real
@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb on this system")
def test_unpacking_equals_that_of_dpkg(tmp_path: Path) -> None:
    audio_folder("it")
    deb = cache_directory() / "downloads" / "asterisk-core-sounds-it-g722_1.6.1-1_all.deb"
    subprocess.run(["dpkg-deb", "--extract", deb, tmp_path], check=True)
    unpacked = tmp_path / "usr" / "share" / "asterisk" / "sounds" / "it_IT_m_Carlo"
    assert contents(audio_folder("it")) == contents(unpacked)
