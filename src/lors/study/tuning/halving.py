"""Successive halving: all candidates on few clips, the better half on twice as many, until few are left."""

from collections.abc import Callable


def halved(
    candidates: int,
    clips: int,
    least: int,
    finalists: int,
    batch: int,
    measure: Callable[[int, int], float],
    advance: Callable[[float], None] = lambda amount: None,
) -> list[int]:
    """On how many clips each candidate was measured.

    Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization",
    arXiv:1502.07943. Of equal candidates the first stays.

    Args:
        candidates: how many.
        clips: how many there are.
        least: clips of the first round.
        finalists: how many are measured on all clips.
        batch: clips are added in whole batches of this size.
        measure: (candidate, clips) → its cost on the first so many, the lower the better.
        advance: told of each candidate that is given up, or finished.
    """
    left, seen = list(range(candidates)), [0] * candidates
    size = clips if candidates <= finalists else _whole_batches(max(least, clips // 8), batch, clips)
    while True:
        costs = {}
        for place in left:
            costs[place] = measure(place, size)
            seen[place] = size
            if size == clips:
                advance(1)
        if size == clips:
            return seen
        ranked = sorted(left, key=lambda place: (costs[place], place))
        stay = max(finalists, (len(left) + 1) // 2)
        advance(len(left) - len(ranked[:stay]))
        left = sorted(ranked[:stay])
        size = clips if len(left) <= finalists else _whole_batches(2 * size, batch, clips)


def _whole_batches(size: int, batch: int, most: int) -> int:
    return min(most, -(-size // batch) * batch)
