"""Data sets of the Hugging Face Hub, by name or in a folder, with a map of their columns."""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.base.files import refuse_existing
from lors.speech.corpora.clips import Clip, kept_clips, plain_text
from lors.speech.corpora.hub_audio import NoAudioError, store_audio
from lors.speech.corpora.hub_files import HubDataset, ParquetFile, open_dataset, rows
from lors.speech.corpora.inside import OutsideError
from lors.speech.corpora.left_out import LONGEST_SECONDS, LeftOut
from lors.speech.corpora.prepared import Card, Part, PreparedCorpus, write_corpus
from lors.speech.corpora.releases import typed
from lors.speech.languages import language_code
from lors.speech.manifest import Utterance

ROLES = ("audio", "text", "translation", "id", "speaker")
"""What a column may be."""

_OUR_SPLITS = {"validation": "dev", "valid": "dev", "val": "dev"}
_FILES_IN_A_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class _Row(Clip):
    """A row, with its translation."""

    translation: str = ""


@dataclass
class _Reading:
    """What the parts share."""

    dataset: HubDataset
    columns: dict[str, str]
    source: str
    target: str | None
    rules: LeftOut
    left_out: dict[str, Counter[str]] = field(default_factory=dict)

    def counting(self, task: str) -> LeftOut:
        """The rules, counting under the name of a kind of manifest."""
        counts = self.left_out.setdefault(f"{self.source}-{task}", Counter())
        return LeftOut(self.rules.skip_bad, self.rules.maximum_seconds, counts)


