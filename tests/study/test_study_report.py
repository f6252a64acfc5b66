"""The report: the same bytes again, nothing from outside, and no sentence that the numbers do not support."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lors.base.errors import LorsError
from lors.study.report.report import write_study_report
from lors.study.report.summary import summary
from lors.study.results import JobCost, Row, StudyResults
from lors.study.significance import Hypotheses

from .paper_tables import paper_results
from .small_evaluations import clips, spoiled, write_evaluation

LANGUAGES = ("es", "fr")
TASKS = ("transcribe", "translate")
COSTS = (
    JobCost("finetune es", "finetune", 3725.0, 7000.0, "here", 7200.0),
    JobCost("merge", "merge", 4.2, 4.0, "there"),
)
MIXED = "multilingual-training-multitask-merging"


def study(folder: Path, shares: dict[tuple[str, str | None], float], number: int = 30) -> StudyResults:
    """Systems that get about this share of the words wrong; the more wrong at home, the less on `el`."""
    rows = []
    for place, ((setting, method), share) in enumerate(shares.items()):
        texts = {}
        for language in (*LANGUAGES, "el"):
            for task in TASKS if language != "el" else TASKS[:1]:
                utterances = clips(language, task, number)
                wrong = 0.4 - share / 2 if language == "el" else share
                texts[language, task] = (utterances, spoiled(utterances, wrong, seed=place))
        cells = write_evaluation(folder / f"system-{place}", texts)
        chosen = {"all": {"scale": 0.3}} if method else {}
        rows.append(
            Row(
                language_set="a",
                setting=setting,
                method=method,
                languages=LANGUAGES,
                cells=cells,
                chosen=chosen,
            )
        )
    return StudyResults(
        name="small", base="openai/whisper-base", language_sets={"a": LANGUAGES}, tasks=TASKS,
        methods=("task-arithmetic", "lors"), held_out=("el",), rows=tuple(rows),
        costs=COSTS,
        failures={"evaluate x": "no space left on the disk; free some."}, signature="study:small|base:abc",
    )  # fmt: skip


@pytest.fixture(scope="module")
def clear(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """One merge is far better than everything else."""
    shares = {
        ("pretrained", None): 0.5, ("finetuned", None): 0.05, ("joint-training", None): 0.4,
        ("joint-merging", "lors"): 0.35, (MIXED, "task-arithmetic"): 0.3, (MIXED, "lors"): 0.08,
    }  # fmt: skip
    return study(tmp_path_factory.mktemp("clear"), shares)


class _Page(HTMLParser):
    """Tags that are open, addresses, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_everything_is_written_and_the_same_again(clear: StudyResults, tmp_path: Path) -> None:
    write_study_report(clear, tmp_path / "one")
    write_study_report(clear, tmp_path / "two")
    (tmp_path / "two" / "tables" / "table-99.md").write_text("of an earlier study")
    write_study_report(clear, tmp_path / "two")
    files = sorted(
        path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()
    )
    again = sorted(
        path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*") if path.is_file()
    )
    assert files == again
    for kind in ("md", "tex", "csv"):
        assert Path(f"tables/table-4.{kind}") in files
        assert Path(f"tables/retention.{kind}") in files
    assert {
        Path("figures/joint.png"),
        Path("figures/retention.svg"),
        Path("report.html"),
        Path("tables.md"),
    } <= {*files}
    for name in files:
        written = (tmp_path / "one" / name).read_bytes()
        assert written == (tmp_path / "two" / name).read_bytes()
        if name.suffix in (".md", ".tex", ".csv", ".html"):
            text = written.decode()
            assert not re.search(r"20\d\d-\d\d|\d\d:\d\d:\d\d", text)
            assert str(tmp_path) not in text
            assert "1 h 02 min" not in text or name.suffix == ".html"


