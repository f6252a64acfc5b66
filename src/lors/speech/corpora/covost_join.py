"""CoVoST-2's rows and Common Voice's put together, as facebookresearch/covost's get_covost_splits.py does."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lors.base.errors import LorsError
from lors.base.visible import visible
from lors.speech.corpora.common_voice_layout import LanguageFolder
from lors.speech.corpora.common_voice_rows import Row, is_of_this_language, table_rows
from lors.speech.corpora.covost_tables import Table, translations
from lors.speech.corpora.leakage import HeldOut
from lors.speech.corpora.left_out import LeftOut
from lors.speech.corpora.splits import SPLITS


@dataclass(frozen=True)
class Join:
    """How many of a split's clips in CoVoST-2 Common Voice has.

    Attributes:
        language: Whisper's code of the language that is spoken.
        split: "train", "dev" or "test".
        listed: clips with a translation, each once.
        matched: those of them that are in `validated.tsv`.
    """

    language: str
    split: str
    listed: int
    matched: int


def split_of_clips(
    tables: Mapping[str, Sequence[Table]],
    ours: Mapping[str, str],
    counts_of: Callable[[str], LeftOut],
) -> dict[str, str]:
    """Clip → split, of the clips that are translated into every target.

    A clip that is listed in several splits stays in the last of train, dev and test. Counted are rows without
    translation, in none of our splits, and clips that are listed more than once or not for every target.

    Args:
        tables: for each target, its tables.
        ours: the table's name of a split → ours.
        counts_of: for "rows" and each split, where to count.
    """
    chosen: dict[str, str] | None = None
    for rows in tables.values():
        found = _listed(rows, ours, counts_of)
        if chosen is None:
            chosen = found
            continue
        both = {clip: split for clip, split in chosen.items() if found.get(clip) == split}
        for clip, split in {**found, **chosen}.items():
            if clip not in both:
                counts_of(split).counts["not in every target language"] += 1
        chosen = both
    return chosen or {}


def _listed(
    tables: Sequence[Table], ours: Mapping[str, str], counts_of: Callable[[str], LeftOut]
) -> dict[str, str]:
    splits: dict[str, str] = {}
    for row in translations(tables, counts_of("rows")):
        split = ours.get(row.split)
        if split is None:
            counts_of("rows").counts["in no split"] += 1
        elif not row.text.strip():
            counts_of(split).counts["no translation"] += 1
        elif row.clip not in splits:
            splits[row.clip] = split
        elif (earlier := splits[row.clip]) == split:
            counts_of(split).counts["duplicate id"] += 1
        else:
            first, last = sorted((earlier, split), key=SPLITS.index)
            counts_of(first).counts[f"clip in {last} too"] += 1
            splits[row.clip] = last
    return splits


def matched_rows(
    folder: LanguageFolder, table: Path, splits: Mapping[str, str], counts_of: Callable[[str], LeftOut]
) -> dict[str, list[Row]]:
    """Split → the rows of `validated.tsv` whose clips are listed, in its order.

    Counted are clips that are not there or there more than once, and rows without sentence.

    Raises:
        LorsError: a split has no row.
    """
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
    seen: set[str] = set()
    kept: set[str] = set()
    example = ""
    for row, locale in table_rows(table, counts_of("rows")):
        example = example or row.clip
        split = splits.get(row.clip)
        if split is None:
            continue
        seen.add(row.clip)
        if not row.sentence.strip():
            counts_of(split).counts["no text"] += 1
        elif row.id in kept:
            counts_of(split).counts["duplicate id"] += 1
        elif is_of_this_language(folder, table, row, locale, counts_of(split)):
            kept.add(row.id)
            rows[split].append(row)
    missing = Counter(split for clip, split in splits.items() if clip not in seen)
    for split, number in missing.items():
        counts_of(split).counts["not in validated.tsv"] += number
    listed = Counter(splits.values())
    for split in SPLITS:
        if not rows[split]:
            first = f" (its first clip is '{visible(example[:60])}')" if example else ""
            raise LorsError(
                f"{table}: has no row for {split}, for which CoVoST-2 lists {listed[split]} clips{first}; CoVoST-2 "
                f"is made of '{folder.locale}' of Common Voice's release 4, and later ones have most of its clips."
            )
    return rows


def joins(language: str, splits: Mapping[str, str], rows: Mapping[str, Sequence[Row]]) -> list[Join]:
    """The counts of what was listed and what was found."""
    listed = Counter(splits.values())
    return [Join(language, split, listed[split], len(rows[split])) for split in SPLITS]


def without_leaks(rows: Mapping[str, Iterable[Row]], left_out: LeftOut) -> dict[str, list[Row]]:
    """The rows, those of train without the speakers (and clips) of dev and test."""
    held_out = HeldOut()
    for split in ("dev", "test"):
        held_out.add((row.clip, row.speaker) for row in rows[split])
    train = []
    for row in rows["train"]:
        leak = held_out.leak(row.clip, row.speaker)
        if leak:
            left_out.counts[leak] += 1
        else:
            train.append(row)
    return {split: train if split == "train" else list(rows[split]) for split in SPLITS}
