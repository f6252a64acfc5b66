"""The list of suspect transcripts as one HTML file, with a player for each."""

from html import escape
from pathlib import Path

from lors.speech.aligned_words import align_words
from lors.speech.report_parts import aligned_word, html_language, html_text, legend, player
from lors.speech.report_style import STYLE
from lors.speech.suspects_facts import Suspects
from lors.speech.suspects_signs import Suspect

# No script runs and nothing is sent, whatever a text holds; sound is left open for the players' relative links.
_POLICY = (
    "script-src 'none'; connect-src 'none'; img-src 'none'; font-src 'none'; frame-src 'none'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'"
)


def html_suspects(suspects: Suspects, folder: Path) -> str:
    """The page, to lie in `folder`."""
    shown = suspects.ranked[: suspects.listed]
    articles = "".join(_article(place, suspect, folder) for place, suspect in enumerate(shown, start=1))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Suspect transcripts</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>Suspect transcripts</h1>\n"
        f"<p>{len(shown)} of {len(suspects.ranked)} clips, the most suspect first; all are in "
        f"<bdi>{html_text(suspects.tsv.name)}</bdi>. Listen, and judge: a model errs too.</p>\n"
        f"{_facts(suspects)}"
        '<p class="note">Suspicion is 1 − Π (1 − strength of a sign). '
        f"<code>{html_text(suspects.signature)}</code></p>\n"
        "<h2>Listen to these</h2>\n<p>The words of the transcript stand above those of the model, after the "
        f"normaliser. {legend()}; a star stands for no word.</p>\n{articles}</body>\n</html>\n"
    )


def _facts(suspects: Suspects) -> str:
    headings = (
        *("language", "clips", "hours", "WER", "letters a second", "texts with digits or signs"),
        *("texts with accents", "hypotheses with accents"),
    )
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    rows = "".join(
        f'<tr><th scope="row">{html_text(language)}</th><td>{facts.clips}</td><td>{facts.hours:.2f}</td>'
        f"<td>{facts.wer:.1f}</td><td>{facts.letters_per_second:.1f}</td><td>{facts.digits}</td>"
        f"<td>{facts.accents}</td><td>{facts.heard_accents}</td></tr>\n"
        for language, facts in suspects.facts.items()
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n'
    )


def _article(place: int, suspect: Suspect, folder: Path) -> str:
    clip = suspect.heard
    utterance = clip.utterance
    language = html_language(utterance.source_lang)
    signs = "; ".join(f"{html_text(sign.name)} ({html_text(sign.detail)})" for sign in suspect.signs)
    words = align_words(
        clip.normalise(utterance.text).split(),
        clip.normalise(clip.hypothesis).split(),
    )
    return (
        f'<article>\n<p class="facts">{place} · {suspect.suspicion:.2f} · <bdi>{html_text(clip.data_set)}</bdi> · '
        f"<bdi>{html_text(utterance.id)}</bdi> · {utterance.duration:.1f} s · "
        f"model {100 * clip.certainty:.0f} % sure</p>\n<p>{signs}</p>\n"
        f'<p class="words" dir="auto" lang="{language}">{" ".join(map(aligned_word, words))}</p>\n'
        f'<p class="note">transcript: <bdi lang="{language}">{html_text(utterance.text)}</bdi><br>'
        f'hypothesis: <bdi lang="{language}">{html_text(clip.hypothesis)}</bdi></p>\n'
        f"{player(utterance, folder)}</article>\n"
    )