def prepare_hub(
    dataset: str,
    out: Path,
    *,
    columns: Mapping[str, str],
    source_lang: str,
    target_lang: str | None = None,
    splits: Sequence[str] = ("train",),
    config: str | None = None,
    revision: str | None = None,
    licence: str | None = None,
    maximum_seconds: float = LONGEST_SECONDS,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> PreparedCorpus:
    """Write manifests of a data set in parquet, read row by row; embedded audio is written beside them.

    The format is what the library `datasets` writes: a column of audio is a struct of `bytes` and `path`; a
    column of bytes, or of paths, is read too. On the Hub only the columns that are named are fetched; where the data
    set itself has no parquet, the Hub's own conversion is read. No loading script is run.

    Args:
        dataset: a folder with parquet files, or a name on the Hub.
        out: the folder to write; audio goes to `audio/SPLIT/…` with its own extension, a path alone stays.
        columns: audio, text (in the language spoken), translation, id, speaker → name of the column; audio and
            one of the texts are needed. Without ids a clip is `SPLIT-0000001`.
        source_lang: that is spoken: Whisper's code or the English name.
        target_lang: of the column `translation`.
        splits: as the data set names them; validation becomes dev.
        config: the configuration, where there are several.
        revision: on the Hub.
        licence: where the data set does not state it.
        maximum_seconds: longer clips are left out; at most 30.
        skip_bad: leave bad rows out and count them.
        overwrite: replace `out`.

    Raises:
        UsageError: no such data set, split, configuration or column; a language or role that is none; `out` exists;
            pyarrow is not installed.
        LorsError: the Hub does not answer; a file is no parquet; a row is bad and `skip_bad` is false; no clip is
            left; the disk is full.
    """
    out = Path(out)
    source, target = language_code(source_lang), language_code(target_lang) if target_lang else None
    _check(columns, source, target)
    ours = _our_splits(splits)
    rules = LeftOut(skip_bad, maximum_seconds)
    refuse_existing(out, overwrite)
    opened = open_dataset(dataset, revision)
    files = {split: opened.files(split, config) for split in ours}
    settings = {
        "dataset": dataset,
        "revision": opened.revision,
        "config": config,
        "columns": dict(columns),
        "source_lang": source,
        "target_lang": target,
        "splits": list(ours),
        "maximum_seconds": maximum_seconds,
        "skip_bad": skip_bad,
    }
    flags = {
        "source_lang": source,
        "target_lang": target,
        "split": list(ours),
        "config": config,
        "revision": opened.revision,
        "maximum_seconds": maximum_seconds,
        "skip_bad": skip_bad,
        "out": str(out),
    }
    mapped = [word for role, column in columns.items() for word in ("--column", f"{role}={column}")]
    card = Card(
        dataset,
        opened.name
        if opened.folder
        else f"https://huggingface.co/datasets/{dataset}, revision {opened.revision}",
        licence or opened.licence or "not stated by the data set; ask those who made it",
        typed(["hub", dataset, *mapped], flags),
        ["The splits are the data set's own; validation is dev. Texts are in NFC with single spaces."],
    )
    reading = _Reading(opened, dict(columns), source, target, rules)

    def parts(folder: Path) -> Iterator[Part]:
        for split, mine in files.items():
            yield from _parts(reading, mine, ours[split], folder)

    return write_corpus(out, parts, reading.left_out, card, settings, overwrite=overwrite)


def _check(columns: Mapping[str, str], source: str, target: str | None) -> None:
    for role in columns:
        if role not in ROLES:
            raise UsageError(
                f"--column {role}=…: the columns are {', '.join(ROLES)}.{did_you_mean(role, ROLES)}"
            )
    if "audio" not in columns or not ({"text", "translation"} & columns.keys()):
        raise UsageError(
            "--column: audio and text, translation or both are needed, as --column text=sentence."
        )
    if ("translation" in columns) != (target is not None):
        raise UsageError("--column translation=… and --target-lang belong together; give both or neither.")
    if source == target:
        raise UsageError(
            f"the source and the target language are both '{source}'; a transcription is `text`."
        )


def _our_splits(names: Sequence[str]) -> dict[str, str]:
    """The data set's names of its splits → ours."""
    ours: dict[str, str] = {}
    for name in names:
        new = _OUR_SPLITS.get(name, re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"))
        if not new or new in ours.values():
            raise UsageError(f"--split {name}: named twice, or no name of a split; give each split once.")
        ours[name] = new
    if not ours:
        raise UsageError("--split: no split is named; give one, as train.")
    return ours


def _parts(reading: _Reading, files: list[ParquetFile], split: str, folder: Path) -> Iterator[Part]:
    """The transcription, then the translation of the same clips; the audio is written once."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder) as translations:
        source, target = reading.source, reading.target
        if "text" in reading.columns:
            yield Part(source, source, split, _first(reading, files, split, folder, source, translations))
            if target:
                yield Part(source, target, split, _translated(reading, split, translations))
        elif target:
            yield Part(source, target, split, _first(reading, files, split, folder, target, None))


def _first(
    reading: _Reading,
    files: list[ParquetFile],
    split: str,
    folder: Path,
    target: str,
    translations: IO[str] | None,
) -> Iterator[Utterance]:
    """The utterances of the part that reads the audio; what belongs to their translations is noted on the way."""
    counting = reading.counting(Part(reading.source, target, split, ()).task)
    kept = bytearray()
    clips = _clips(reading, files, split, folder, counting)
    for clip, utterance in kept_clips(
        clips, reading.source, target, counting, f"{reading.dataset.name} {split}", 0
    ):
        assert isinstance(clip, _Row)
        if clip.folder == folder:
            number = int(Path(clip.audio).stem)
            kept.extend(bytes(max(0, number + 1 - len(kept))))
            kept[number] = 1
        if translations is not None:
            noted = {
                "id": utterance.id,
                "audio_filepath": str(utterance.audio_filepath),
                "duration": utterance.duration,
                "text": plain_text(clip.translation),
                "speaker": utterance.speaker,
            }
            translations.write(json.dumps(noted) + "\n")
        yield utterance
    for path in (folder / "audio" / split).glob("*/*"):
        number = int(path.stem)
        if number >= len(kept) or not kept[number]:
            path.unlink()


def _translated(reading: _Reading, split: str, translations: IO[str]) -> Iterator[Utterance]:
    assert reading.target
    counting = reading.counting(Part(reading.source, reading.target, split, ()).task)
    some = False
    translations.seek(0)
    for line in translations:
        noted = json.loads(line)
        if not noted["text"]:
            counting.counts["no text"] += 1
            continue
        some = True
        path = Path(noted.pop("audio_filepath"))
        yield Utterance(audio_filepath=path, source_lang=reading.source, target_lang=reading.target, **noted)
    if not some:
        raise LorsError(f"{reading.dataset.name} {split}: no clip has a translation.")


def _clips(
    reading: _Reading, files: list[ParquetFile], split: str, folder: Path, left_out: LeftOut
) -> Iterator[_Row]:
    """Every row of the split, its audio written or found."""
    columns, total = reading.columns, 0
    wanted = list(dict.fromkeys(columns.values()))
    for file in files:
        for number, row in rows(file, wanted):
            total += 1
            where = f"{file.name}:{number}"
            name = f"audio/{split}/{total // _FILES_IN_A_FOLDER:04d}/{total:07d}"
            try:
                values = {
                    role: _text(role, row[column]) for role, column in columns.items() if role != "audio"
                }
                place, audio = store_audio(row[columns["audio"]], reading.dataset.folder, folder, name)
            except OutsideError as error:
                left_out.bad(where, "path outside the data set", str(error))
            except NoAudioError as error:
                left_out.bad(where, "no audio", str(error))
            except _NoTextError as error:
                left_out.bad(where, "malformed row", str(error))
            else:
                yield _Row(
                    where=where,
                    id=values.get("id") or f"{split}-{total:07d}",
                    folder=place,
                    audio=audio,
                    text=values["text" if "text" in columns else "translation"],
                    speaker=values.get("speaker") or None,
                    translation=values.get("translation", ""),
                )


class _NoTextError(LorsError):
    """A column that should be text is not."""


def _text(role: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and role in ("id", "speaker"):
        return str(value)
    raise _NoTextError(f"the column for '{role}' holds {type(value).__name__}; text was expected")
