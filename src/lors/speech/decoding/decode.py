"""Decode utterances with one model: batches through an engine, each hypothesis past the loop guard."""

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import torch

from lors.speech.audio import load_audio
from lors.speech.decoding.batches import Batch, plan_batches
from lors.speech.decoding.hypothesis import Decoded, Engine, Hypothesis
from lors.speech.decoding.loops import NO_REPEAT_NGRAM_SIZE, is_loop, token_limit
from lors.speech.decoding.options import DecoderOptions
from lors.speech.manifest import Utterance
from lors.speech.window import log_mel


def load_engine(directory: Path, options: DecoderOptions) -> Engine:
    """Load a checkpoint directory with the engine that the options name."""
    if options.engine == "ctranslate2":
        from lors.speech.decoding.ctranslate2_engine import CTranslate2Engine

        return CTranslate2Engine(directory, options)
    from lors.speech.decoding.transformers_engine import TransformersEngine

    return TransformersEngine(directory, options)


def decode(
    engine: Engine,
    utterances: Sequence[Utterance],
    options: DecoderOptions,
    done: Collection[int] = (),
) -> Iterator[list[tuple[int, Hypothesis]]]:
    """Yield (place in `utterances`, hypothesis) of each batch as it is finished; batches in any order.

    Args:
        done: places that have their hypothesis already; a batch that holds others too is decoded whole, so
            that the texts are those of an uninterrupted run.

    Raises:
        LorsError: an audio file cannot be read.
    """
    batches = [
        batch
        for batch in plan_batches(
            utterances, options.window, options.beam_size, engine.bytes_per_position, engine.workers
        )
        if not set(batch.indices) <= set(done)
    ]
    with _quiet_torch(engine.workers), ThreadPoolExecutor(engine.workers) as pool:
        waiting = {pool.submit(_decode_batch, engine, batch, utterances, options) for batch in batches}
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield [pair for pair in future.result() if pair[0] not in done]
        finally:
            pool.shutdown(cancel_futures=True)


def _decode_batch(
    engine: Engine, batch: Batch, utterances: Sequence[Utterance], options: DecoderOptions
) -> list[tuple[int, Hypothesis]]:
    start = time.perf_counter()
    chosen = [utterances[index] for index in batch.indices]
    audio = [load_audio(u.audio_filepath, u.offset, u.duration) for u in chosen]
    features = log_mel(audio, batch.window, engine.mel_bins)
    languages = [u.source_lang for u in chosen]

    def attempt(rows: Sequence[int], limit: int, no_repeat: int = 0) -> list[Decoded]:
        asked = [languages[row] for row in rows]
        return engine.decode(features[list(rows)], asked, batch.task, limit, no_repeat)

    limit = token_limit(max(u.duration for u in chosen), options.max_new_tokens)
    first = attempt(range(len(chosen)), limit)
    if limit < options.max_new_tokens:
        for row, decoded in enumerate(first):
            if len(decoded.tokens) >= limit and not is_loop(decoded.tokens, decoded.text):
                first[row] = attempt([row], options.max_new_tokens)[0]
    looped = [
        row
        for row, decoded in enumerate(first)
        if is_loop(decoded.tokens, decoded.text) or len(decoded.tokens) >= options.max_new_tokens
    ]
    last = list(first)
    if looped:
        again = attempt(looped, limit, NO_REPEAT_NGRAM_SIZE)
        for row, decoded in zip(looped, again, strict=True):
            last[row] = decoded
    seconds = (time.perf_counter() - start) / len(chosen) / engine.workers
    return [
        (
            index,
            Hypothesis(
                text=last[row].text,
                tokens=len(last[row].tokens),
                log_probability=last[row].log_probability,
                window=batch.window,
                looped=row in looped,
                first_attempt=first[row].text if row in looped else None,
                seconds=seconds,
            ),
        )
        for row, index in enumerate(batch.indices)
    ]


@contextmanager
def _quiet_torch(workers: int) -> Iterator[None]:
    """One torch thread to a worker: two busy OpenMP pools on the same cores slow each other down tenfold."""
    before = torch.get_num_threads()
    if workers > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
