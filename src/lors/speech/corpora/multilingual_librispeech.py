"""Multilingual LibriSpeech: audiobooks of LibriVox in eight languages, with transcripts."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lors.base.errors import UsageError
from lors.base.files import refuse_existing
from lors.base.visible import visible
from lors.speech.corpora.clips import Clip, checked
from lors.speech.corpora.inside import there
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
from lors.speech.corpora.text_files import count_lines, numbered_lines, table_rows

_USUAL = ("train", "dev", "test")
_SPLITS = {name: name for name in (*_USUAL, "train-10h", "train-9h", "train-1h")}
# Below train/limited_supervision: ten hours are nine and one, and one hour is six folds of ten minutes.
_HANDLES = {"train-9h": ("9hr",), "train-1h": ("1hr",), "train-10h": ("9hr", "1hr")}
_ID = re.compile(r"[0-9]+_[0-9]+_[0-9]+")
_OPUS = "_opus"


def prepare_multilingual_librispeech(
    corpus: Path,
    languages: Sequence[str],
    out: Path,
    *,
    splits: Sequence[str] = (),
    maximum_seconds: float = LONGEST_SECONDS,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> PreparedCorpus:
    """Write manifests of Multilingual LibriSpeech (transcription).

    The layout is that of openslr.org/94, as ESPnet's `egs2/mls` and Lhotse's `recipes/mls.py` read it:
    `mls_german/{train,dev,test}/transcripts.txt`, a line `SPEAKER_BOOK_NUMBER`, tab, text, and the audio in
    `…/audio/SPEAKER/BOOK/ID.flac`, or `ID.opus` in `mls_german_opus`. The small training sets are lists of ids,
    `train/limited_supervision/{9hr,1hr/0…5}/handles.txt`.

    Args:
        corpus: the folder of `mls_german` and its like.
        languages: Whisper's codes, English names or folders (`de`, `German`, `mls_german_opus`).
        out: the folder to write; the audio stays where it is.
        splits: of train, dev, test (the default), train-10h, train-9h and train-1h.
        maximum_seconds: longer clips are left out; at most 30.
        skip_bad: leave bad rows out and count them.
        overwrite: replace `out`.

    Raises:
        UsageError: a folder, a list or a split is missing, a language is none of the corpus, or `out` exists.
        LorsError: a row is bad and `skip_bad` is false; no clip is left; the disk is full.
    """
    corpus, out = Path(corpus), Path(out)
    existing_folder(corpus, "the folder of mls_german and its like")
    spoken = one_folder_each(language_folders(corpus, languages, _code))
    chosen = choose_splits(splits, _SPLITS, _USUAL)
    rules = LeftOut(skip_bad, maximum_seconds)
    refuse_existing(out, overwrite)
    settings = {
        "corpus": str(corpus),
        "languages": list(spoken),
        "splits": list(chosen),
        "maximum_seconds": maximum_seconds,
        "skip_bad": skip_bad,
    }
    card = Card(
        "Multilingual LibriSpeech",
        "https://www.openslr.org/94/ (Pratap et al., Interspeech 2020, arXiv:2012.03411); recordings of LibriVox",
        "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
        typed(["multilingual-librispeech"], {**settings, "out": str(out)}),
        ["The splits are the corpus's own; train-10h, train-9h and train-1h are parts of train."],
    )
    left_out: dict[str, Counter[str]] = {}
    parts = _parts(corpus, spoken, list(chosen), rules, left_out)
    return write_corpus(out, parts, left_out, card, settings, overwrite=overwrite)


def _code(folder: str) -> str | None:
    if not folder.startswith("mls_") or folder.startswith("mls_lm"):
        return None
    return code_or_none(folder.removeprefix("mls_").removesuffix(_OPUS))


def _parts(
    corpus: Path, spoken: dict[str, str], splits: list[str], rules: LeftOut, left_out: dict[str, Counter[str]]
) -> Iterator[Part]:
    for folder, language in spoken.items():
        counting = replace(rules, counts=left_out.setdefault(f"{language}-transcribe", Counter()))
        for split in splits:
            base = "train" if split in _HANDLES else split
            transcripts = corpus / folder / base / "transcripts.txt"
            wanted = _handles(corpus / folder, split) if split in _HANDLES else None
            clips = _clips(corpus, folder, base, wanted, counting)
            total = count_lines(transcripts) if wanted is None else len(wanted)
            name = f"MLS {folder} {split}"
            yield Part(language, language, split, checked(clips, language, language, counting, name, total))


def _handles(folder: Path, split: str) -> frozenset[str]:
    """The ids of a small training set."""
    root = folder / "train" / "limited_supervision"
    ids: set[str] = set()
    for part in _HANDLES[split]:
        lists = sorted([*(root / part).glob("handles.txt"), *(root / part).glob("*/handles.txt")])
        if not lists:
            raise UsageError(
                f"{root / part}: no handles.txt, which lists the clips of {split}; unpack all of it."
            )
        ids.update(line.strip() for path in lists for _, line in numbered_lines(path) if line.strip())
    return frozenset(ids)


def _clips(
    corpus: Path, folder: str, split: str, wanted: frozenset[str] | None, left_out: LeftOut
) -> Iterator[Clip]:
    transcripts = corpus / folder / split / "transcripts.txt"
    first, second = (".opus", ".flac") if folder.endswith(_OPUS) else (".flac", ".opus")
    unseen = set(wanted or ())
    for number, row in table_rows(transcripts, ("id", "text"), left_out, header=False):
        identifier = row["id"]
        if wanted is not None and identifier not in wanted:
            continue
        unseen.discard(identifier)
        where = f"{transcripts}:{number}"
        if not _ID.fullmatch(identifier):
            what = f"the id is '{visible(identifier[:60])}'; SPEAKER_BOOK_NUMBER, all digits, was expected"
            left_out.bad(where, "malformed row", what)
            continue
        speaker, book, _ = identifier.split("_")
        audio = f"{folder}/{split}/audio/{speaker}/{book}/{identifier}"
        only_second = not there(corpus / (audio + first)) and there(corpus / (audio + second))
        suffix = second if only_second else first
        yield Clip(where, identifier, corpus, audio + suffix, row["text"], speaker=speaker)
    for identifier in sorted(unseen):
        what = f"the clip '{visible(identifier[:60])}' of handles.txt has no line"
        left_out.bad(str(transcripts), "no transcript", what)
