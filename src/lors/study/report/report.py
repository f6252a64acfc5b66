"""Write what a study found: tables, figures and one page with all of it."""

from pathlib import Path

from lors.base.files import atomic_directory, write_text
from lors.study.figures.figures import study_figures, write_figures
from lors.study.report.alignments import compared_utterances
from lors.study.report.html import html_page
from lors.study.report.summary import find_contest, summary
from lors.study.results import StudyResults
from lors.study.significance import Hypotheses
from lors.study.tables.csv import csv_table
from lors.study.tables.latex import latex_table
from lors.study.tables.markdown import markdown_table
from lors.study.tables.parts import Table
from lors.study.tables.tables import study_tables

REPORT, TABLES = "report.html", "tables.md"


def write_study_report(results: StudyResults, out: Path) -> list[Table]:
    """Write OUT/tables/NAME.{md,tex,csv}, OUT/figures/NAME.{png,svg}, OUT/tables.md and OUT/report.html.

    The same results give the same bytes. What an earlier call wrote is replaced; `tables` and `figures` each whole.

    Returns:
        The tables.

    Raises:
        LorsError: the hypotheses of a score are damaged.
    """
    out = Path(out)
    hypotheses = Hypotheses()
    tables = study_tables(results, hypotheses)
    figures = study_figures(results, hypotheses)
    contests = {name: contest for name in results.language_sets if (contest := find_contest(results, name))}
    page_parts = {
        name: (contest, compared_utterances(results, name, contest, hypotheses))
        for name, contest in contests.items()
    }
    sentences = {name: summary(results, name, hypotheses) for name in results.language_sets}
    with atomic_directory(out / "tables", overwrite=True) as folder:
        for table in tables:
            write_text(folder / f"{table.name}.md", markdown_table(table))
            write_text(folder / f"{table.name}.tex", latex_table(table))
            write_text(folder / f"{table.name}.csv", csv_table(table))
    with atomic_directory(out / "figures", overwrite=True) as folder:
        write_figures(figures, folder)
        drawn = [(one, (folder / f"{one.name}.svg").read_text(encoding="utf-8")) for one in figures]
    write_text(out / TABLES, f"# {results.name}\n\n" + "\n".join(map(markdown_table, tables)))
    write_text(out / REPORT, html_page(results, sentences, tables, drawn, page_parts))
    return tables
