"""Which clips are decoded together: same task, same window, like lengths, within a memory budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from lors.base.errors import UsageError
from lors.speech.decoding.hypothesis import Speech
from lors.speech.decoding.loops import token_limit
from lors.speech.decoding.memory import MemoryModel
from lors.speech.decoding.options import DecoderOptions
from lors.speech.window import FULL_WINDOW, POSITIONS_PER_SECOND

# Measured on whisper-base, window 400, a core: encoding takes 98 ms a clip in batches of 8 and 135 in batches
# of 16, which no longer fit its cache; decoding 165 alone, 76 in batches of 8, 73 in batches of 16.
_MAX_BATCH = 8


LONGEST_SECONDS = 30.05
"""A clip of 30 s, and what codecs and manifests round."""


@dataclass(frozen=True)
class Batch:
    """Clips, by their place in the list, that are decoded in one call."""

    task: str
    window: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class BatchPlan:
    """All batches, and how many of them may be decoded at a time."""

    batches: tuple[Batch, ...]
    workers: int


def window_for(duration: float, window: int) -> int:
    """The smallest multiple of `window` that holds a clip of `duration` seconds, at most the full 1500.

    Attention makes the full window dear: on whisper-base a clip takes 0.1 s at 400 positions, 0.24 s at 800
    and 0.9 s at 1500.
    """
    return min(FULL_WINDOW, window * max(1, ceil(duration * POSITIONS_PER_SECOND / window)))


def plan_batches(
    speech: Sequence[Speech], options: DecoderOptions, model: MemoryModel, workers: int, memory: int
) -> BatchPlan:
    """Group clips; longest first, so that the last batches are short ones and all workers end together.

    The plan depends on its arguments alone: decoding that goes on after an interruption makes the same
    batches, and so the same texts.

    Args:
        workers: at most so many batches at a time; fewer where memory is short.
        memory: bytes that all batches at work may hold together, beside the weights.

    Raises:
        UsageError: not even one clip by itself fits.
    """
    groups: dict[tuple[int, str], list[int]] = {}
    for index, clip in enumerate(speech):
        groups.setdefault((window_for(clip.duration, options.window), clip.task), []).append(index)
    if not groups:
        return BatchPlan((), workers)
    largest = max(positions for positions, _ in groups)
    alone = memory_of_one(model, options, largest)
    if alone > memory:
        raise UsageError(_too_large(options, largest, alone, memory))
    workers = min(workers, memory // alone)
    share = memory // workers
    batches = []
    for (positions, task), indices in sorted(groups.items(), reverse=True):
        indices.sort(key=lambda index: (-speech[index].duration, index))
        limit = token_limit(speech[indices[0]].duration, options.max_new_tokens)
        most = max(1, min(_MAX_BATCH, -(-len(indices) // workers)))
        sizes = range(most, 1, -1)
        fits = (n for n in sizes if model.bytes(n, positions, options.beam_size, limit) <= share)
        size = next(fits, 1)
        batches += [
            Batch(task, positions, tuple(indices[start : start + size]))
            for start in range(0, len(indices), size)
        ]
    return BatchPlan(tuple(batches), workers)


def memory_of_one(model: MemoryModel, options: DecoderOptions, positions: int) -> int:
    """Bytes that one clip takes by itself, should its text become as long as any may."""
    return model.bytes(1, positions, options.beam_size, options.max_new_tokens)


def _too_large(options: DecoderOptions, positions: int, needed: int, memory: int) -> str:
    other = ", or --engine ctranslate2, which keeps the speech once for all beams" * (
        options.engine == "transformers" and options.beam_size > 1
    )
    return (
        f"memory: {options.engine} needs {_mib(needed)} to decode one utterance with this model, "
        f"{options.beam_size} beams and {positions} encoder positions, and may use {_mib(memory)}; allow more with "
        f"--memory, or choose a smaller --beam-size or --window{other}."
    )


def _mib(size: int) -> str:
    return f"{-(-size // 2**20):,} MiB"
