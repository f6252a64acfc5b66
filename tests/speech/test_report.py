"""The report: what it shows are the texts, what is in the texts does nothing, and damage is named."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from safetensors.torch import save_file

from lors.base.errors import LorsError, UsageError
from lors.base.visible import visible
from lors.speech import evaluation as evaluation_module
from lors.speech.aligned_words import align_words
from lors.speech.decoding.hypothesis import Hypothesis
from lors.speech.decoding.options import DecoderOptions
from lors.speech.evaluation import evaluate
from lors.speech.evaluation_report import Report, read_report
from lors.speech.manifest import Utterance, write_manifest
from lors.speech.report_html import html_report, write_html
from lors.speech.report_terminal import print_report
from lors.speech.worst import AlignedUtterance

HOSTILE = "<script>alert(1)</script>"
SPOKEN = {
    "es": ["la casa es roja", "uno dos tres", "adios y gracias", "hola"],
    "fr": ["la maison est rouge", "un deux trois", "au revoir", "bonjour"],
    "he": ["שלום לכם", "תודה רבה", "בית אדום", "אחת שתיים"],
}
WRITTEN = {  # model "bad", by id; else the reference
    "es0": f'la {HOSTILE} "roja" \u202eevil\x00\x1b[2J',
    "es1": "uno tres",
    "fr1": "un deux 🇫🇷 trois &amp; quatre",
    "he1": "תודה רבה מאוד",
    "es2": "adiós i gracias ]]> <!-- --> <img src=http://x.example/a.png onerror=alert(1)>",
}
VOID = {"meta", "br", "img", "input", "link", "hr", "source"}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `evaluate` itself wrote, its decoder replaced."""

    def decode(
        engine: str, utterances: Sequence[Utterance], options: DecoderOptions, done: Sequence[int]
    ) -> Iterator[list[tuple[int, Hypothesis]]]:
        for place, u in enumerate(utterances):
            text = (
                WRITTEN.get(u.id, u.text) if engine.startswith("bad") and u.task == "transcribe" else u.text
            )
            yield [(place, Hypothesis(text, 5, -0.25, 1500, u.id == "fr1", None, 0.5))]

    monkeypatch.setattr(evaluation_module, "load_engine", lambda directory, options: directory.name)
    monkeypatch.setattr(evaluation_module, "decode", decode)
    models = []
    for value, name in enumerate(("good", "bad<b>")):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "whisper", "vocab_size": 51865}')
        save_file({"w": torch.full((2, 2), float(value))}, folder / "model.safetensors")
        models.append(folder)
    (models[1] / "merge.json").write_text('{"signature": "method:lors|scale:0.3"}')
    (tmp_path / "the audio").mkdir()
    soundfile.write(tmp_path / "the audio" / "a#1.flac", np.zeros(64000, dtype=np.float32), 16000)
    paths = []
    for language, texts in SPOKEN.items():
        paths.append(tmp_path / f"{language}.jsonl")
        write_manifest(
            paths[-1],
            [
                Utterance(
                    id=f"{language}{number}",
                    audio_filepath=tmp_path / "the audio" / "a#1.flac",
                    offset=float(number % 2),
                    duration=2.0,
                    text=text,
                    source_lang=language,
                    target_lang=language,
                    normaliser="none" if language == "es" else None,
                )
                for number, text in enumerate(texts)
            ],
        )
    paths.append(tmp_path / "translations.jsonl")
    paths[-1].write_text(paths[0].read_text().replace('"target_lang": "es"', '"target_lang": "en"'))
    evaluate(models, paths, tmp_path / "results", resamples=100)
    return tmp_path / "results"


