"""VoxPopuli: speeches of the European Parliament, transcribed, in 16 languages."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from lors.base.errors import UsageError
from lors.base.files import refuse_existing
from lors.base.visible import visible
from lors.speech.corpora.clips import Clip, checked
from lors.speech.corpora.left_out import LONGEST_SECONDS, LeftOut
from lors.speech.corpora.prepared import Card, Part, PreparedCorpus, write_corpus
from lors.speech.corpora.releases import (
    choose_splits,
    code_or_none,
    existing_folder,
    language_folders,
    typed,
)
from lors.speech.corpora.text_files import count_lines, table_rows

_SPLITS = {"train": "train", "dev": "dev", "test": "test"}
_TEXTS = {"raw": "raw_text", "normalised": "normalized_text"}
_ACCENTED = "_accented"
_NO_SPEAKER = ("", "None", "nan")


def prepare_voxpopuli(
    corpus: Path,
    languages: Sequence[str],
    out: Path,
    *,
    splits: Sequence[str] = (),
    text: Literal["raw", "normalised"] = "normalised",
    maximum_seconds: float = LONGEST_SECONDS,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> PreparedCorpus:
    """Write manifests of VoxPopuli's transcribed speech.

    The layout is what `python -m voxpopuli.get_asr_data` leaves (facebookresearch/voxpopuli): `transcribed_data/LANG/
    asr_{train,dev,test}.tsv`, with a header, and `transcribed_data/LANG/YEAR/ID.ogg`, where the year is the
    id's first four characters. `en_accented` has a test split alone, whose manifest is `…-test-accented`.

    Args:
        corpus: the folder of `transcribed_data`.
        languages: Whisper's codes, English names or folders (`en`, `en_accented`).
        out: the folder to write; the audio stays where it is.
        splits: of train, dev, test; by default all.
        text: "raw", as written (which many clips lack), or "normalised", in lower case without punctuation.
        maximum_seconds: longer clips are left out; at most 30.
        skip_bad: leave bad rows out and count them.
        overwrite: replace `out`.

    Raises:
        UsageError: a folder, a table or a split is missing, a language is none of the corpus, or `out` exists.
        LorsError: a row is bad and `skip_bad` is false; no clip is left; the disk is full.
    """
    corpus, out = Path(corpus), Path(out)
    root = existing_folder(corpus / "transcribed_data", "what voxpopuli.get_asr_data writes")
    if text not in _TEXTS:
        raise UsageError(f"text: '{text}' was given; raw or normalised is expected.")
    spoken = language_folders(root, languages, _code)
    rules = LeftOut(skip_bad, maximum_seconds)
    chosen = {
        folder: choose_splits(splits, _SPLITS, ["test"] if folder.endswith(_ACCENTED) else list(_SPLITS))
        for folder in spoken
    }
    refuse_existing(out, overwrite)
    settings = {
        "corpus": str(corpus),
        "languages": list(spoken),
        "splits": list(splits),
        "text": text,
        "maximum_seconds": maximum_seconds,
        "skip_bad": skip_bad,
    }
    card = Card(
        "VoxPopuli",
        "https://github.com/facebookresearch/voxpopuli (Wang et al., ACL 2021); recordings of the European Parliament",
        "CC0; for the recordings see https://www.europarl.europa.eu/legal-notice/en/",
        typed(["voxpopuli"], {**settings, "out": str(out)}),
        ["The splits are the corpus's own. Texts are in NFC with single spaces."],
    )
    left_out: dict[str, Counter[str]] = {}
    parts = _parts(corpus, spoken, chosen, _TEXTS[text], rules, left_out)
    return write_corpus(out, parts, left_out, card, settings, overwrite=overwrite)


def _code(folder: str) -> str | None:
    return code_or_none(folder.removesuffix(_ACCENTED))


def _parts(
    corpus: Path,
    spoken: dict[str, str],
    chosen: dict[str, dict[str, str]],
    column: str,
    rules: LeftOut,
    left_out: dict[str, Counter[str]],
) -> Iterator[Part]:
    for folder, language in spoken.items():
        counting = replace(rules, counts=left_out.setdefault(f"{folder}-transcribe", Counter()))
        for split in chosen[folder]:
            table = f"transcribed_data/{folder}/asr_{split}.tsv"
            clips = _clips(corpus, folder, split, table, column, counting)
            total = count_lines(corpus / table) - 1
            utterances = checked(clips, language, language, counting, f"VoxPopuli {folder} {split}", total)
            name = f"{split}-accented" if folder.endswith(_ACCENTED) else split
            yield Part(language, language, name, utterances)


def _clips(
    corpus: Path, folder: str, split: str, table: str, column: str, left_out: LeftOut
) -> Iterator[Clip]:
    columns = ("id", column, "speaker_id", "split")
    for number, row in table_rows(corpus / table, columns, left_out, header=True):
        where = f"{corpus / table}:{number}"
        if row["split"] != split:
            what = f"the split is '{visible(row['split'][:60])}', the file's is '{split}'"
            left_out.bad(where, "another split", what)
            continue
        speaker = row["speaker_id"].strip()
        yield Clip(
            where=where,
            id=row["id"],
            folder=corpus,
            audio=str(PurePosixPath("transcribed_data", folder, row["id"][:4], f"{row['id']}.ogg")),
            text=row[column],
            speaker=None if speaker in _NO_SPEAKER else speaker,
        )
