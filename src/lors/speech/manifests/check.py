"""Every bad line of a manifest of any size, on all cores, in constant memory."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lors.base.errors import LorsError, UsageError
from lors.base.progress import progress
from lors.speech.manifest import EXPECTED, audio_checker, is_empty, repeated, to_utterance
from lors.speech.manifests.json_lines import json_object
from lors.speech.manifests.lines import BadLineError, lines_of, require_file
from lors.speech.manifests.seen import SeenKeys, temporary_database

_CHUNK = 1 << 18
"""Bytes that a process takes at a time: some thousand lines, a second or so with their audio."""


@dataclass
class Contents:
    """What the good lines of a manifest hold.

    Attributes:
        lines: the number of all lines but blank ones, bad ones too.
        utterances: the number of good lines.
        seconds: of all.
        tasks: (source_lang, target_lang) of any.
    """

    lines: int = 0
    utterances: int = 0
    seconds: float = 0.0
    tasks: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True)
class _Chunk:
    """Whole lines: the bytes from `start` to `end`, of which the first is line `line`."""

    start: int
    end: int
    line: int


@dataclass
class _Looked:
    """A chunk's lines: (number, the id where there is one, what is wrong), and what the good ones hold."""

    lines: list[tuple[int, bytes | None, str | None]]
    contents: Contents


def check_manifest(
    path: Path,
    check_audio: bool = True,
    *,
    workers: int = 1,
    contents: Contents | None = None,
    advance: Callable[[float], None] = lambda amount: None,
) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, what is wrong with it) for every bad line, in order.

    Args:
        path: the manifest.
        check_audio: open every audio file, its header only, and compare its length with what the line says.
        workers: processes that look at lines at the same time. With more than one, a script that calls this must
            have its start under `if __name__ == "__main__":`.
        contents: is filled with what the good lines hold.
        advance: is told the MiB that were just looked at.

    Raises:
        UsageError: the manifest itself is missing or no file.
    """
    path = Path(path)
    contents = Contents() if contents is None else contents
    require_file(path, EXPECTED)
    chunks = _chunks(path)
    if path.stat().st_size <= _CHUNK:
        workers = 1
    with temporary_database() as database, _mapped(workers) as run:
        seen = SeenKeys(database)
        for chunk, looked in run(partial(_look, path, check_audio), chunks):
            for number, identifier, problem in looked.lines:
                first = seen.first_line(identifier, number) if identifier is not None else None
                if first is not None and identifier is not None:
                    yield number, repeated(identifier.decode(), first)
                elif problem is not None:
                    yield number, problem
            contents.lines += len(looked.lines)
            contents.utterances += looked.contents.utterances
            contents.seconds += looked.contents.seconds
            contents.tasks |= looked.contents.tasks
            advance((chunk.end - chunk.start) / 2**20)


def _chunks(path: Path) -> Iterator[_Chunk]:
    """Cut the file after the last line end of every so many bytes."""
    with path.open("rb") as file:
        start, line, position = 0, 1, 0
        while block := file.read(_CHUNK):
            cut = block.rfind(b"\n") + 1
            if cut:
                yield _Chunk(start, position + cut, line)
                start = position + cut
                line += block.count(b"\n")
            position += len(block)
        if start < position:
            yield _Chunk(start, position, line)


def _look(path: Path, check_audio: bool, chunk: _Chunk) -> _Looked:
    audio_problem = audio_checker() if check_audio else lambda utterance: None
    folder = path.absolute().parent
    looked = _Looked([], Contents())
    with path.open("rb") as file:
        file.seek(chunk.start)
        for number, line in lines_of(file, chunk.line, chunk.end):
            if line is not None and not line.strip():
                continue
            try:
                utterance = to_utterance(json_object(line), folder)
            except BadLineError as error:
                looked.lines.append((number, None, str(error)))
                continue
            problem = audio_problem(utterance)
            looked.lines.append((number, utterance.id.encode(), problem))
            if problem is None:
                looked.contents.utterances += 1
                looked.contents.seconds += utterance.duration
                looked.contents.tasks.add((utterance.source_lang, utterance.target_lang))
    return looked


_Run = Callable[[Callable[[_Chunk], _Looked], Iterator[_Chunk]], Iterator[tuple[_Chunk, _Looked]]]


@contextmanager
def _mapped(workers: int) -> Iterator[_Run]:
    """Yield a `map` over chunks, in order, that has but a few chunks in hand."""
    if workers == 1:
        yield lambda look, chunks: ((chunk, look(chunk)) for chunk in chunks)
        return
    others = set(multiprocessing.active_children())
    # spawn: a forked copy of a process with threads may wait for a lock for ever
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _leave_interrupts_to_the_parent)

    def run(look: Callable[[_Chunk], _Looked], chunks: Iterator[_Chunk]) -> Iterator[tuple[_Chunk, _Looked]]:
        waiting: deque[tuple[_Chunk, Future[_Looked]]] = deque()
        for chunk in chunks:
            with _interrupts_blocked():  # a new process inherits it, so that none is met while Python starts
                waiting.append((chunk, pool.submit(look, chunk)))
            if len(waiting) > 2 * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()

    try:
        yield run
        pool.shutdown()
    except BrokenProcessPool:
        raise LorsError(
            "a process that looked at lines was killed, as where memory is short; use fewer with --workers."
        ) from None
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_with_progress(
    path: Path, check_audio: bool, workers: int | None, contents: Contents
) -> Iterator[tuple[int, str]]:
    """`check_manifest` on all cores, its progress shown where the manifest is large."""
    path = Path(path)
    require_file(path, EXPECTED)
    size = path.stat().st_size
    workers = workers or len(
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    with (
        nullcontext(lambda amount: None)
        if size <= _CHUNK
        else progress("Checking", size / 2**20, "MiB") as advance
    ):
        yield from check_manifest(path, check_audio, workers=workers, contents=contents, advance=advance)
    if not contents.lines:
        raise UsageError(is_empty(path))
