"""The figures' numbers against a plain computation, and their bytes."""

import itertools
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree

import matplotlib.image
import pytest
from hypothesis import given, settings

from lors.study.figures.data import number_of_languages, redundancy, training_hours
from lors.study.figures.figures import draw, study_figures, write_figures
from lors.study.figures.parts import DotFigure, LineFigure
from lors.study.results import Row, StudyResults
from lors.study.significance import Hypotheses

from .paper_tables import paper_results, score
from .test_study_tables import studies

LANGUAGES = ("ca", "es", "fr")
NAMES = ("figure-3", "figure-4", "figure-5", "joint", "retention")
MERGING = "multilingual-merging"


def value(language: str, task: str, plus: float) -> float:
    return 10 * (1 + LANGUAGES.index(language)) + (5 if task == "translate" else 0) + plus


def row(
    setting: str, method: str | None, plus: float, languages: tuple[str, ...] = LANGUAGES, **more: object
) -> Row:
    cells = {
        (x, task): score(value(x, task, plus), task)
        for x in languages
        for task in ("transcribe", "translate")
    }
    return Row(language_set="a", setting=setting, method=method, languages=languages, cells=cells, **more)  # type: ignore[arg-type]


def study(*rows: Row, held_out: tuple[str, ...] = ()) -> StudyResults:
    return StudyResults(
        name="x", base="b", language_sets={"a": LANGUAGES}, tasks=("transcribe", "translate"),
        methods=("task-arithmetic", "lors"), held_out=held_out, rows=rows,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole() -> StudyResults:
    """Every figure has something to show."""
    rows = [row("pretrained", None, 3), row("finetuned", None, 0)]
    rows += [row("multilingual-training", None, 2), row("joint-training", None, 2)]
    for method, plus in (("task-arithmetic", 1.0), ("lors", 0.5)):
        rows += [row(MERGING, method, plus), row("joint-merging", method, plus)]
        for number, languages in enumerate(itertools.combinations(LANGUAGES, 2)):
            rows.append(row(MERGING, method, plus + number, languages, analysis="number-of-languages"))
    for hours in (1.0, 5.0):
        rows += [row("finetuned", None, -hours, hours=hours, analysis="training-hours")]
        rows += [row(MERGING, "lors", 1 - hours, hours=hours, analysis="training-hours")]
        for method, ratio in itertools.product(("svp", "mp"), (0.01, 0.5)):
            rows.append(
                row("finetuned", method, ratio - hours, hours=hours, ratio=ratio, analysis="redundancy")
            )
    heard = [
        replace(one, cells={**one.cells, ("el", "transcribe"): score(40 + place)})
        if one.analysis == "main" and one.setting != "finetuned"
        else one
        for place, one in enumerate(rows)
    ]
    return study(*heard, held_out=("el",))


def test_figure_3_averages_over_languages_and_combinations(whole: StudyResults) -> None:
    figure = number_of_languages(whole, "a")
    assert figure is not None
    asr, _ = figure.panels
    assert [series.label for series in asr.series] == ["Finetuned", "Task Arithmetic", "LoRS-Merging"]
    pairs = list(itertools.combinations(LANGUAGES, 2))
    lors = asr.series[2]
    means = [fmean(value(x, "transcribe", 0.5 + at) for x in pair) for at, pair in enumerate(pairs)]
    two, three = lors.points
    assert (two.place, two.value) == (2, pytest.approx(fmean(means)))
    assert (two.low, two.high) == (pytest.approx(min(means)), pytest.approx(max(means)))
    assert (three.place, three.value, three.low, three.high) == (3, 20.5, 20.5, 20.5)
    finetuned = [fmean(value(x, "transcribe", 0) for x in pair) for pair in pairs]
    assert asr.series[0].points[0].value == pytest.approx(fmean(finetuned))


def test_figure_3_of_one_task_has_one_panel(whole: StudyResults) -> None:
    rows = [
        replace(one, cells={cell: score for cell, score in one.cells.items() if cell[1] == "translate"})
        if one.analysis == "number-of-languages"
        else one
        for one in whole.rows
    ]
    figure = number_of_languages(replace(whole, rows=tuple(rows)), "a")
    assert figure is not None and [panel.title for panel in figure.panels] == ["ST"]
    assert figure.caption.startswith("BLEU against")


def test_figure_4_has_a_line_for_each_system(whole: StudyResults) -> None:
    figure = training_hours(whole, "a", Hypotheses())
    assert figure is not None
    asr, translations = figure.panels
    assert asr.ticks == ((0, "1 h"), (1, "5 h"), (2, "all data"))
    assert {s.label: [point.value for point in s.points] for s in asr.series} == {
        "Finetuned": [19.0, 15.0, 20.0],
        "LoRS-Merging": [20.0, 16.0, 20.5],
    }
    assert translations.series[0].points[0].value == 24.0


def test_figure_5_ends_at_the_unpruned_model(whole: StudyResults) -> None:
    figure = redundancy(whole, "a", Hypotheses())
    assert figure is not None
    assert [panel.title for panel in figure.panels] == ["SVP, ASR", "MP, ASR", "SVP, ST", "MP, ST"]
    svp = figure.panels[0]
    assert {s.label: [(p.place, p.value) for p in s.points] for s in svp.series} == {
        "1 h": [(0.01, 19.01), (0.5, 19.5), (1.0, 19.0)],
        "5 h": [(0.01, 15.01), (0.5, 15.5), (1.0, 15.0)],
    }
    assert svp.level == (23.0, "pretrained")


def test_table_4_as_dots_has_its_systems_in_its_order() -> None:
    figures = study_figures(paper_results())
    assert [figure.name for figure in figures] == ["joint", "joint-low-resource"]
    assert isinstance(figures[0], DotFigure)
    assert [dot.label for dot in figures[0].dots][:3] == ["Pretrained", "Finetuned", "ML and MT training"]
    assert figures[0].dots[-1].label == "ML training + MT LoRS-Merging"
    assert figures[0].dots[-1].scores[1] == (pytest.approx(26.38), None, None)


def test_the_same_numbers_are_drawn_as_the_same_bytes(whole: StudyResults, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_figures(study_figures(whole), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == [
        f"{name}.{kind}"
        for name in ("figure-3", "figure-4", "figure-5", "joint", "retention")
        for kind in ("png", "svg")
    ]
    for name in files:
        written = (tmp_path / "one" / name).read_bytes()
        assert written == (tmp_path / "two" / name).read_bytes()
        if name.endswith("svg"):
            text = written.decode()
            assert not any(word in text for word in ("dc:date", "dc:creator", "<script", 'href="http'))
            ElementTree.fromstring(text)
        else:
            picture = matplotlib.image.imread(tmp_path / "one" / name)
            assert picture.shape[0] > 300 and picture[..., :3].std() > 0.05


@settings(max_examples=25, deadline=None)
@given(studies())
def test_no_results_are_too_odd_to_draw(results: StudyResults) -> None:
    for figure in study_figures(results):
        if isinstance(figure, LineFigure):
            assert all(panel.series for panel in figure.panels)
        draw(figure).canvas.draw()
