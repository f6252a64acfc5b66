"""Which utterances are decoded together: same task, same window, like lengths, within a memory bound."""

from collections.abc import Sequence
from dataclasses import dataclass

from lors.speech.manifest import Utterance
from lors.speech.window import FULL_WINDOW, POSITIONS_PER_SECOND

_MEMORY = 2 << 30
_MAX_BATCH = 16


@dataclass(frozen=True)
class Batch:
    """Utterances, by their place in the list, that are decoded in one call."""

    task: str
    window: int
    indices: tuple[int, ...]


def window_for(duration: float, window: int) -> int:
    """`window`, or the full 1500 positions where the clip is longer than it."""
    return window if duration * POSITIONS_PER_SECOND <= window else FULL_WINDOW


def plan_batches(
    utterances: Sequence[Utterance], window: int, beam_size: int, bytes_per_position: int, workers: int
) -> list[Batch]:
    """Group utterances; longest first, so that the last batches are short ones and all workers end together.

    The plan depends on its arguments alone: decoding that goes on after an interruption makes the same
    batches, and so the same texts.

    Args:
        bytes_per_position: memory for one encoder position of one beam; all workers' batches together
            stay within 2 GiB of it where one utterance a batch does.
    """
    groups: dict[tuple[int, str], list[int]] = {}
    for index, utterance in enumerate(utterances):
        key = (window_for(utterance.duration, window), utterance.task)
        groups.setdefault(key, []).append(index)
    batches = []
    for (positions, task), indices in sorted(groups.items(), reverse=True):
        indices.sort(key=lambda index: (-utterances[index].duration, index))
        fits = _MEMORY // (positions * bytes_per_position * beam_size * workers)
        size = max(1, min(_MAX_BATCH, fits))
        size = min(size, max(1, -(-len(indices) // workers)))
        batches += [
            Batch(task, positions, tuple(indices[start : start + size]))
            for start in range(0, len(indices), size)
        ]
    return batches
