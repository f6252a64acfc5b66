"""One clip over several models: each one's words below those of the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lors.speech.worst import AlignedUtterance


@dataclass(frozen=True)
class Cell:
    """What one model has at one place.

    Attributes:
        step: C correct, S substituted, D deleted, I inserted; "" where it has nothing, and nothing is missing.
        text: its word there, or all that it inserted there; "" for none.
    """

    step: str
    text: str


@dataclass(frozen=True)
class Column:
    """One place of the comparison.

    Attributes:
        reference: the word of the reference; None between two of them, where a model inserted something.
        cells: of each model, in the comparison's order.
    """

    reference: str | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Comparison:
    """What several models made of one clip.

    Attributes:
        utterances: model → its alignment; all of the same clip and the same normalised reference.
    """

    utterances: Mapping[str, AlignedUtterance]

    @property
    def first(self) -> AlignedUtterance:
        """One of them, for what is the same in all: id, language, duration, reference."""
        return next(iter(self.utterances.values()))

    @property
    def columns(self) -> tuple[Column, ...]:
        """The places from first to last; reading a model's cells without "" and D gives its hypothesis."""
        words = [word.reference for word in self.first.words if word.reference is not None]
        sides = [_by_word(utterance) for utterance in self.utterances.values()]
        columns = []
        for place in range(len(words) + 1):
            inserted = tuple(side[place][0] for side in sides)
            if any(inserted):
                columns.append(Column(None, tuple(Cell("I" if text else "", text) for text in inserted)))
            if place < len(words):
                columns.append(Column(words[place], tuple(side[place][1] for side in sides)))
        return tuple(columns)


def most_different(errors: Mapping[str, Sequence[tuple[int, int]]], number: int) -> list[int]:
    """The places of the utterances in whose word errors models differ most, never one in which none does.

    Args:
        errors: model → (word errors, words of the reference) of each utterance, in the same order.
        number: how many at most.

    Returns:
        Places by falling difference between the model with the most errors and that with the fewest; of equal
        ones the shorter reference first (the higher rate), then the order given.
    """
    rows = list(zip(*errors.values(), strict=True))
    spreads = [max(e for e, _ in row) - min(e for e, _ in row) for row in rows]
    places = sorted(range(len(rows)), key=lambda place: (-spreads[place], rows[place][0][1]))
    return [place for place in places if spreads[place]][:number]


def _by_word(utterance: AlignedUtterance) -> list[tuple[str, Cell]]:
    """Of each reference word what is inserted before it, and its cell; last, what is inserted after all."""
    found: list[tuple[str, Cell]] = []
    inserted: list[str] = []
    for word in utterance.words:
        if word.reference is None:
            inserted.append(str(word.hypothesis))
        else:
            found.append((" ".join(inserted), Cell(word.step, word.hypothesis or "")))
            inserted = []
    return [*found, (" ".join(inserted), Cell("", ""))]
