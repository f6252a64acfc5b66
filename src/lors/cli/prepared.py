"""What the commands of `lors prepare` share: lists with commas, and the table of what was prepared."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lors.speech.corpora.prepared import PreparedCorpus

_SECONDS = {"minutes": 60, "hours": 3600}
_DIGITS = {"minutes": 1, "hours": 2}


def names(given: Sequence[str]) -> list[str]:
    """Of lists with commas, or of a flag that is repeated, or of both."""
    return [name.strip() for several in given for name in several.split(",") if name.strip()]


def print_prepared(
    title: str,
    corpus: "PreparedCorpus",
    lines: Sequence[str] = (),
    length: Literal["minutes", "hours"] = "hours",
) -> None:
    """Print a row a manifest, then `lines`, then what was left out."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{title} in {corpus.directory}")
    for heading in ("language", "task", "split"):
        table.add_column(heading)
    for heading in ("clips", length):
        table.add_column(heading, justify="right")
    for manifest in corpus.manifests:
        row = (manifest.language, manifest.task, manifest.split, str(manifest.clips))
        long = f"{manifest.seconds / _SECONDS[length]:.{_DIGITS[length]}f}"
        table.add_row(*row, long, end_section=manifest.split == "test")
    console = Console(highlight=False)
    console.print(table)
    left_out = [
        f"{name}, left out: " + ", ".join(f"{number} {reason}" for reason, number in reasons.items())
        for name, reasons in corpus.left_out.items()
        if reasons
    ]
    for line in (*lines, *left_out):
        console.print(line, markup=False, soft_wrap=True)
