"""The cheap look at a candidate: its teacher-forced loss on development clips, in one model that stays in memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from math import ceil
from pathlib import Path

import numpy as np
import torch

from lors.base.errors import LorsError, UsageError
from lors.base.progress import say
from lors.checkpoints.read import Checkpoint
from lors.speech.decoding.vocabulary import complete_config
from lors.speech.evaluation_inputs import read_data
from lors.speech.finetuning_inputs import load_model
from lors.speech.finetuning_settings import has_fast_bfloat16
from lors.speech.labels import check_languages, is_multilingual, prefix_tokens
from lors.speech.training import TIED, label_losses, quiet_transformers
from lors.speech.training_data import IGNORED, Batch, Collator, Example, SpeechDataset, select_examples
from lors.speech.window import POSITIONS_PER_SECOND
from lors.study.tuning.objective import NATS, CellCounts

BATCH = 4
"""Clips computed at once: measured on whisper-base, a clip takes as long in batches of 8, and a third more alone."""

BLOCK = 2 * BATCH
"""Clips that are measured together or not at all; within a block, those of like length share a batch."""

SILENCE = 50
"""Encoder positions, 1 s, that the window leaves after a clip at the least.

Most of a window of 8 s is padding here: fitted to the clips, it takes three quarters of the time. Measured on
whisper-base, 13 clips and 7 merges of λ 0.2 to 1: losses 1 to 3 % lower, their rank correlation with those at
8 s 0.96 (Spearman).
"""

CLIPS = 48
"""Of each pair of languages, at the most: a first look need not see more to tell good scales from bad."""

_MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class ClipLosses:
    """Of the first clips of a search, in its order.

    Attributes:
        nats: of each clip, the negative log-likelihood of its text and the end of it, in millionths of nats.
        labels: of each clip, how many these are.
    """

    nats: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.nats)

    def first(self, clips: int) -> "ClipLosses":
        """Of the first so many."""
        return ClipLosses(self.nats[:clips], self.labels[:clips])


class DevLoss:
    """A Whisper and the features of development clips, in memory.

    The clips, `CLIPS` of each pair of languages at the most, come in an order in which languages and tasks take turns,
    so that any first part holds all of them.
    Clips longer than the window, which the decoder gives a longer one, are left out and counted; shorter ones get as
    short a window as their batch allows. Language and task count for nothing, which the decoder is told. Weights are
    float32; matrix products are bfloat16 where the processor is fast at it, and on a GPU.
    """

    def __init__(
        self, base: Checkpoint, dev: Sequence[Path], window: int, limit: int | None, seed: int
    ) -> None:
        """Read the base and the clips.

        Raises:
            UsageError: a bad manifest, too many clips for the memory, or a language of which every clip is too long.
            LorsError: an audio file or the model cannot be read.
        """
        config = complete_config(base.directory)
        mel_bins = int(config["num_mel_bins"])
        examples = _examples(base, dev, window, limit, int(config["max_target_positions"]))
        self._clips = _taking_turns(examples, seed)
        plan = [_batches(self._clips, start, window) for start in range(0, len(self._clips), BLOCK)]
        size = 4 * mel_bins * 2 * sum(len(places) * fitted for places, fitted in chain.from_iterable(plan))
        if size > _MOST_BYTES:
            raise UsageError(
                f"the features of {len(self._clips):,} development clips take {size / 2**30:.1f} GiB, and at most "
                f"{_MOST_BYTES >> 30} are kept in memory: pass --limit, or --first-look greedy."
            )
        dataset = SpeechDataset(self._clips)
        self._blocks: list[list[tuple[list[int], Batch]]] = [
            [(places, Collator(fitted, mel_bins)([dataset[p] for p in places])) for places, fitted in block]
            for block in plan
        ]
        self._prefix = len(prefix_tokens("en", "transcribe", is_multilingual(base.directory)))
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._bfloat16 = self._device == "cuda" or has_fast_bfloat16()
        self._model = load_model(base, base.directory, self._device).eval()
        self._names = set(self._model.state_dict()) - {TIED}
        self.window = window

    def __len__(self) -> int:
        """Clips."""
        return len(self._clips)

    @property
    def cells(self) -> int:
        """Pairs of languages."""
        return len({_cell(clip) for clip in self._clips})

    @property
    def groups(self) -> list[str]:
        """Of each clip, language and task, as "es-transcribe"."""
        return [clip.group for clip in self._clips]

    @property
    def signature(self) -> str:
        """What beside model and data decides the numbers."""
        precision = "bfloat16" if self._bfloat16 else "float32"
        return f"loss of the text|window:up to {self.window}|{precision}|batch:{BATCH}"

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Set the model's parameters in place: the values as they are, in float32.

        Raises:
            LorsError: the tensors are not those of the model.
        """
        for name, parameter in self.parameters(tensors).items():
            parameter.copy_(tensors[name])

    def parameters(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """The parameters themselves, to be written into: those tied to another left out.

        Raises:
            LorsError: `names`, of a merged model's tensors, are not theirs.
        """
        state = self.state()
        if odd := sorted(state.keys() ^ (set(names) - {TIED})):
            raise LorsError(f"the merged model's tensors are not those of the base: '{odd[0]}'.")
        return state

    def state(self) -> dict[str, torch.Tensor]:
        """The parameters as they are now, those tied to another left out."""
        return {name: tensor for name, tensor in self._model.state_dict().items() if name in self._names}

    def measured(self, clips: int, known: ClipLosses = ClipLosses()) -> ClipLosses:
        """The losses of the first `clips`, of which `known` holds the first few: whole blocks of them."""
        nats, labels = list(known.nats), list(known.labels)
        with torch.inference_mode():
            for block in self._blocks[-(-len(known) // BLOCK) : -(-clips // BLOCK)]:
                losses = {place: row for batch in block for place, row in self._measure(*batch)}
                for _, row in sorted(losses.items()):
                    nats.append(round(row.double().sum().item() * NATS))
                    labels.append(len(row))
        return ClipLosses(tuple(nats), tuple(labels))

    def _measure(self, places: Sequence[int], batch: Batch) -> Iterator[tuple[int, torch.Tensor]]:
        """Each clip with the losses of its text and the end of it."""
        wanted = batch["labels"].to(self._device)
        found = label_losses(self._model, batch["input_features"].to(self._device), wanted, self._bfloat16)
        rows = found.split((wanted != IGNORED).sum(dim=1).tolist())
        yield from zip(places, (row[self._prefix :] for row in rows), strict=True)

    def by_cell(self, losses: ClipLosses) -> list[CellCounts]:
        """The counts of each pair of languages, of the clips that are measured."""
        counts: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
        for clip, pair in zip(self._clips, zip(losses.nats, losses.labels, strict=True), strict=False):
            counts.setdefault(_cell(clip), []).append(pair)
        return [CellCounts(*cell, "loss", np.asarray(found)) for cell, found in sorted(counts.items())]


def _cell(example: Example) -> tuple[str, str, str]:
    utterance = example.utterance
    return utterance.task, utterance.source_lang, utterance.target_lang


def _batches(clips: Sequence[Example], start: int, window: int) -> list[tuple[list[int], int]]:
    """The block that starts at a place: batches of clips of like length, each with its window."""
    windows = {
        place: min(window, 50 * ceil((clips[place].utterance.duration * POSITIONS_PER_SECOND + SILENCE) / 50))
        for place in range(start, min(start + BLOCK, len(clips)))
    }
    places = sorted(windows, key=lambda place: (windows[place], place))
    batches = [places[first : first + BATCH] for first in range(0, len(places), BATCH)]
    return [(batch, windows[batch[-1]]) for batch in batches]


def _examples(
    base: Checkpoint, dev: Sequence[Path], window: int, limit: int | None, max_labels: int
) -> list[Example]:
    from transformers import WhisperTokenizer

    with quiet_transformers():
        tokenizer = WhisperTokenizer.from_pretrained(base.directory)
    multilingual = is_multilingual(base.directory)
    examples: list[Example] = []
    for data in read_data(dev, limit):
        check_languages(data.utterances, tokenizer, multilingual, base.directory)
        kept, dropped = select_examples(
            data.path, data.utterances, tokenizer, multilingual, window, max_labels
        )
        examples += kept
        if dropped:
            one = f"as '{dropped[0].id}' {dropped[0].reason}"
            say(f"Left out of the first look: {len(dropped)} of {data.path.name}, {one}")
        lost = {f"{u.source_lang}-{u.task}" for u in data.utterances} - {example.group for example in kept}
        if lost:
            raise UsageError(
                f"{data.path}: every {min(lost)} clip is left out, as '{dropped[0].id}', which "
                f"{dropped[0].reason}; choose a longer --window, or --first-look greedy."
            )
    return examples


def _taking_turns(examples: Sequence[Example], seed: int) -> list[Example]:
    """Shuffled within each pair of languages; then one of each in turn, for as long as it has any, up to `CLIPS`."""
    cells: dict[tuple[str, str, str], list[Example]] = {}
    for example in examples:
        cells.setdefault(_cell(example), []).append(example)
    shuffled = [
        [found[place] for place in np.random.default_rng([seed, number]).permutation(len(found))[:CLIPS]]
        for number, (_, found) in enumerate(sorted(cells.items()))
    ]
    return [example for example in chain.from_iterable(zip_longest(*shuffled)) if example is not None]
