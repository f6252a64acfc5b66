"""Write what a comparison found as a short Markdown report, every number with what it takes to read it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lors.base.files import write_text


def write_report(
    path: Path, title: str, summary: str, table: str, picture: str, sections: Mapping[str, Sequence[str]]
) -> None:
    """Write `path`: a title, a summary, a picture, a Markdown table, then one section per heading.

    Args:
        path: the Markdown file.
        title: its first heading.
        summary: one paragraph.
        table: Markdown, as it stands.
        picture: file name of an image beside the report.
        sections: heading → its lines, each a paragraph, a list item or a table row.
    """
    parts = [f"# {title}", summary, f"![{title}]({picture})", table]
    parts += [f"## {heading}\n\n" + "\n".join(lines) for heading, lines in sections.items()]
    write_text(path, "\n\n".join(parts) + "\n")
