"""Which utterances are decoded together: same task, same window, like lengths, within a memory bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from lors.speech.manifest import Utterance
from lors.speech.window import FULL_WINDOW, POSITIONS_PER_SECOND

_MEMORY = 2 << 30
# Measured on whisper-base, window 400, a core: encoding takes 98 ms a clip in batches of 8 and 135 in batches
# of 16, which no longer fit its cache; decoding 165 alone, 76 in batches of 8, 73 in batches of 16.
_MAX_BATCH = 8


@dataclass(frozen=True)
class Batch:
    """Utterances, by their place in the list, that are decoded in one call."""

    task: str
    window: int
    indices: tuple[int, ...]


def window_for(duration: float, window: int) -> int:
    """The smallest multiple of `window` that holds a clip of `duration` seconds, at most the full 1500.

    Attention makes the full window dear: on whisper-base a clip takes 0.1 s at 400 positions, 0.24 s at 800
    and 0.9 s at 1500.
    """
    return min(FULL_WINDOW, window * max(1, ceil(duration * POSITIONS_PER_SECOND / window)))


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
