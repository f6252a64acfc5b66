"""Common Voice alone, any release: manifests for transcription."""

from array import array
from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lors.base.errors import LorsError, UsageError
from lors.base.files import refuse_existing
from lors.base.progress import progress
from lors.speech.corpora.common_voice_layout import (
    LanguageFolder,
    find_language,
    language_names,
    stated_lengths,
)
from lors.speech.corpora.common_voice_rows import (
    Row,
    counting,
    is_of_this_language,
    table_rows,
    usable,
    utterance,
)
from lors.speech.corpora.leakage import HeldOut
from lors.speech.corpora.left_out import LONGEST_SECONDS, LeftOut
from lors.speech.corpora.prepared import Card, Part, PreparedCorpus, write_corpus
from lors.speech.corpora.releases import typed
from lors.speech.corpora.splits import SPLITS, Split, split_of
from lors.speech.manifest import Utterance

SOURCE = "Common Voice (Ardila et al., 2020, https://commonvoice.mozilla.org)"
LICENCE = (
    "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/; "
    "who downloads it agrees not to identify speakers"
)


@dataclass
class _Split:
    """What is kept of a table for one split.

    Attributes:
        table: where the rows stand.
        lines: of the rows, ascending.
        seconds: clip → its length, as `clip_durations.tsv` states it; 0 where it does not.
    """

    table: Path
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    seconds: dict[str, float] = field(default_factory=dict)


def prepare_common_voice(
    common_voice: Path,
    languages: Sequence[str],
    out: Path,
    *,
    speaker_splits: bool = False,
    maximum_seconds: float = LONGEST_SECONDS,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> PreparedCorpus:
    """Write manifests of a local release of Common Voice, for transcription; the audio stays where it is.

    The splits are the release's (`train.tsv`, `dev.tsv`, `test.tsv`), or with `speaker_splits` those of the
    speakers of `validated.tsv` by a fixed hash, about 66 % train, 12 % dev and 22 % test. Train loses the clips
    and the speakers of dev and test. Clips last what `clip_durations.tsv` says, where there is one; else their
    headers are read. An id is the clip's name without ".mp3". Memory grows by some 0.2 KiB a clip.

    Args:
        common_voice: a release (`cv-corpus-…`), the folder it lies in, or one language's folder.
        languages: Common Voice's names (`sv-SE`), Whisper's codes or English names.
        out: the folder to write.
        speaker_splits: part `validated.tsv` by speaker; some releases and small languages have no splits.
        maximum_seconds: longer clips are left out; at most 30.
        skip_bad: leave out rows that cannot be used and count them.
        overwrite: replace `out`.

    Raises:
        UsageError: a folder or a table is missing, Whisper lacks a language, or `out` exists.
        LorsError: a row is bad and `skip_bad` is false; no clip is left; the disk is full.
    """
    common_voice, out = Path(common_voice), Path(out)
    rules = LeftOut(skip_bad, maximum_seconds)
    folders = [find_language(common_voice, locale) for locale in language_names(common_voice, languages)]
    for folder in folders:
        for table in ("validated.tsv",) if speaker_splits else ("train.tsv", "dev.tsv", "test.tsv"):
            if not (folder.path / table).is_file():
                hint = "" if speaker_splits else "; --speaker-splits parts validated.tsv by speaker"
                raise UsageError(f"{folder.path / table}: no such file{hint}.")
    refuse_existing(out, overwrite)
    settings = {
        "common_voice": str(common_voice),
        "languages": [folder.locale for folder in folders],
        "speaker_splits": speaker_splits,
        "maximum_seconds": maximum_seconds,
        "skip_bad": skip_bad,
    }
    notes = [
        (
            "Speakers of `validated.tsv` are parted by a fixed hash."
            if speaker_splits
            else "The release's own splits."
        )
        + " Train has no clip and no speaker of dev or test. Texts are in NFC."
    ]
    card = Card(
        "Common Voice", SOURCE, LICENCE, typed(("common-voice",), {**settings, "out": str(out)}), notes
    )
    left_out: dict[str, Counter[str]] = {}
    parts = (part for folder in folders for part in _parts(folder, speaker_splits, rules, left_out))
    return write_corpus(out, parts, left_out, card, settings, overwrite=overwrite)


def _parts(
    folder: LanguageFolder, speaker_splits: bool, rules: LeftOut, left_out: dict[str, Counter[str]]
) -> Iterator[Part]:
    tables = {
        split: folder.path / ("validated.tsv" if speaker_splits else f"{split}.tsv") for split in SPLITS
    }
    of_tables = counting(rules, left_out, f"{folder.code}-rows")
    counts = {split: counting(rules, left_out, f"{folder.code}-{split}") for split in SPLITS}
    held_out = HeldOut()
    splits: dict[Split, _Split] = {}
    for split in reversed(SPLITS):  # what is held out comes first
        kept = splits[split] = _Split(tables[split])
        told_before = speaker_splits and split != "test"
        rows = table_rows(kept.table, LeftOut(skip_bad=True) if told_before else of_tables)
        for row in _fitting(folder, kept.table, rows, split if speaker_splits else None, counts[split]):
            leak = held_out.leak(row.clip, row.speaker if split == "train" else None)
            if leak or row.clip in kept.seconds:
                counts[split].counts[leak or "duplicate id"] += 1
                continue
            kept.lines.append(row.line)
            kept.seconds[row.clip] = 0.0
            if split != "train":
                held_out.add([(row.clip, row.speaker)])
    if not any(kept.lines for kept in splits.values()):
        names = ", ".join(sorted({table.name for table in tables.values()}))
        raise LorsError(f"{folder.path}: no clip is left of {names}; unpack the release anew.")
    for clip, seconds in stated_lengths(
        folder, ChainMap(*(kept.seconds for kept in splits.values())), of_tables
    ):
        next(kept for kept in splits.values() if clip in kept.seconds).seconds[clip] = seconds
    for split in SPLITS:
        kept = splits.pop(split)
        for clip in [clip for clip, seconds in kept.seconds.items() if not seconds]:
            del kept.seconds[clip]
        yield Part(folder.code, folder.code, split, _utterances(folder, kept, counts[split]))


def _fitting(
    folder: LanguageFolder,
    table: Path,
    rows: Iterable[tuple[Row, str]],
    split: Split | None,
    left_out: LeftOut,
) -> Iterator[Row]:
    """The rows that have a sentence and are of this language; with `split`, only of its speakers."""
    for row, locale in rows:
        if split and split_of(row.speaker or row.clip) != split:
            continue
        if not row.sentence.strip():
            left_out.counts["no text"] += 1
        elif is_of_this_language(folder, table, row, locale, left_out):
            yield row


def _utterances(folder: LanguageFolder, split: _Split, left_out: LeftOut) -> Iterator[Utterance]:
    """Read the table once more, so that no text is held in memory."""
    lines = iter(split.lines)
    wanted = next(lines, None)

    def chosen() -> Iterator[Row]:
        nonlocal wanted
        for row, _ in table_rows(split.table, LeftOut(skip_bad=True)):  # bad rows were told of the first time
            if row.line == wanted:
                wanted = next(lines, None)
                yield row

    with progress(f"Reading {folder.code}-{split.table.stem}", len(split.lines), "clips") as advance:
        for found in usable(folder, split.table, chosen(), split.seconds, left_out):
            advance(1)
            yield utterance(folder, found)
