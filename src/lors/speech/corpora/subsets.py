"""So many hours of a corpus: the same clips on every machine, the smaller subset inside the larger."""

import hashlib
import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass

from lors.base.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Hours:
    """How much of a corpus is asked for.

    Attributes:
        train: hours of training data, of each a subset, ascending; none for all.
        evaluation: hours of development and of test data each; None for all.
        languages: for which, by Whisper's codes; none for any.
        or_all: where there are fewer hours, take all; else that is an error.
    """

    train: tuple[float, ...] = ()
    evaluation: float | None = None
    languages: tuple[str, ...] = ()
    or_all: bool = False


PAPER = {
    "paper-high": Hours((5.0,), 1.0, ("ca", "de", "es", "fr", "it"), or_all=True),
    "paper-low": Hours((1.0,), 1.0, ("id", "nl", "pt", "ru", "sv"), or_all=True),
}
"""The subsets of CoVoST-2 in the paper of LoRS-Merging (section 4.1)."""


def hours_of(text: str | None, evaluation: float | None = None) -> Hours:
    """What `--subset` and `--evaluation-hours` ask for: a name of `PAPER`, or hours with commas between.

    Raises:
        UsageError: neither a name nor numbers above 0.

    Examples:
        >>> hours_of("5,1").train
        (1.0, 5.0)
    """
    if evaluation is not None:
        _require_hours(evaluation)
    if text is None:
        return Hours(evaluation=evaluation)
    if text in PAPER:
        if evaluation is not None:
            raise UsageError(
                f"{text}: development and test data are 1 hour each; leave --evaluation-hours out."
            )
        return PAPER[text]
    try:
        train = tuple(sorted({float(number) for number in text.split(",")}))
    except ValueError:
        raise UsageError(
            f"subset '{text}': {', '.join(PAPER)}, or hours as 5 or 1,2,5,10 were expected.{did_you_mean(text, PAPER)}"
        ) from None
    for number in train:
        _require_hours(number)
    return Hours(train, evaluation)


def subset(ids_and_seconds: Iterable[tuple[str, float]], hours: float, seed: int) -> set[str]:
    """Choose clips at random until they last `hours`.

    The clips are put in the order of the sha256 of seed and id, and taken from the first on until they last
    `hours` or longer: by less than one clip. The choice depends neither on the order in which they are
    given nor on the version of anything, and of two subsets with one seed the smaller is part of the larger.

    Args:
        ids_and_seconds: each clip's id and length; read once, and no more of it kept than is chosen.
        hours: more than 0; `math.inf` is no subset but an error.
        seed: any integer.

    Returns:
        The ids of the chosen clips.

    Raises:
        UsageError: `hours` is no number above 0, or all clips together are shorter.

    Examples:
        >>> clips = [("a", 1800.0), ("b", 1800.0), ("c", 1800.0)]
        >>> subset(clips, 0.5, 1) < subset(clips, 1, 1) < subset(clips, 1.5, 1)
        True
    """
    _require_hours(hours)
    wanted = round(hours * 3_600_000_000)
    chosen: list[tuple[int, str, int]] = []  # minus the place in the order, so that the last comes out first
    microseconds = 0  # whole numbers: their sum is the same in every order
    for identifier, seconds in ids_and_seconds:
        length = round(seconds * 1_000_000)
        heapq.heappush(chosen, (-_place(identifier, seed), identifier, length))
        microseconds += length
        while microseconds - chosen[0][2] >= wanted:
            microseconds -= heapq.heappop(chosen)[2]
    if microseconds < wanted:
        raise UsageError(
            f"a subset of {hours:g} hours was asked for, and there are {microseconds / 3_600_000_000:.2f}; "
            "ask for fewer."
        )
    return {identifier for _, identifier, _ in chosen}


def _require_hours(hours: float) -> None:
    if not (math.isfinite(hours) and hours > 0):
        raise UsageError(f"a subset of {hours:g} hours was asked for; a number above 0 was expected.")


def _place(identifier: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\n{identifier}".encode()).digest()[:16])


def in_order(ids: Iterable[str], seed: int) -> list[str]:
    """The ids in the order in which `subset` takes them: for corpora whose clips are slow to measure."""
    return sorted(ids, key=lambda identifier: _place(identifier, seed))
