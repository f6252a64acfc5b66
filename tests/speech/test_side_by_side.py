"""Comparisons: every model's text comes back from the columns, and the errors are those that were counted."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lors.speech.aligned_words import align_words
from lors.speech.side_by_side import Column, Comparison, most_different
from lors.speech.side_by_side_html import html_side_by_side
from lors.speech.side_by_side_terminal import comparison_lines
from lors.speech.wer import word_errors
from lors.speech.worst import AlignedUtterance

WORDS = st.lists(st.sampled_from(["a", "b", "cc", "день", "今日", "le"]), max_size=9)
MODELS = ("pretrained", "expert", "LoRS")


def comparison(reference: Sequence[str], *hypotheses: Sequence[str], language: str = "es") -> Comparison:
    utterances = {
        model: AlignedUtterance(
            "id", "set", language, 1.5, "", "", align_words(reference, hypothesis), looped=False
        )
        for model, hypothesis in zip(MODELS, hypotheses, strict=False)
    }
    return Comparison(utterances)


@given(WORDS, WORDS, WORDS, WORDS)
def test_texts_and_errors_come_back_from_the_columns(
    reference: list[str], first: list[str], second: list[str], third: list[str]
) -> None:
    columns = comparison(reference, first, second, third).columns
    assert [column.reference for column in columns if column.reference is not None] == reference
    for place, hypothesis in enumerate((first, second, third)):
        cells = [column.cells[place] for column in columns]
        assert [word for cell in cells for word in cell.text.split()] == hypothesis
        errors = word_errors(" ".join(reference), " ".join(hypothesis))
        counts = [sum(cell.step == step for cell in cells) for step in "CSD"]
        assert counts == [errors.correct, errors.substitutions, errors.deletions]
        assert sum(len(c.text.split()) for c in cells if c.step == "I") == errors.insertions
        for column, cell in zip(columns, cells, strict=True):
            assert (column.reference == cell.text) == (cell.step == "C") or not cell.step
            assert cell.step in ("I", "") if column.reference is None else cell.step in tuple("CSD")
    between = [column.reference is None for column in columns]
    assert not any(a and b for a, b in pairwise(between))
    assert all(any(cell.text for cell in column.cells) for column in columns if column.reference is None)


@pytest.mark.parametrize(
    ("errors", "number", "expected"),
    [
        (
            {"a": [(0, 5), (3, 5), (9, 9)], "b": [(1, 5), (0, 5), (9, 9)]},
            5,
            [1, 0],
        ),  # of the third both miss all
        ({"a": [(0, 5), (3, 5), (9, 9)], "b": [(1, 5), (0, 5), (9, 9)]}, 1, [1]),
        ({"a": [(2, 9), (2, 4), (0, 4)], "b": [(0, 9), (0, 4), (2, 4)]}, 3, [1, 2, 0]),  # the shorter first
        ({"a": [(1, 4)], "b": [(2, 4)], "c": [(4, 4)]}, 3, [0]),
        ({"a": [], "b": []}, 3, []),
    ],
)
def test_most_different(errors: dict[str, list[tuple[int, int]]], number: int, expected: list[int]) -> None:
    assert most_different(errors, number) == expected


def test_lines() -> None:
    texts = "il fait 今日 beau", "il fit 今日 beau ici", "fait 今 beau", "il fait 今日 beau"
    shown = comparison(*map(str.split, texts))
    assert [line.plain for line in comparison_lines(shown, 60)] == [
        "REF        il fait 今日 beau ***",
        "pretrained il fit  今日 beau ici",
        "              S              I",
        "expert     ** fait 今   beau",
        "           D       S",
        "LoRS       il fait 今日 beau",
    ]


@given(WORDS, WORDS, WORDS, st.integers(24, 50))
def test_no_line_is_too_wide_and_none_is_lost(
    reference: list[str], first: list[str], second: list[str], width: int
) -> None:
    shown = comparison(reference, first, second)
    lines = [line.plain for line in comparison_lines(shown, width)]
    indent = len("pretrained ")
    inserted = [cell.text for column in shown.columns for cell in column.cells if cell.step == "I"]
    assert max(map(cell_len, lines), default=0) <= max([width, *(indent + cell_len(t) for t in inserted)])
    for model, hypothesis in (("pretrained", first), ("expert", second)):
        found = [line[indent:].split() for line in lines if line.startswith(model.ljust(indent).rstrip())]
        assert [word for words in found for word in words if set(word) != {"*"}] == hypothesis


def test_long_texts_are_broken_into_tables_with_every_models_name() -> None:
    words = [f"parola{number}" for number in range(40)]
    page = html_side_by_side([comparison(words, words, words[:-1])], {}, folder=None)  # type: ignore[arg-type]
    assert page.count("<table") == page.count("<bdi>expert</bdi>") > 3
    assert page.count("<td>parola") == 40 + 40 + 39
    assert page.count('<td class="D"><span class="h">*</span>') == 1


def test_right_to_left_scripts_run_from_right_to_left() -> None:
    words = ["שלום", "לכם"]
    assert 'dir="rtl" lang="he"' in html_side_by_side([comparison(words, words, language="he")], {}, None)  # type: ignore[arg-type]
    assert 'dir="ltr" lang="ru"' in html_side_by_side([comparison(["да"], ["да"], language="ru")], {}, None)  # type: ignore[arg-type]


def test_a_comparison_has_the_columns_of_one_model_alone() -> None:
    assert comparison(["a"], ["x", "a"]).columns[0].reference is None
    assert all(isinstance(column, Column) for column in comparison([], []).columns)
