"""FLEURS: sentences of FLORES read aloud in 102 languages, parallel by their ids."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from lors.base.errors import LorsError, UsageError
from lors.base.files import refuse_existing
from lors.base.visible import visible
from lors.speech.audio import SAMPLE_RATE
from lors.speech.corpora.clips import Clip, checked, plain_text
from lors.speech.corpora.left_out import LONGEST_SECONDS, LeftOut
from lors.speech.corpora.prepared import Card, Part, PreparedCorpus, write_corpus
from lors.speech.corpora.releases import (
    choose_splits,
    code_or_none,
    existing_folder,
    language_folders,
    one_folder_each,
    typed,
)
from lors.speech.corpora.text_files import count_lines, table_rows
from lors.speech.manifest import Utterance

COLUMNS = (
    "id", "file_name", "raw_transcription", "transcription", "characters", "num_samples", "gender",
)  # fmt: skip
"""The seven columns of `LANGUAGE/SPLIT.tsv`, which has no header."""

_SPLITS = {"train": "train", "dev": "dev", "test": "test"}
_TEXTS = {"raw": "raw_transcription", "normalised": "transcription"}
# Folders whose first part is not Whisper's code.
_OTHER_CODES = {"cmn": "zh", "fil": "tl", "jv": "jw", "nb": "no"}


@dataclass
class _Reading:
    """What the parts share: where, which, and what became of it."""

    corpus: Path
    column: str
    rules: LeftOut
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    several_texts: Counter[str] = field(default_factory=Counter)
    kept: dict[str, list[Utterance]] = field(default_factory=dict)

    def counting(self, name: str) -> LeftOut:
        """The rules, counting under `name`."""
        rules = self.rules.fresh()
        return replace(rules, counts=self.left_out.setdefault(name, rules.counts))


def prepare_fleurs(
    corpus: Path,
    languages: Sequence[str],
    out: Path,
    *,
    targets: Sequence[str] = (),
    splits: Sequence[str] = (),
    text: Literal["raw", "normalised"] = "raw",
    maximum_seconds: float = LONGEST_SECONDS,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> PreparedCorpus:
    """Write manifests of FLEURS: transcription, and translation into the languages of `targets`.

    The layout is that of the release (storage.googleapis.com/xtreme_translations/FLEURS102/xx_yy.tar.gz, as
    TensorFlow Datasets' `xtreme_s` reads it): `xx_yy/{train,dev,test}.tsv` without a header, and
    `xx_yy/audio/{train,dev,test}/*.wav`. A sentence is read by up to three people; the utterance's id is the
    sentence's and the file's, as `1234_10004088536354799741`. Its translation is the text that the other
    language's table of the same split has under the sentence's id (openai/whisper, data/README.md), the first
    where its rows differ.

    Args:
        corpus: the folder of the language folders.
        languages: that are spoken: Whisper's codes, English names or folders (`es`, `Spanish`, `es_419`).
        out: the folder to write; the audio stays where it is.
        targets: of the translations; the language that is spoken is passed over.
        splits: of train, dev, test; all by default.
        text: "raw", as written, or "normalised", without case and punctuation.
        maximum_seconds: longer clips are left out; at most 30.
        skip_bad: leave bad rows out and count them.
        overwrite: replace `out`.

    Raises:
        UsageError: a folder, a table or a split is missing, a language is none of the corpus, or `out` exists.
        LorsError: a row is bad and `skip_bad` is false; no clip is left; the disk is full.
    """
    corpus, out = Path(corpus), Path(out)
    existing_folder(corpus, "the folder of FLEURS's languages, as es_419")
    if text not in _TEXTS:
        raise UsageError(f"text: '{text}' was given; raw or normalised is expected.")
    spoken = one_folder_each(language_folders(corpus, languages, _code))
    written = one_folder_each(language_folders(corpus, targets, _code)) if targets else {}
    chosen = choose_splits(splits, _SPLITS, list(_SPLITS))
    reading = _Reading(corpus, _TEXTS[text], LeftOut(skip_bad, maximum_seconds))
    refuse_existing(out, overwrite)
    settings = {
        "corpus": str(corpus),
        "languages": list(spoken),
        "targets": list(written),
        "splits": list(chosen),
        "text": text,
        "maximum_seconds": maximum_seconds,
        "skip_bad": skip_bad,
    }
    notes = [
        "The splits are the corpus's own. An id is the sentence's id and the recording's file name. "
        "Texts are in NFC with single spaces."
    ]
    card = Card(
        "FLEURS",
        "https://huggingface.co/datasets/google/fleurs (Conneau et al., 2022, arXiv:2205.12446)",
        "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
        typed(["fleurs"], {**settings, "out": str(out)}),
        notes,
    )
    parts = _parts(reading, spoken, written, list(chosen), notes)
    return write_corpus(out, parts, reading.left_out, card, settings, overwrite=overwrite)


def _code(folder: str) -> str | None:
    first = folder.partition("_")[0]
    return code_or_none(_OTHER_CODES.get(first, first)) if "_" in folder else None


def _parts(
    reading: _Reading, spoken: dict[str, str], written: dict[str, str], splits: list[str], notes: list[str]
) -> Iterator[Part]:
    for folder, language in spoken.items():
        for split in splits:
            yield Part(language, language, split, _transcribed(reading, folder, language, split))
        for other, target in written.items():
            for split in splits if target != language else ():
                yield Part(
                    language, target, split, _translated(reading, folder, language, other, target, split)
                )
        reading.kept.clear()
    for folder, number in reading.several_texts.items():
        notes.append(f"{number} sentences of {folder} have several texts under one id; the first is taken.")


def _transcribed(reading: _Reading, folder: str, language: str, split: str) -> Iterator[Utterance]:
    left_out = reading.counting(f"{language}-transcribe")
    kept = reading.kept.setdefault(split, [])
    clips = _clips(reading, folder, split, left_out)
    total = count_lines(reading.corpus / folder / f"{split}.tsv")
    for utterance in checked(clips, language, language, left_out, f"FLEURS {folder} {split}", total):
        kept.append(utterance)
        yield utterance


def _translated(
    reading: _Reading, folder: str, language: str, other: str, target: str, split: str
) -> Iterator[Utterance]:
    name = f"{language}-translate{'' if target == 'en' else f'-{target}'}"
    left_out = reading.counting(name)
    texts = _texts(reading, other, split)
    some = False
    for utterance in reading.kept[split]:
        text = texts.get(utterance.id.partition("_")[0])
        if text is None:
            left_out.counts[f"no text in {target}"] += 1
            continue
        some = True
        yield replace(utterance, text=text, target_lang=target)
    if not some:
        raise LorsError(f"{reading.corpus}: no id of {folder}/{split}.tsv is one of {other}/{split}.tsv.")


def _texts(reading: _Reading, folder: str, split: str) -> dict[str, str]:
    """Sentence id → text."""
    texts: dict[str, str] = {}
    differ = set()
    for row in _rows(reading.corpus, folder, split, reading.rules.fresh()):
        text = plain_text(row[1][reading.column])
        if text and texts.setdefault(row[1]["id"], text) != text:
            differ.add(row[1]["id"])
    if differ:
        reading.several_texts[f"{folder}/{split}"] = len(differ)
    return texts


def _clips(reading: _Reading, folder: str, split: str, left_out: LeftOut) -> Iterator[Clip]:
    for number, row in _rows(reading.corpus, folder, split, left_out):
        yield Clip(
            where=f"{reading.corpus / folder / split}.tsv:{number}",
            id=f"{row['id']}_{PurePosixPath(row['file_name']).stem}",
            folder=reading.corpus,
            audio=str(PurePosixPath(folder, "audio", split, row["file_name"])),
            text=row[reading.column],
            stated=int(row["num_samples"]) / SAMPLE_RATE,
        )


def _rows(corpus: Path, folder: str, split: str, left_out: LeftOut) -> Iterable[tuple[int, dict[str, str]]]:
    """The rows of a table whose id and number of samples are numbers."""
    path = corpus / folder / f"{split}.tsv"
    for number, row in table_rows(path, COLUMNS, left_out, header=False):
        wrong = next((c for c in ("id", "num_samples") if not (row[c].isascii() and row[c].isdigit())), None)
        if wrong is None and len(row["num_samples"]) < 12:
            yield number, row
        else:
            wrong = wrong or "num_samples"
            what = f"the {wrong} is '{visible(row[wrong][:60])}'; a number was expected"
            left_out.bad(f"{path}:{number}", "malformed row", what)
