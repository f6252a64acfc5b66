"""Decode utterances with one model: batches through an engine, each hypothesis past the loop guard."""

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import torch

from lors.base.errors import UsageError
from lors.speech.audio import load_audio
from lors.speech.decoding.available import default_memory
from lors.speech.decoding.batches import Batch, plan_batches
from lors.speech.decoding.hypothesis import Candidate, Decoded, Engine, Hypothesis, Speech
from lors.speech.decoding.loops import NO_REPEAT_NGRAM_SIZE, is_loop, token_limit
from lors.speech.decoding.options import DecoderOptions
from lors.speech.languages import LANGUAGES
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
    speech: Sequence[Speech],
    options: DecoderOptions,
    done: Collection[int] = (),
) -> Iterator[list[tuple[int, Hypothesis]]]:
    """Yield (place in `speech`, hypothesis) of each batch as it is finished; batches in any order.

    Args:
        done: places that have their hypothesis already; a batch that holds others too is decoded whole, so
            that the texts are those of an uninterrupted run.

    Raises:
        UsageError: a clip does not fit into the memory, or the model lacks its language.
        LorsError: an audio file cannot be read.
    """
    _check_languages(engine, speech)
    memory = options.memory or default_memory(engine.on_gpu)
    plan = plan_batches(speech, options, engine.memory_model, engine.workers, memory)
    batches = [batch for batch in plan.batches if not set(batch.indices) <= set(done)]
    with _quiet_torch(plan.workers), ThreadPoolExecutor(plan.workers) as pool:
        waiting = {
            pool.submit(_decode_batch, engine, batch, speech, options, plan.workers) for batch in batches
        }
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield [pair for pair in future.result() if pair[0] not in done]
        finally:
            pool.shutdown(cancel_futures=True)


def _check_languages(engine: Engine, speech: Sequence[Speech]) -> None:
    for clip in speech:
        if clip.source_lang is not None and clip.source_lang not in engine.languages:
            raise UsageError(
                f"{clip.audio_filepath}: the model has no token for {LANGUAGES[clip.source_lang].title()} "
                f"({clip.source_lang}); it knows {len(engine.languages)} languages: choose a model that knows this "
                "one too, or leave the clip out."
            )


def _decode_batch(
    engine: Engine, batch: Batch, speech: Sequence[Speech], options: DecoderOptions, workers: int
) -> list[tuple[int, Hypothesis]]:
    start = time.perf_counter()
    chosen = [speech[index] for index in batch.indices]
    audio = [load_audio(clip.audio_filepath, clip.offset, clip.duration) for clip in chosen]
    features = log_mel(audio, batch.window, engine.mel_bins)
    languages = _languages(engine, chosen, features, options.detect_language)

    def attempt(rows: Sequence[int], limit: int, no_repeat: int = 0) -> list[Decoded]:
        asked = [languages[row][0] for row in rows]
        return engine.decode(features[list(rows)], asked, batch.task, limit, no_repeat)

    limit = token_limit(max(clip.duration for clip in chosen), options.max_new_tokens)
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
    seconds = (time.perf_counter() - start) / len(chosen) / workers
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
                nbest=_candidates(last[row]) if options.nbest > 1 else (),
                language=None if languages[row][1] is None else languages[row][0],
                language_probability=languages[row][1],
            ),
        )
        for row, index in enumerate(batch.indices)
    ]


def _languages(
    engine: Engine, speech: Sequence[Speech], features: torch.Tensor, detect: bool
) -> list[tuple[str, float | None]]:
    """Each clip's language, with its probability where it was detected."""
    languages: list[tuple[str, float | None]] = [(clip.source_lang or "", None) for clip in speech]
    rows = [row for row, clip in enumerate(speech) if detect or clip.source_lang is None]
    if rows:
        for row, found in zip(rows, engine.detect_language(features[rows]), strict=True):
            languages[row] = found
    return languages


def _candidates(decoded: Decoded) -> tuple[Candidate, ...]:
    texts = (decoded, *decoded.others)
    return tuple(Candidate(one.text, len(one.tokens), one.log_probability) for one in texts)


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