class Page(HTMLParser):
    """A parser that asserts that tags are balanced, and keeps what the tests ask of."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.alignments: list[tuple[dict[str, str | None], list[str], list[str], str]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        assert len(attributes) == len(attrs)
        self.tags.append((tag, attributes))
        if attributes.get("class") == "words":
            self.alignments.append((attributes, [], [], ""))
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] == "style":
            return
        self.texts.append(data)
        kind = self.open[-1][1].get("class") if self.open else None
        inside = any(attributes.get("class") == "words" for _, attributes in self.open)
        if inside and kind in ("r", "h"):
            self.alignments[-1][1 if kind == "r" else 2].append(data)
        elif inside and self.open[-1][0] == "b":
            attributes, said, heard, steps = self.alignments[-1]
            self.alignments[-1] = (attributes, said, heard, steps + data)


def _with_texts(report: Report, pairs: Sequence[tuple[str, str]]) -> Report:
    """The report with these (reference, hypothesis) as the worst of its last section."""
    worst = tuple(
        AlignedUtterance("id", "set", "es", 1.0, a, b, align_words(a.split(), b.split()), False)
        for a, b in pairs
    )
    return replace(report, sections=(replace(report.sections[-1], worst=worst),))


@pytest.fixture
def report(results: Path) -> Report:
    return read_report(results)


def test_sections_worst_and_confusions(report: Report) -> None:
    assert [(s.score.model, s.score.source_lang, s.wrong) for s in report.sections] == [
        ("good", "es", 0),
        ("good", "fr", 0),
        ("good", "he", 0),
        ("bad<b>", "es", 3),
        ("bad<b>", "fr", 1),
        ("bad<b>", "he", 1),
    ]
    spanish, french, hebrew = report.sections[3:]
    assert [u.id for u in spanish.worst] == ["es2", "es0", "es1"]
    assert spanish.confusions.deleted == {"dos": 1}
    assert french.confusions.inserted == {
        "amp": 1,
        "quatre": 1,
    }  # no-punctuation drops the flag and the signs
    assert french.worst[0].looped
    assert hebrew.confusions.inserted == {"מאוד": 1}
    for section in report.sections:
        counts = section.score.counts
        assert section.confusions.substituted.total() == counts["substitutions"]
        assert section.confusions.deleted.total() == counts["deletions"]
        assert section.confusions.inserted.total() == counts["insertions"]
    assert report.clips["es", "es1"].offset == 1.0


def test_the_number_of_utterances_and_the_models_can_be_chosen(results: Path) -> None:
    found = read_report(results, worst=1, models=["bad<b>"])
    assert [len(section.worst) for section in found.sections] == [1, 1, 1]
    assert {section.score.model for section in found.sections} == {"bad<b>"}
    assert found.sections[0].wrong == 3


# --- languages that no expert saw


def _record(folder: Path, name: str, record: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(record))


def test_unseen_languages_come_from_the_records(results: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    expert = tmp_path / "expert"
    merge = {"recipe": {"experts": [{"model": str(expert)}]}}
    assert read_report(results).unseen == ()  # the merge names no expert
    _record(models / "bad<b>", "merge.json", merge)
    assert read_report(results).unseen == ()  # the expert's languages cannot be known
    _record(expert, "finetune.json", {"train_groups": {"es-transcribe": {}, "he-translate": {}}})
    found = read_report(results)
    assert found.unseen == ("fr",)
    good, bad = found.retention
    french = found.evaluation.score("bad<b>", "transcribe", "fr")
    assert (good.value, good.difference, good.p_value) == (0.0, None, None)
    assert (bad.value, bad.low, bad.high) == (french.value, french.low, french.high)
    assert (bad.difference, bad.p_value) == (french.difference, french.p_value)
    assert "Languages that no model was trained on" in html_report(found, results)
    Page(html_report(found, results))
    text = StringIO()
    print_report(found, Console(file=text, width=160))
    assert f"{bad.value:7.1f} ({bad.low:.1f}–{bad.high:.1f})  +{bad.value:.1f}, p = " in text.getvalue()
    assert read_report(results, models=["good"]).retention == ()

    _record(expert, "finetune.json", {"train_groups": {"de-transcribe": {}}})
    found = read_report(results)
    assert found.unseen == ("es", "fr", "he")
    for mean in found.retention:  # of all languages: what the evaluation itself found
        score = found.evaluation.score(mean.model, "transcribe")
        assert (mean.value, mean.low, mean.high) == pytest.approx((score.value, score.low, score.high))
        assert mean.p_value == score.p_value


# --- models side by side


def test_the_clips_in_which_models_differ_most(results: Path) -> None:
    found = read_report(results, side_by_side=2)
    assert found.sections == ()
    assert [(c.first.language, c.first.id) for c in found.compared] == [
        ("es", "es2"),
        ("es", "es0"),
        ("fr", "fr1"),
        ("he", "he1"),
    ]
    errors = {model: u.errors.errors for model, u in found.compared[2].utterances.items()}
    assert errors == {"good": 0, "bad<b>": 2}
    page = html_report(found, results)
    parsed = Page(page)
    assert "What went wrong" not in page
    assert not {"script", "img"} & {tag for tag, _ in parsed.tags}
    assert sum(tag == "audio" for tag, _ in parsed.tags) == 4
    assert {a["lang"] for tag, a in parsed.tags if tag == "table" and "lang" in a} == {"es", "fr", "he"}
    text = StringIO()
    print_report(found, Console(file=text, width=100))
    assert "\x1b" not in text.getvalue()
    assert "good   un deux trois\nbad<b> un deux trois amp quatre\n" in text.getvalue()


def test_utterances_are_chosen_by_id(results: Path) -> None:
    found = read_report(results, utterances=["fr1", "es3"], models=["bad<b>"])
    assert [c.first.id for c in found.compared] == ["es3", "fr1"]
    assert all(list(c.utterances) == ["bad<b>"] for c in found.compared)
    both = read_report(results, utterances=["es0"], side_by_side=1)
    assert [c.first.id for c in both.compared] == ["es0", "es2", "fr1", "he1"]
    with pytest.raises(UsageError, match=r"no transcription has the id 'fr9'.*Did you mean"):
        read_report(results, utterances=["fr9"])


# --- HTML


def test_the_page_is_whole_and_refers_to_nothing_outside(report: Report, results: Path) -> None:
    page = html_report(report, results)
    parsed = Page(page)
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "svg"}
    for tag, attributes in parsed.tags:
        assert not any(name.startswith("on") or name in ("style", "srcset", "action") for name in attributes)
        if "href" in attributes:
            assert re.fullmatch(r"#model-\d+", str(attributes["href"]))
        if "src" in attributes:
            assert (tag, attributes["preload"]) == ("audio", "none")
            assert re.fullmatch(r"\./\.\./the%20audio/a%231\.flac(#t=1\.000,3\.000)?", str(attributes["src"]))
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    anchors = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    assert {str(a["href"])[1:] for _, a in parsed.tags if "href" in a} <= anchors
    assert sum(tag == "audio" for tag, _ in parsed.tags) == 5
    text = " ".join(parsed.texts)
    for score in report.evaluation.scores:
        assert score.signature in text
        assert f"{score.low:.1f}–{score.high:.1f}" in text
    assert "method:lors|scale:0.3" in text
    assert "looped" in text


def test_the_alignments_of_the_page_are_those_of_the_texts(report: Report, results: Path) -> None:
    parsed = Page(html_report(report, results))
    shown = [u for section in report.sections for u in section.worst]
    assert len(parsed.alignments) == len(shown) == 5
    for (attributes, said, heard, steps), utterance in zip(parsed.alignments, shown, strict=True):
        assert attributes["lang"] == utterance.language
        assert attributes["dir"] == "auto"
        assert said == [visible(w.reference) for w in utterance.words if w.reference is not None]
        assert heard == [visible(w.hypothesis) for w in utterance.words if w.hypothesis is not None]
        assert steps == "".join(w.step for w in utterance.words if w.step != "C")
    french = parsed.alignments[3]
    assert french[1:] == (["un", "deux", "trois"], ["un", "deux", "trois", "amp", "quatre"], "II")


def test_hostile_texts_are_inert(report: Report, results: Path, tmp_path: Path) -> None:
    page = html_report(report, results)
    assert HOSTILE not in page
    assert "bad<b>" not in page
    assert HOSTILE in " ".join(Page(page).texts)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", page)
    assert "<U+202E>evil<U+0000><U+001B>[2J" in Page(page).texts
    half = _with_texts(report, [("a", "\ud800 b")])
    write_html(half, tmp_path / "half.html")
    assert "<U+D800>" in Page((tmp_path / "half.html").read_text(encoding="utf-8")).texts


ANY_WORDS = st.lists(st.text(min_size=1, max_size=6).filter(lambda w: w.split() == [w]), max_size=5)
PLAIN_WORDS = st.lists(
    st.text(st.characters(categories=("L", "M", "N", "P", "S")), min_size=1, max_size=6), max_size=5
)


def test_any_texts_come_back_from_the_page(report: Report, results: Path) -> None:
    @settings(max_examples=40, deadline=None)
    @given(PLAIN_WORDS, PLAIN_WORDS)
    def check(a: list[str], b: list[str]) -> None:
        parsed = Page(html_report(_with_texts(report, [(" ".join(a), " ".join(b))]), results))
        assert parsed.alignments[0][1:3] == (a, b)

    @settings(max_examples=40, deadline=None)
    @given(ANY_WORDS, ANY_WORDS)
    def holds(a: list[str], b: list[str]) -> None:
        parsed = Page(html_report(_with_texts(report, [(" ".join(a), " ".join(b))]), results))
        assert [len(side) for side in parsed.alignments[0][1:3]] == [len(a), len(b)]

    check()
    holds()


def test_audio_that_is_gone_or_other_has_no_player(results: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "es.jsonl"
    manifest.write_text(manifest.read_text() + "\n")
    found = read_report(results)
    assert html_report(found, results).count("<audio") == 2
    (tmp_path / "the audio" / "a#1.flac").unlink()
    assert "<audio" not in html_report(found, results)


# --- terminal


def test_the_terminal_view_with_and_without_colour(report: Report) -> None:
    plain = StringIO()
    print_report(report, Console(file=plain, width=160))
    text = plain.getvalue()
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "REF uno dos tres\nHYP uno *** tres\n        D\n" in text
    assert "deleted: dos 1×" in text
    assert "<U+001B>[2J" in text
    assert "bad<b> · es" in text
    coloured = StringIO()
    print_report(report, Console(file=coloured, width=160, force_terminal=True, color_system="standard"))
    assert "\x1b[1;31mdos\x1b[0m" in coloured.getvalue()
    assert "\x1b[2J" not in coloured.getvalue()


# --- mistakes


def _spoil(results: Path, change: dict[str, Any]) -> str:
    """Change the first line of bad's Spanish hypotheses, and return what reading says."""
    path = next((results / "hypotheses").glob("bad*/es.jsonl"))
    before = path.read_text(encoding="utf-8")
    first, rest = before.split("\n", 1)
    path.write_text(
        json.dumps({k: v for k, v in (json.loads(first) | change).items() if v is not ...}) + "\n" + rest
    )
    with pytest.raises(LorsError) as error:
        read_report(results)
    path.write_text(before, encoding="utf-8")
    return str(error.value)


