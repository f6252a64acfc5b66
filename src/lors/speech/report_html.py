"""The report as one HTML file that needs nothing else: no script, no font, no address outside."""

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from lors.base.files import write_text
from lors.speech.confusions import most_frequent
from lors.speech.evaluation_report import Report, Section
from lors.speech.evaluation_scores import Score
from lors.speech.evaluation_table import table_notes
from lors.speech.manifest import Utterance
from lors.speech.report_parts import aligned_word, html_language, html_text, legend, player
from lors.speech.report_style import STYLE
from lors.speech.side_by_side_html import html_side_by_side
from lors.speech.worst import AlignedUtterance, count_of

_CONFUSIONS = 20
# No script runs and nothing is sent, whatever a text holds; sound is left open for the players' relative links.
_POLICY = (
    "script-src 'none'; connect-src 'none'; img-src 'none'; font-src 'none'; frame-src 'none'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'"
)


def write_html(report: Report, out: Path) -> None:
    """Write the report to `out`, whole or not at all; players link to the audio relative to its folder."""
    write_text(out, html_report(report, Path(out).absolute().parent))


def html_report(report: Report, folder: Path) -> str:
    """The report as HTML, to lie in `folder`."""
    evaluation = report.evaluation
    title = f"Evaluation {html_text(evaluation.directory.absolute().name)}"
    models: dict[str, list[Section]] = {}
    for section in report.sections:
        models.setdefault(section.score.model, []).append(section)
    links = "".join(
        f'<li><a href="#model-{place}">{html_text(model)}</a></li>'
        for place, model in enumerate(models, start=1)
    )
    parts = [
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        _scores(report),
        _retention(report),
    ]
    if report.compared:
        parts.append(html_side_by_side(report.compared, report.clips, folder))
    else:
        parts.append(
            "<h2>What went wrong</h2>\n<p>The words of the reference stand above those of the hypothesis, after the "
            f"normaliser. {legend()}; a star stands for no word.</p>\n<nav><ul>{links}</ul></nav>\n"
        )
    for place, (model, sections) in enumerate(models.items(), start=1):
        parts.append(f'<h2 id="model-{place}">{html_text(model)}</h2>\n')
        parts += [_section(section, report.clips, folder) for section in sections]
    parts += [_signatures(report), "</body>\n</html>\n"]
    return "".join(parts)


def _scores(report: Report) -> str:
    evaluation = report.evaluation
    # Few manifests name their speakers: without them the column would only push others off the page.
    speakers = any(score.low_by_speaker is not None for score in evaluation.scores)
    headings = ["model", "score", "95 % interval", *["over speakers"] * speakers, "CER / chrF"]
    headings += ["n", "S", "D", "I"]
    if len(evaluation.models) > 1:
        headings += ["difference", "p", "p (matched pairs)"]
    headings.append("loops")
    groups: dict[tuple[str, str | None, str | None], list[Score]] = {}
    for score in evaluation.scores:
        groups.setdefault((score.task, score.source_lang, score.target_lang), []).append(score)
    bodies = "".join(
        f'<tbody>\n<tr><th colspan="{len(headings)}" scope="rowgroup">{_heading(scores[0])}</th></tr>\n'
        + "".join(_score_row(score, len(evaluation.models) > 1, speakers) for score in scores)
        + "</tbody>\n"
        for scores in groups.values()
    )
    first = (
        f" Difference and p (paired bootstrap, matched pairs) are against {html_text(evaluation.models[0])}."
        if len(evaluation.models) > 1
        else ""
    )
    notes = [
        f"Intervals: bootstrap over utterances, and over speakers where all are known "
        f"({evaluation.request['resamples']} resamples).{first} S, D, I: words substituted, deleted, inserted. "
        "Beside WER stands CER (↓), beside BLEU chrF (↑), with its interval over utterances.",
        *map(html_text, table_notes(evaluation)[1:]),
    ]
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n{bodies}</table></div>\n'
        + '<ul class="note">'
        + "".join(f"<li>{note}</li>" for note in notes)
        + "</ul>\n"
    )


def _retention(report: Report) -> str:
    if not report.retention:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{html_text(mean.model)}</th><td>{mean.value:.1f}</td>'
        f"<td>{mean.low:.1f}–{mean.high:.1f}</td><td>{_signed(mean.difference)}</td>"
        f"<td>{_p(mean.p_value)}</td></tr>\n"
        for mean in report.retention
    )
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("model", "mean WER ↓", "95 % interval", "difference", "p")
    )
    return (
        "<h2>Languages that no model was trained on</h2>\n"
        f"<p>{html_text(', '.join(report.unseen))}: plain mean over them, as the records of the models tell.</p>\n"
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n'
    )


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "&lt;0.001" if value < 0.001 else f"{value:.3f}"


def _signed(difference: float | None) -> str:
    return "" if difference is None else f"{difference:+.1f}".replace("-", "−")


