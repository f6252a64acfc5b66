import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lors.speech.corpora.splits import groups_of_equal_text, spelling, split_of


def test_the_split_is_that_of_the_published_rule() -> None:
    for key in ("vm-intro", "agent-pass", "é", ""):
        place = int.from_bytes(hashlib.sha256(key.encode()).digest(), "big") % 100
        assert split_of(key) == ("train" if place < 66 else "dev" if place < 78 else "test")
    counts = Counter(split_of(f"key-{i}") for i in range(10_000))
    assert abs(counts["train"] - 6600) < 150
    assert abs(counts["dev"] - 1200) < 150


def test_spelling_forgets_what_is_not_heard() -> None:
    assert spelling("  ¡Está  EN «línea»...\n") == "esta en linea"
    assert spelling("Ещё раз") == spelling("еще раз!")
    assert spelling("...") == ""


def test_groups_across_languages() -> None:
    groups = groups_of_equal_text(
        [
            {"a": "one", "b": "One.", "c": "two", "d": "..."},
            {"a": "x", "c": "uno", "e": "Unó", "f": "..."},
        ]
    )
    assert groups == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "c", "f": "f"}


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("uvwxyz")), max_size=4))
def test_groups_are_the_connected_components(transcripts: list[dict[str, str]]) -> None:
    groups = groups_of_equal_text(transcripts)
    ids = set().union(*transcripts) if transcripts else set()
    tied = {
        (i, j) for t in transcripts for i in t for j in t if t[i] == t[j]
    }  # the closure of this relation, by brute force
    for _ in ids:
        tied |= {(i, n) for i, j in tied for k, n in tied if j == k}
    assert groups == {i: min(j for j in ids if (i, j) in tied) for i in ids}