def test_mistakes_and_damage_are_named(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        read_report(tmp_path / "none")
    with pytest.raises(UsageError, match="worst 0"):
        read_report(results, worst=0)
    with pytest.raises(UsageError, match=r"'goot' is not among the results.*Did you mean 'good'"):
        read_report(results, models=["goot"])
    assert "es.jsonl:1: not a hypothesis" in _spoil(results, {"hypothesis": 3})
    assert "es.jsonl:1: not a hypothesis" in _spoil(results, {"normaliser": ...})
    assert "the counts are not those of its texts" in _spoil(results, {"hypothesis": "la casa es roja"})
    assert "scored with normaliser none-7, and this version has none-1" in _spoil(
        results, {"normaliser": "none-7"}
    )
    assert "normaliser 'nothing' is not known" in _spoil(results, {"normaliser": "nothing-1"})
    assert "are not those that results.json scores" in _spoil(results, {"task": "translate"})

    path = next((results / "hypotheses").glob("bad*/es.jsonl"))
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(LorsError, match=r"es\.jsonl:4: not a hypothesis"):
        read_report(results)
    path.unlink()
    with pytest.raises(LorsError, match=r"es\.jsonl: no such file"):
        read_report(results)
    record = json.loads((results / "results.json").read_text())
    record["hypotheses"].popitem()
    (results / "results.json").write_text(json.dumps(record))
    with pytest.raises(LorsError, match="does not name the hypotheses of every model"):
        read_report(results)
