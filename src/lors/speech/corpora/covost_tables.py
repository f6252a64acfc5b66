"""CoVoST-2's tables of translations: where they are, and what they hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lors.base.errors import UsageError
from lors.speech.corpora.left_out import LeftOut
from lors.speech.corpora.splits import SPLITS
from lors.speech.corpora.tsv import read_rows


@dataclass(frozen=True)
class Table:
    """A file of translations, whole (`covost_v2.ca_en.tsv`) or of one split, as get_covost_splits.py leaves it."""

    path: Path
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    """A row: the name of the clip's file, the text in the target language, the split as it is called there."""

    clip: str
    text: str
    split: str


def find_tables(sources: Sequence[Path], source: str, target: str) -> list[Table]:
    """The tables from one language into another, by Common Voice's names: the whole one, else those of the splits.

    Args:
        sources: tables, and folders that have them or whose folders have.

    Raises:
        UsageError: there is none, only an archive, or there are several.
    """
    name = f"covost_v2.{source}_{target}"
    files: list[Path] = []
    for given in map(Path, sources):
        if given.is_dir():
            files += [
                path for pattern in (f"{name}.*", f"*/{name}.*") for path in sorted(given.glob(pattern))
            ]
        elif given.is_file():
            files.append(given)
        else:
            raise UsageError(
                f"{given}: no such file or folder; {name}.tsv, or a folder with it, was expected."
            )
    whole = [path for path in files if path.name == f"{name}.tsv"]
    parts = {split: [path for path in files if path.name == f"{name}.{split}.tsv"] for split in SPLITS}
    for found in (whole, *parts.values()):
        if len(found) > 1:
            raise UsageError(f"{name}: there are several tables ({found[0]}, {found[1]}); give one.")
    if whole:
        return [Table(whole[0])]
    if all(parts.values()):
        return [Table(parts[split][0], split) for split in SPLITS]
    for archive in (path for path in files if path.name.startswith(f"{name}.tsv.")):
        raise UsageError(f"{archive}: unpack it first (tar -xzf {archive.name}).")
    places = ", ".join(map(str, sources))
    raise UsageError(
        f"{places}: no {name}.tsv; fetch https://dl.fbaipublicfiles.com/covost/{name}.tsv.tar.gz and unpack it."
    )


def translations(tables: Sequence[Table], left_out: LeftOut) -> Iterator[Translation]:
    """Yield the rows of all tables, in their order."""
    for table in tables:
        columns = ("path", "translation") if table.split else ("path", "translation", "split")
        for _, (clip, text, *split) in read_rows(table.path, columns, left_out):
            yield Translation(clip, text, table.split or split[0])


def our_splits(train_covost: bool) -> Mapping[str, str]:
    """CoVoST-2's name of a split → ours; `train_covost` extends train, as in the published script."""
    return {split: split for split in SPLITS} | ({"train_covost": "train"} if train_covost else {})