def test_the_page_needs_nothing_from_outside(clear: StudyResults, tmp_path: Path) -> None:
    write_study_report(clear, tmp_path)
    page = _Page((tmp_path / "report.html").read_text())
    assert page.open == []
    assert "script" not in page.tags
    assert all(address.startswith(("#", "data:image/svg+xml;base64,")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= {*page.ids}
    assert len(page.ids) == len({*page.ids})
    for told in (
        "Table 4", "Held-out languages", "Side by side", "ML and MT training", "study:small|base:abc", "1 h 02 min",
        "2.00 Wh", "no space left on the disk", "1 job failed", "scaling factor λ", "4.2 s",
    ):  # fmt: skip
        assert told in page.text, told


def test_clear_differences_are_told(clear: StudyResults) -> None:
    first, second, third = summary(clear, "a", Hypotheses())
    assert first.startswith("Of 3 merges, ML training + MT LoRS-Merging does best against ML and MT training")
    systems = {(row.setting, row.method): row for row in clear.rows}

    def mean(key: tuple[str, str | None], task: str) -> float:
        return sum(systems[key].cells[language, task].value for language in LANGUAGES) / 2

    for task, metric, direction in (("transcribe", "WER", "lower"), ("translate", "BLEU", "higher")):
        before, after = mean(("joint-training", None), task), mean((MIXED, "lors"), task)
        change = abs(100 * (after - before) / before)
        assert (
            f"its {metric} is {change:.1f} % {direction} ({before:.2f} → {after:.2f}; 95 % interval" in first
        )
    assert second.startswith(
        "Against task arithmetic in the same setting (ML training + MT Task Arithmetic), its WER is"
    )
    assert "On held-out languages (el)" in third
    assert "its WER is" in third and "% higher" in third
    assert first.count("p = 0.003") == 2  # of 300 resamples: 1/301


def test_where_task_arithmetic_is_best_it_is_not_compared_with_itself(tmp_path: Path) -> None:
    shares = {
        ("pretrained", None): 0.5, ("joint-training", None): 0.05,
        (MIXED, "task-arithmetic"): 0.1, (MIXED, "lors"): 0.4,
    }  # fmt: skip
    first, second, _ = summary(study(tmp_path, shares), "a", Hypotheses())
    assert first.startswith(
        "Of 2 merges, ML training + MT Task Arithmetic does best against ML and MT training"
    )
    assert "% higher" in first
    assert second.startswith(
        "That merge is task arithmetic itself; with ML training + MT LoRS-Merging in its place, its WER is"
    )
    assert "% higher" in second


def test_what_the_interval_does_not_support_is_not_claimed(tmp_path: Path) -> None:
    shares = {
        ("pretrained", None): 0.3, ("joint-training", None): 0.3,
        ("joint-merging", "task-arithmetic"): 0.295, ("joint-merging", "lors"): 0.3,
    }  # fmt: skip
    sentences = summary(study(tmp_path, shares, number=12), "a", Hypotheses())
    assert len(sentences) == 3
    told = [
        found
        for sentence in sentences
        for found in re.findall(
            r"(no difference in|its) \w+ is [^(]*\([^;]*; 95 % interval (\S+) to (\S+) %, p [=<] ([\d.]+)",
            sentence,
        )
    ]
    assert len(told) == 5
    for claim, low, high, p in told:
        one_side = (low[0] == high[0]) and "0.0" not in (low[1:], high[1:])
        assert (claim == "its") == (float(p) < 0.05 and one_side)
    assert {claim for claim, *_ in told} == {"no difference in", "its"}


def test_without_hypotheses_nothing_is_called_tested(tmp_path: Path) -> None:
    results = paper_results()
    first, second, third = summary(results, "high-resource", Hypotheses())
    assert "ML training + MT LoRS-Merging does best against ML and MT training" in first
    assert "its WER goes 19.74 → 17.74, which was not tested, as hypotheses are missing" in first
    assert "its BLEU goes 26.24 → 26.38" in second
    assert "not known" in third
    write_study_report(results, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "Summary: low-resource" in page
    assert "Side by side" not in page


@pytest.mark.parametrize("rows", [(), "pretrained"])
def test_a_study_that_has_hardly_begun_has_a_report(
    clear: StudyResults, tmp_path: Path, rows: object
) -> None:
    kept = tuple(row for row in clear.rows if row.setting == rows)
    write_study_report(replace(clear, rows=kept), tmp_path)
    page = _Page((tmp_path / "report.html").read_text())
    assert "nothing is compared yet" in page.text


def test_no_text_of_the_study_is_markup(clear: StudyResults, tmp_path: Path) -> None:
    bad = '<script>alert("x")</script>&\u202e'
    cost = JobCost(bad, "merge", 1.0, 1.0, bad)
    results = replace(clear, name=bad, base=bad, failures={bad: bad}, costs=(cost,), signature=bad)
    write_study_report(results, tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "script" not in _Page(text).tags
    assert "\u202e" not in text


def test_damaged_hypotheses_are_one_sentence(clear: StudyResults, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    cells = write_evaluation(folder, {("es", "transcribe"): (clips("es", "transcribe", 5), ["x"] * 5)})
    (folder / "hypotheses" / "model" / "es-transcribe-test.jsonl").write_text("{}\n")
    rows = tuple(replace(row, cells={**row.cells, **cells}) for row in clear.rows)
    with pytest.raises(LorsError, match=r"es-transcribe-test.jsonl: not of an evaluation"):
        write_study_report(replace(clear, rows=rows), tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()
