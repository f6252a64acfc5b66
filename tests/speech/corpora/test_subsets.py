import hashlib
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lors.base.errors import UsageError
from lors.speech.corpora.subsets import PAPER, Hours, hours_of, in_order, subset

clips = st.dictionaries(st.text(max_size=6), st.floats(0.1, 30.0), min_size=1, max_size=60)


@given(clips, st.floats(0.0001, 0.1), st.integers())
def test_the_first_clips_of_a_random_order(lengths: dict[str, float], hours: float, seed: int) -> None:
    """Against the definition: sort all by the digest, add up, stop."""
    order = sorted(
        lengths, key=lambda i: hashlib.sha256(f"{seed}\n{i}".encode("utf-8", "surrogatepass")).hexdigest()
    )
    wanted, total, first = round(hours * 3.6e9), 0, set()
    for clip in order:
        if total >= wanted:
            break
        total += round(lengths[clip] * 1e6)
        first.add(clip)
    if total < wanted:
        with pytest.raises(UsageError, match="ask for fewer"):
            subset(lengths.items(), hours, seed)
    else:
        assert subset(lengths.items(), hours, seed) == first
        assert first == set(in_order(lengths, seed)[: len(first)])


@given(clips, st.randoms(use_true_random=False), st.integers())
def test_smaller_within_larger_in_any_order(
    lengths: dict[str, float], draws: random.Random, seed: int
) -> None:
    items = list(lengths.items())
    draws.shuffle(items)
    total = sum(round(seconds * 1e6) for seconds in lengths.values()) / 3.6e9
    earlier: set[str] = set()
    for part in (0.1, 0.3, 0.7, 0.999):
        larger = subset(items, total * part, seed)
        assert earlier <= larger
        assert larger == subset(lengths.items(), total * part, seed)
        earlier = larger


def test_seeds_choose_differently_and_evenly() -> None:
    lengths = [(f"clip{i}", 36.0) for i in range(100)]  # an hour
    chosen = [subset(lengths, 0.5, seed) for seed in range(200)]
    assert all(len(clips) == 50 for clips in chosen)
    assert len({frozenset(clips) for clips in chosen}) == 200
    times = [sum(clip in clips for clips in chosen) for clip, _ in lengths]
    assert min(times) > 65  # of 200 draws with probability a half: five standard deviations are 35
    assert max(times) < 135


def test_many_short_clips_make_whole_hours() -> None:
    """Tenths of a second have no exact float; their sum is an hour all the same."""
    lengths = [(str(i), 0.1) for i in range(36_000)]
    assert len(subset(lengths, 1, 0)) == 36_000


@pytest.mark.parametrize("hours", [0, -1, math.nan, math.inf])
def test_hours_that_are_none(hours: float) -> None:
    with pytest.raises(UsageError, match="a number above 0"):
        subset([("a", 1.0)], hours, 0)


def test_what_can_be_asked_for() -> None:
    assert hours_of(None) == Hours()
    assert hours_of("5") == Hours((5.0,))
    assert hours_of("10, 1,2.5,1", 1.0) == Hours((1.0, 2.5, 10.0), 1.0)
    assert hours_of("paper-high") == PAPER["paper-high"]
    assert (PAPER["paper-high"].train, PAPER["paper-high"].evaluation) == ((5.0,), 1.0)
    assert (PAPER["paper-low"].train, PAPER["paper-low"].evaluation) == ((1.0,), 1.0)
    with pytest.raises(UsageError, match="Did you mean 'paper-high'"):
        hours_of("paper-hihg")
    for text in ("0", "5,-1", "nan", "inf", "", "5h", ","):
        with pytest.raises(UsageError):
            hours_of(text)
    with pytest.raises(UsageError, match="leave --evaluation-hours out"):
        hours_of("paper-low", 2.0)
