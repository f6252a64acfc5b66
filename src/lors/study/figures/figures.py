"""The paper's figures and two of ours, drawn from the results of a study as PNG and SVG."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lors.base.pictures import write_picture
from lors.study.figures.comparisons import joint_dots, retention_scatter
from lors.study.figures.data import number_of_languages, redundancy, training_hours
from lors.study.figures.drawing import draw_dots, draw_lines, draw_scatter
from lors.study.figures.parts import AnyFigure, DotFigure, ScatterFigure
from lors.study.results import StudyResults
from lors.study.significance import Hypotheses

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def study_figures(results: StudyResults, hypotheses: Hypotheses | None = None) -> list[AnyFigure]:
    """Every figure that the study has rows for: Figures 3, 4 and 5, then Table 4 and retention as pictures.

    Args:
        hypotheses: those that were read already.

    Raises:
        LorsError: the hypotheses of a score are damaged.
    """
    hypotheses = hypotheses or Hypotheses()
    found: list[AnyFigure | None] = []
    for language_set in results.language_sets:
        found += [
            number_of_languages(results, language_set),
            training_hours(results, language_set, hypotheses),
            redundancy(results, language_set, hypotheses),
            joint_dots(results, language_set, hypotheses),
            retention_scatter(results, language_set, hypotheses),
        ]
    return [figure for figure in found if figure is not None]


def write_figures(figures: Iterable[AnyFigure], folder: Path) -> None:
    """Write NAME.png and NAME.svg of each; the same numbers give the same bytes."""
    for figure in figures:
        drawn = draw(figure)
        write_picture(drawn, folder / f"{figure.name}.png")
        write_picture(drawn, folder / f"{figure.name}.svg")


def draw(figure: AnyFigure) -> "Figure":
    """The figure, by matplotlib."""
    if isinstance(figure, DotFigure):
        return draw_dots(figure)
    return draw_scatter(figure) if isinstance(figure, ScatterFigure) else draw_lines(figure)