def _score_row(score: Score, compared: bool, speakers: bool) -> str:
    by_speaker = (
        f"{score.low_by_speaker:.1f}–{score.high_by_speaker:.1f}"
        if score.low_by_speaker is not None and score.high_by_speaker is not None
        else ""
    )
    second = score.second
    beside = "" if second is None else f"{second.value:.1f} ({second.low:.1f}–{second.high:.1f})"
    cells = [f"{score.value:.1f}", f"{score.low:.1f}–{score.high:.1f}", *[by_speaker] * speakers, beside]
    cells.append(str(score.n))
    cells += [str(score.counts.get(name, "")) for name in ("substitutions", "deletions", "insertions")]
    if compared:
        cells.append(_signed(score.difference))
        cells.append(_p(score.p_value))
        cells.append("" if score.matched_pairs is None else _p(score.matched_pairs["p_value"]))
    cells.append(str(score.loops))
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{html_text(score.model)}</th>{row}</tr>\n'


def _heading(score: Score) -> str:
    metric = f"{html_text(score.metric.upper())} {'↓' if score.metric == 'wer' else '↑'}"
    if score.source_lang is None:
        return f"mean over languages, {metric}"
    if score.source_lang == score.target_lang:
        return f"{html_text(score.source_lang)}, {metric}"
    return f"{html_text(score.source_lang)} → {html_text(str(score.target_lang))}, {metric}"


def _section(section: Section, clips: Mapping[tuple[str, str], Utterance], folder: Path) -> str:
    score = section.score
    confusions = section.confusions
    language = html_language(str(score.target_lang))
    tables = (
        _counts(
            "substituted",
            language,
            (((said, heard), n) for (said, heard), n in most_frequent(confusions.substituted, _CONFUSIONS)),
        ),
        _counts(
            "deleted", language, (((said,), n) for said, n in most_frequent(confusions.deleted, _CONFUSIONS))
        ),
        _counts(
            "inserted",
            language,
            (((heard,), n) for heard, n in most_frequent(confusions.inserted, _CONFUSIONS)),
        ),
    )
    return (
        f"<h3>{html_text(score.model)}, {html_text(str(score.source_lang))}</h3>\n"
        f"<p>WER {score.value:.1f} ({score.low:.1f}–{score.high:.1f}); {section.wrong} of {score.n} utterances "
        f"with errors, {len(section.worst)} of them below.</p>\n"
        f'<div class="beside">{"".join(tables)}</div>\n'
        + "".join(_utterance(u, clips.get((u.data_set, u.id)), folder) for u in section.worst)
    )


def _counts(step: str, language: str, rows: Iterable[tuple[tuple[str, ...], int]]) -> str:
    lines = "".join(
        f'<tr><td class="text" dir="auto" lang="{language}">'
        + " → ".join(f"<span>{html_text(word)}</span>" for word in words)
        + f"</td><td>{times}</td></tr>\n"
        for words, times in rows
    )
    return f"<table>\n<caption>{step}</caption>\n<tbody>\n{lines}</tbody></table>\n" if lines else ""


def _utterance(utterance: AlignedUtterance, clip: Utterance | None, folder: Path) -> str:
    errors = utterance.errors
    language = html_language(utterance.language)
    looped = "; looped, and was decoded again" if utterance.looped else ""
    words = " ".join(map(aligned_word, utterance.words))
    return (
        f'<article>\n<p class="facts"><bdi>{html_text(utterance.data_set)}</bdi> · '
        f"<bdi>{html_text(utterance.id)}</bdi> · {utterance.duration:.1f} s · {count_of(errors.errors, 'error')} in "
        f"{count_of(errors.words, 'word')}: {errors.substitutions} S, "
        f"{errors.deletions} D, {errors.insertions} I{looped}</p>\n"
        f'<p class="words" dir="auto" lang="{language}">{words}</p>\n'
        f'<p class="note">reference: <bdi lang="{language}">{html_text(utterance.reference)}</bdi><br>'
        f'hypothesis: <bdi lang="{language}">{html_text(utterance.hypothesis)}</bdi></p>\n'
        f"{player(clip, folder)}</article>\n"
    )


def _signatures(report: Report) -> str:
    evaluation = report.evaluation
    recipes = "".join(
        f"<li>{html_text(model['name'])}: <code>{html_text(str(model['signature']))}</code></li>\n"
        for model in evaluation.request["models"]
        if model["signature"]
    )
    scores = "".join(
        f"<li>{html_text(score.model)}, {_heading(score)}: <code>{html_text(score.signature)}</code></li>\n"
        for score in evaluation.scores
    )
    made = f"<h3>Models</h3>\n<ul>\n{recipes}</ul>\n" if recipes else ""
    return f"<h2>Signatures</h2>\n{made}<h3>Scores</h3>\n<ul>\n{scores}</ul>\n"
