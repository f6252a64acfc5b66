"""The stamps of Tux Paint: what they say of themselves, in nine languages, with English descriptions."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lors.base.errors import UsageError
from lors.base.files import (
    atomic_directory,
    refuse_existing,
    require_free_space,
    write_json,
    write_text,
)
from lors.base.progress import progress
from lors.speech.audio import SAMPLE_RATE, audio_duration, load_audio
from lors.speech.corpora.prepared import (
    RECORD,
    Part,
    PreparedCorpus,
    PreparedManifest,
    prepared_before,
    record,
    write_part,
)
from lors.speech.corpora.recorded import LONGEST_SECONDS, check_limits, choose_languages, write_flac
from lors.speech.corpora.splits import SPLITS, groups_of_equal_text, split_of
from lors.speech.corpora.stamps_corrections import NOT_TRANSLATIONS, NOT_WHAT_IS_SAID
from lors.speech.corpora.stamps_readme import readme
from lors.speech.corpora.stamps_sources import LANGUAGES, VERSION, recordings, stamps_folder, voice
from lors.speech.corpora.stamps_transcripts import clean, count_letters, count_words, read_descriptions
from lors.speech.manifest import Utterance

LETTERS_PER_SECOND = 22.0
"""A text that takes more is not what is said: of 100 recordings that fit their texts, one or none is as fast."""

_BYTES_PER_LANGUAGE = 40 << 20
_WORKERS = 2


@dataclass
class _Selection:
    """The stamps of one language that are kept: id → text, id → recording; and what became of the others."""

    texts: dict[str, str] = field(default_factory=dict)
    recordings: dict[str, Path] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)


def prepare_stamps(
    languages: Sequence[str],
    out: Path,
    *,
    overwrite: bool = False,
    reuse: bool = False,
    minimum_words: int = 1,
    maximum_seconds: float = LONGEST_SECONDS,
) -> PreparedCorpus:
    """Write manifests and 16 kHz audio of the stamps' spoken descriptions: transcription, and translation into English.

    The splits (about 66 % train, 12 % dev, 22 % test) follow from a hash of the stamp's id and are the same in
    every language; stamps with equal texts in any language share a split. The same arguments give the same bytes.

    Args:
        languages: of ca, es, fr, ru, ro, bg, be, el, da.
        out: the folder to write, self-contained.
        overwrite: replace `out` if it exists.
        reuse: return what is at `out` if the same settings and version made it.
        minimum_words: shorter descriptions are left out.
        maximum_seconds: longer recordings are left out; at most 30.

    Raises:
        UsageError: a language is none of the nine, a limit is out of range, or `out` exists.
        LorsError: the recordings are not in the cache and cannot be fetched, or the disk is full.
    """
    out = Path(out)
    chosen = choose_languages(languages, LANGUAGES, "the stamps are described in")
    check_limits(minimum_words, maximum_seconds)
    settings = {"languages": chosen, "minimum_words": minimum_words, "maximum_seconds": maximum_seconds}
    if reuse and (earlier := prepared_before(out, settings)):
        return earlier
    refuse_existing(out, overwrite)
    require_free_space(out, _BYTES_PER_LANGUAGE * len(chosen))
    folder = stamps_folder()
    raw = read_descriptions(folder)
    spoken = {language: _spoken(language, raw[language]) for language in ("en", *LANGUAGES)}
    groups = groups_of_equal_text(spoken.values())
    selections = {
        language: _select(language, folder, raw[language], minimum_words, maximum_seconds)
        for language in chosen
    }
    with atomic_directory(out, overwrite) as partial:
        seconds = _convert(selections, partial / "audio")
        manifests = []
        for language, selection in selections.items():
            english = _english(language, selection, spoken["en"])
            for target, texts in ((language, selection.texts), ("en", english)):
                manifests += _write_manifests(partial, language, target, selection, texts, seconds, groups)
        corpus = PreparedCorpus(
            out,
            manifests,
            {language: dict(+selection.left_out) for language, selection in selections.items()},
            {language: dict(+selection.repairs) for language, selection in selections.items()},
        )
        write_json(partial / RECORD, record(corpus, f"tuxpaint-stamps {VERSION}", settings))
        write_text(partial / "README.md", readme(corpus, settings, LETTERS_PER_SECOND))
    return corpus


def _spoken(language: str, raw: Mapping[str, str]) -> dict[str, str]:
    return {identifier: clean(identifier, text, language, Counter()) for identifier, text in raw.items()}


def _select(
    language: str, folder: Path, raw: Mapping[str, str], minimum_words: int, maximum_seconds: float
) -> _Selection:
    selection = _Selection()
    found = recordings(folder, language)
    first_with: dict[str, str] = {}
    for identifier in sorted(raw.keys() | found.keys()):
        recording = found.get(identifier)
        seconds = audio_duration(recording) if recording else 0.0
        repairs: Counter[str] = Counter()
        text = clean(identifier, raw.get(identifier, ""), language, repairs)
        if not text:
            reason = "no text"
        elif not recording:
            reason = "no recording"
        elif count_words(text) < minimum_words:
            reason = f"fewer than {minimum_words} words"
        elif seconds > maximum_seconds:
            reason = f"longer than {maximum_seconds:g} s"
        elif identifier in NOT_WHAT_IS_SAID.get(language, ()):
            reason = "text is not what is said"
        elif count_letters(text) > LETTERS_PER_SECOND * seconds:
            reason = f"text of more than {LETTERS_PER_SECOND:g} letters a second"
        elif first_with.setdefault(_digest(recording), identifier) != identifier:
            reason = "recording of another stamp too"
        else:
            selection.texts[identifier] = text
            selection.recordings[identifier] = recording
            selection.repairs += repairs
            continue
        selection.left_out[reason] += 1
    if not selection.texts:
        raise UsageError(
            f"'{language}': no stamp is left; lower the minimum words or raise the maximum seconds."
        )
    return selection


def _digest(recording: Path) -> str:
    """Of an Ogg file without what two files of the same sound differ in: serial numbers, and with them checksums."""
    content = bytearray(recording.read_bytes())
    page = content.find(b"OggS")
    while page >= 0:
        content[page + 14 : page + 18] = content[page + 22 : page + 26] = bytes(4)
        page = content.find(b"OggS", page + 27)
    return hashlib.sha256(content).hexdigest()


def _english(language: str, selection: _Selection, english: Mapping[str, str]) -> dict[str, str]:
    """id → English text of the stamps that are kept; those that have none are counted."""
    others = NOT_TRANSLATIONS.get(language, ())
    texts = {i: english[i] for i in selection.texts if i in english and i not in others}
    selection.left_out["no English text (of the translations)"] = len(selection.texts) - len(texts)
    return texts


def _convert(selections: Mapping[str, _Selection], audio: Path) -> dict[tuple[str, str], float]:
    """Write `audio/LANGUAGE/ID.flac`, 16 kHz mono 16 bit, of every stamp that is kept; return their seconds."""
    clips = [(language, i) for language, selection in selections.items() for i in selection.texts]

    def convert(clip: tuple[str, str]) -> float:
        language, identifier = clip
        samples = load_audio(selections[language].recordings[identifier])
        path = audio / language / f"{identifier}.flac"
        write_flac(samples, path)
        return len(samples) / SAMPLE_RATE

    seconds = {}
    with progress("Converting", len(clips), "clips") as advance, ThreadPoolExecutor(_WORKERS) as pool:
        for clip, duration in zip(clips, pool.map(convert, clips), strict=True):
            seconds[clip] = duration
            advance(1)
    return seconds


def _write_manifests(
    directory: Path,
    language: str,
    target: str,
    selection: _Selection,
    texts: Mapping[str, str],
    seconds: Mapping[tuple[str, str], float],
    groups: Mapping[str, str],
) -> list[PreparedManifest]:
    """Write the manifests of one task, one for each split, in the order of the ids."""
    utterances: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for identifier, text in texts.items():
        utterances[split_of(groups[identifier])].append(
            Utterance(
                id=identifier,
                audio_filepath=(directory / "audio" / language / f"{identifier}.flac").absolute(),
                duration=seconds[language, identifier],
                text=text,
                source_lang=language,
                target_lang=target,
                speaker=voice(language, selection.recordings[identifier]),
            )
        )
    parts = (Part(language, target, split, clips) for split, clips in utterances.items())
    return [made for part in parts if (made := write_part(directory, part)) is not None]
