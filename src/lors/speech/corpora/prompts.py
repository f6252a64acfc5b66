"""The telephone prompts of Asterisk: real human speech, parallel in five languages, with transcripts."""

from collections import Counter
from collections.abc import Mapping, Sequence
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
from lors.speech.audio import audio_duration, load_audio
from lors.speech.corpora.prepared import (
    RECORD,
    Part,
    PreparedCorpus,
    PreparedManifest,
    prepared_before,
    record,
    write_part,
)
from lors.speech.corpora.prompt_corrections import NOT_TRANSLATIONS
from lors.speech.corpora.prompt_readme import readme
from lors.speech.corpora.prompt_sources import VERSION, VOICES, audio_folder, transcript
from lors.speech.corpora.prompt_transcripts import clean, count_words, is_description, parse
from lors.speech.corpora.recorded import LONGEST_SECONDS, check_limits, choose_languages, write_flac
from lors.speech.corpora.splits import SPLITS, groups_of_equal_text, split_of
from lors.speech.manifest import Utterance

NORMALISER = "fold-diacritics"
"""The profile that transcriptions ask for: no transcript of these prompts writes its accents reliably."""

_BYTES_PER_LANGUAGE = 40 << 20


@dataclass
class _Selection:
    """The prompts of one language that are kept: id → text, id → seconds; and what became of the others."""

    texts: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)


def prepare_prompts(
    languages: Sequence[str],
    out: Path,
    *,
    overwrite: bool = False,
    reuse: bool = False,
    minimum_words: int = 3,
    maximum_seconds: float = LONGEST_SECONDS,
) -> PreparedCorpus:
    """Write manifests and 16 kHz audio of the telephone prompts: transcription, and translation into English.

    The splits (about 66 % train, 12 % dev, 22 % test) follow from a hash of the prompt's id and are the same
    in every language; prompts with equal texts in any language share a split. The same arguments give the
    same bytes.

    Args:
        languages: of en, es, fr, it, ru; English has no translation.
        out: the folder to write, self-contained.
        overwrite: replace `out` if it exists.
        reuse: return what is at `out` if the same settings and version made it.
        minimum_words: shorter prompts are left out.
        maximum_seconds: longer prompts are left out; at most 30.

    Raises:
        UsageError: a language is none of the five, a limit is out of range, or `out` exists.
        LorsError: the recordings are not in the cache and cannot be fetched, or the disk is full.
    """
    out = Path(out)
    chosen = choose_languages(languages, VOICES, "the telephone prompts are spoken in")
    check_limits(minimum_words, maximum_seconds)
    settings = {"languages": chosen, "minimum_words": minimum_words, "maximum_seconds": maximum_seconds}
    if reuse and (earlier := prepared_before(out, settings)):
        return earlier
    refuse_existing(out, overwrite)
    require_free_space(out, _BYTES_PER_LANGUAGE * len(chosen))
    raw = {language: parse(transcript(language)) for language in VOICES}
    spoken = {language: _spoken(language, raw) for language in VOICES}
    groups = groups_of_equal_text(spoken.values())
    folders = {language: audio_folder(language) for language in chosen}
    selections = {
        language: _select(language, folder, raw[language], spoken[language], minimum_words, maximum_seconds)
        for language, folder in folders.items()
    }
    with atomic_directory(out, overwrite) as partial:
        _convert(folders, selections, partial / "audio")
        manifests = []
        for language, selection in selections.items():
            manifests += _write_manifests(partial, language, language, selection, selection.texts, groups)
            if language != "en":
                english = _english(language, selection, spoken["en"])
                manifests += _write_manifests(partial, language, "en", selection, english, groups)
        corpus = PreparedCorpus(
            out,
            manifests,
            {language: dict(+selection.left_out) for language, selection in selections.items()},
            {language: dict(+selection.repairs) for language, selection in selections.items()},
        )
        about = record(corpus, f"asterisk-core-sounds {VERSION}", settings)
        write_json(partial / RECORD, {**about, "normaliser": NORMALISER})
        write_text(partial / "README.md", readme(corpus, settings, NORMALISER))
    return corpus


def _spoken(language: str, raw: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """id → cleaned text of what is speech: where English describes a sound, it is one in every language."""
    return {
        identifier: clean(identifier, text, language, Counter())
        for identifier, text in raw[language].items()
        if text and not is_description(text) and not is_description(raw["en"].get(identifier, ""))
    }


def _select(
    language: str,
    folder: Path,
    raw: Mapping[str, str],
    spoken: Mapping[str, str],
    minimum_words: int,
    maximum_seconds: float,
) -> _Selection:
    selection = _Selection()
    recordings = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in folder.rglob("*.g722")
        if path.stat().st_size  # the Russian `is` is empty
    }
    for identifier in sorted(raw.keys() | recordings.keys()):
        recording = recordings.get(identifier)
        seconds = audio_duration(recording) if recording else 0.0
        if not raw.get(identifier):
            reason = "no transcript"
        elif identifier not in spoken:
            reason = "no speech"
        elif not recording:
            reason = "no recording"
        elif count_words(spoken[identifier]) < minimum_words:
            reason = f"fewer than {minimum_words} words"
        elif seconds > maximum_seconds:
            reason = f"longer than {maximum_seconds:g} s"
        else:
            selection.texts[identifier] = clean(identifier, raw[identifier], language, selection.repairs)
            selection.seconds[identifier] = seconds
            continue
        selection.left_out[reason] += 1
    if not selection.texts:
        raise UsageError(
            f"'{language}': no prompt is left; lower the minimum words or raise the maximum seconds."
        )
    return selection


def _english(language: str, selection: _Selection, spoken: Mapping[str, str]) -> dict[str, str]:
    """id → English text of the prompts that are kept; those that have none are counted."""
    english = {
        identifier: spoken[identifier]
        for identifier in selection.texts
        if identifier in spoken and (language, identifier) not in NOT_TRANSLATIONS
    }
    selection.left_out["no English text (of the translations)"] = len(selection.texts) - len(english)
    return english


def _convert(folders: Mapping[str, Path], selections: Mapping[str, _Selection], audio: Path) -> None:
    """Write `audio/LANGUAGE/ID.flac`, 16 kHz mono 16 bit, of every prompt that is kept."""
    clips = [(language, i) for language, selection in selections.items() for i in selection.texts]
    with progress("Converting", len(clips), "clips") as advance:
        for language, identifier in clips:
            samples = load_audio(folders[language] / f"{identifier}.g722")
            path = audio / language / f"{identifier}.flac"
            write_flac(samples, path)
            advance(1)


def _write_manifests(
    directory: Path,
    language: str,
    target: str,
    selection: _Selection,
    texts: Mapping[str, str],
    groups: Mapping[str, str],
) -> list[PreparedManifest]:
    """Write the manifests of one task, one for each split, in the order of the ids."""
    utterances: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for identifier in selection.texts:
        if identifier in texts:
            utterances[split_of(groups[identifier])].append(
                Utterance(
                    id=identifier,
                    audio_filepath=(directory / "audio" / language / f"{identifier}.flac").absolute(),
                    duration=selection.seconds[identifier],
                    text=texts[identifier],
                    source_lang=language,
                    target_lang=target,
                    speaker=VOICES[language],
                    normaliser=NORMALISER if target == language else None,
                )
            )
    parts = (Part(language, target, split, clips) for split, clips in utterances.items())
    return [made for part in parts if (made := write_part(directory, part)) is not None]
