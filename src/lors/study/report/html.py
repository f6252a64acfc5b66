"""The study's report as one page that needs nothing else: no script, no font, no address outside."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from lors.speech.report_parts import html_text
from lors.speech.side_by_side import Comparison
from lors.speech.side_by_side_html import html_side_by_side
from lors.speech.worst import count_of
from lors.study.figures.parts import AnyFigure
from lors.study.report.parts import html_costs, html_failures, html_recipes, html_signatures
from lors.study.report.style import STYLE
from lors.study.report.summary import Contest
from lors.study.results import StudyResults
from lors.study.tables.html import html_table
from lors.study.tables.parts import Table

# No script runs and nothing is sent, whatever a text holds; pictures are part of the page.
_POLICY = (
    "default-src 'none'; script-src 'none'; connect-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
    "style-src 'unsafe-inline'"
)
_PARTS = (
    ("all-figures", "Figures"),
    ("recipes", "Recipes"),
    ("utterances", "Side by side"),
    ("costs", "Costs"),
    ("failures", "Failures"),
    ("signatures", "Signatures"),
)


def html_page(
    results: StudyResults,
    sentences: Mapping[str, Sequence[str]],
    tables: Sequence[Table],
    figures: Sequence[tuple[AnyFigure, str]],
    compared: Mapping[str, tuple[Contest, Sequence[Comparison]]],
) -> str:
    """The page.

    Args:
        sentences: set of languages → its summary.
        figures: each with its SVG.
        compared: set of languages → the utterances to show side by side, and the two systems.
    """
    title = f"Study {html_text(results.name)}"
    kept = [table for table in tables if table.name.startswith("retention")]
    scores = [table for table in tables if table not in kept]
    kept_figures = [pair for pair in figures if pair[0].name.startswith("retention")]
    sections = [
        ("all-tables", "Tables", "".join(map(html_table, scores))),
        ("all-figures", "Figures", "".join(_figure(*pair) for pair in figures if pair not in kept_figures)),
        (
            "held-out",
            "Held-out languages",
            "".join(map(html_table, kept)) + "".join(_figure(*pair) for pair in kept_figures),
        ),
    ]
    body = [f'<h2 id="{name}">{heading}</h2>\n{text}' for name, heading, text in sections if text]
    body += [html_recipes(results), *(_compared(*pair) for pair in compared.values())]
    body += [html_costs(results.costs), html_failures(results), html_signatures(results)]
    text = "".join(body)
    places = [(table.name, table.title) for table in tables]
    places += [(name, heading) for name, heading in _PARTS if f'id="{name}"' in text]
    links = "".join(
        f'<li><a href="#{html_text(name)}">{html_text(heading)}</a></li>' for name, heading in places
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{_facts(results)}"
        + "".join(_summary(results, name, lines) for name, lines in sentences.items())
        + f"<nav><ul>{links}</ul></nav>\n"
        + text
        + "</body>\n</html>\n"
    )


def _facts(results: StudyResults) -> str:
    sets = "; ".join(f"{name}: {', '.join(languages)}" for name, languages in results.language_sets.items())
    held_out = f" Held out: {', '.join(results.held_out)}." if results.held_out else ""
    failed = f" {count_of(len(results.failures), 'job')} failed, listed below." if results.failures else ""
    facts = f"Base: {results.base}. Languages of {sets}. Tasks: {', '.join(results.tasks)}.{held_out}{failed}"
    return f'<p class="note">{html_text(facts)}</p>\n'


def _summary(results: StudyResults, name: str, sentences: Sequence[str]) -> str:
    heading = f"<h2>Summary: {html_text(name)}</h2>\n" if len(results.language_sets) > 1 else ""
    items = "".join(f"<li>{html_text(sentence)}</li>\n" for sentence in sentences)
    note = (
        '<p class="note">Plain means over languages. Intervals and p: paired bootstrap over utterances. The best merge '
        "was found with these same test scores, which favours it a little; p and intervals do not take that into "
        "account.</p>\n"
    )
    return f'{heading}<ol class="lead">\n{items}</ol>\n{note if len(sentences) > 1 else ""}'


def _figure(figure: AnyFigure, svg: str) -> str:
    picture = b64encode(svg.encode("utf-8")).decode("ascii")
    return (
        f'<figure id="picture-{html_text(figure.name)}">\n<img alt="{html_text(figure.caption)}" '
        f'src="data:image/svg+xml;base64,{picture}">\n'
        f"<figcaption><b>{html_text(figure.title)}.</b> {html_text(figure.caption)}</figcaption>\n</figure>\n"
    )


def _compared(contest: Contest, comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    what = (
        f"{contest.baseline.title} and {contest.best.title}: of each language the transcriptions in which they differ "
        "most, and then those with most errors of the merge."
    )
    page = html_side_by_side(comparisons, {}, Path())
    return f'<div id="utterances">{page.replace("</h2>", f"</h2><p>{html_text(what)}</p>", 1)}</div>\n'
