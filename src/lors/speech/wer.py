"""Word error rate: references and hypotheses aligned word by word as NIST's sclite does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SUBSTITUTION_WEIGHT = 4
DELETION_WEIGHT = INSERTION_WEIGHT = 3
SIGNATURE = "wer|alignment:sclite-4-3-3|version:1"

_DIAGONAL, _DELETION, _INSERTION = 0, 1, 2


@dataclass(frozen=True)
class WordErrors:
    """Counts of an alignment; counts of several utterances add up with `total`.

    Attributes:
        utterances: number of utterances counted.
        words: words in the references, = correct + substitutions + deletions.
        correct, substitutions, deletions, insertions: aligned words of each kind.
    """

    utterances: int
    words: int
    correct: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """Errors in per cent of the reference words: 0 upwards, above 100 where much is inserted.

        Without any reference word it is 0.0 when nothing was inserted and infinite otherwise.
        """
        if self.words:
            return 100.0 * self.errors / self.words
        return float("inf") if self.errors else 0.0


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """Align one hypothesis with its reference; words are what white space separates, compared exactly.

    The alignment has the least cost with sclite's weights (substitution 4, deletion 3, insertion 3). Where
    several have it, sclite's choice is taken, so that the counts are sclite's: going from the first
    word to the last, each cell prefers the diagonal, then the insertion, then the deletion.
    """
    truth, guess = reference.split(), hypothesis.split()
    if truth == guess:
        return WordErrors(1, len(truth), len(truth), 0, 0, 0)
    moves = _moves(truth, guess)
    correct = substitutions = deletions = insertions = 0
    i, j = len(truth), len(guess)
    while i or j:
        move = moves[i][j]
        if move == _DELETION:
            deletions += 1
            i -= 1
        elif move == _INSERTION:
            insertions += 1
            j -= 1
        else:
            i, j = i - 1, j - 1
            if truth[i] == guess[j]:
                correct += 1
            else:
                substitutions += 1
    return WordErrors(1, len(truth), correct, substitutions, deletions, insertions)


def total(parts: Iterable[WordErrors]) -> WordErrors:
    """The sum of the counts; its `wer` is the corpus's word error rate."""
    columns = [0] * 6
    for part in parts:
        counts = (
            part.utterances,
            part.words,
            part.correct,
            part.substitutions,
            part.deletions,
            part.insertions,
        )
        columns = [a + b for a, b in zip(columns, counts, strict=True)]
    return WordErrors(*columns)


def _moves(truth: Sequence[str], guess: Sequence[str]) -> list[bytearray]:
    """The last step of the best alignment of the first i words of `truth` with the first j of `guess`."""
    width = len(guess)
    costs = [j * INSERTION_WEIGHT for j in range(width + 1)]
    rows = [bytearray([_INSERTION] * (width + 1))]
    for word in truth:
        row = bytearray(width + 1)
        row[0] = _DELETION
        diagonal = costs[0]
        left = costs[0] = diagonal + DELETION_WEIGHT
        for j in range(1, width + 1):
            above = costs[j]
            match = diagonal if word == guess[j - 1] else diagonal + SUBSTITUTION_WEIGHT
            delete = above + DELETION_WEIGHT
            insert = left + INSERTION_WEIGHT
            if match <= delete and match <= insert:
                left = match
            elif delete < insert:
                left, row[j] = delete, _DELETION
            else:
                left, row[j] = insert, _INSERTION
            costs[j] = left
            diagonal = above
        rows.append(row)
    return rows
