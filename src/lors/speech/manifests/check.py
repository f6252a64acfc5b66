"""Every bad line of a manifest of any size, on all cores, in constant memory."""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from lors.base.child_process import depend_on_parent
from lors.base.cores import usable_cores
from lors.base.errors import LorsError, UsageError
from lors.base.progress import progress, say
from lors.speech.manifest import EXPECTED, is_empty, repeated
from lors.speech.manifests.blocks import BLOCK_BYTES, Block, Contents, Looked, blocks_of, look
from lors.speech.manifests.kept import KeptChecks
from lors.speech.manifests.lines import require_file
from lors.speech.manifests.seen import SeenKeys, temporary_database


def check_manifest(
    path: Path,
    check_audio: bool = True,
    *,
    workers: int = 1,
    contents: Contents | None = None,
    kept: KeptChecks | None = None,
    advance: Callable[[float], None] = lambda amount: None,
) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, what is wrong with it) for every bad line, in order.

    Args:
        path: the manifest.
        check_audio: open every audio file, its header only, and compare its length with what the line says.
        workers: processes that look at lines at the same time. With more than one, a script that calls this must
            have its start under `if __name__ == "__main__":`.
        contents: is filled with what the good lines hold.
        kept: what an earlier check of `path` found, which goes before, and takes what this one finds.
        advance: is told the MiB that were just looked at.

    Raises:
        UsageError: the manifest itself is missing or no file.
    """
    path = Path(path)
    contents = Contents() if contents is None else contents
    require_file(path, EXPECTED)
    if path.stat().st_size <= BLOCK_BYTES:
        workers = 1
    blocks = blocks_of(path) if kept is None else _with_records(blocks_of(path), kept, check_audio)
    with temporary_database() as database, _mapped(workers) as run:
        seen = SeenKeys(database)
        for block, looked in run(partial(look, path, check_audio), blocks):
            for number, identifier, problem in looked.lines:
                first = seen.first_line(identifier.encode(), number) if identifier is not None else None
                if first is not None and identifier is not None:
                    yield number, repeated(identifier, first)
                elif problem is not None:
                    yield number, problem
            contents.add(looked.contents)
            if kept is not None and block.record is None:
                kept.add(block, looked.record)
            advance((block.end - block.start) / 2**20)
    if kept is not None:
        kept.finish()


def _with_records(blocks: Iterator[Block], kept: KeptChecks, check_audio: bool) -> Iterator[Block]:
    """The blocks, each with what is known of it; where that ends, it is said."""
    known = False
    for block in blocks:
        record = kept.record_of(block)
        if known and record is None:
            _say_what_is_believed(f"Going on at line {block.line:,}; those before it", kept, check_audio)
        known = record is not None
        yield replace(block, record=record) if known else block
    if known:
        _say_what_is_believed("All lines", kept, check_audio)


def _say_what_is_believed(lines: str, kept: KeptChecks, check_audio: bool) -> None:
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept.begun))
    audio = " Audio files that were good then are not opened again." if check_audio else ""
    say(f"{lines} were checked before (from {begun} on).{audio} To check all again: --afresh.")


_Run = Callable[[Callable[[Block], Looked], Iterator[Block]], Iterator[tuple[Block, Looked]]]


@contextmanager
def _mapped(workers: int) -> Iterator[_Run]:
    """Yield a `map` over blocks, in order, that has but a few blocks in hand."""
    if workers == 1:
        yield lambda look, blocks: ((block, look(block)) for block in blocks)
        return
    others = set(multiprocessing.active_children())
    # spawn: a forked copy of a process with threads may wait for a lock for ever
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), depend_on_parent)

    def run(look: Callable[[Block], Looked], blocks: Iterator[Block]) -> Iterator[tuple[Block, Looked]]:
        waiting: deque[tuple[Block, Future[Looked]]] = deque()
        for block in blocks:
            with _interrupts_blocked():  # a new process inherits it, so that none is met while Python starts
                waiting.append((block, pool.submit(look, block)))
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
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        # Not waited for, its thread may close what Python's own end still writes to, which is told as an exception.
        pool.shutdown(wait=True, cancel_futures=True)
        raise


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
    path: Path, check_audio: bool, workers: int | None, contents: Contents, afresh: bool = False
) -> Iterator[tuple[int, str]]:
    """`check_manifest` on all cores, its progress shown, and kept for a check to come, where the manifest is large.

    Args:
        path, check_audio, contents: as there.
        workers: as there; None for one for each core.
        afresh: believe nothing of an earlier check that was killed.
    """
    path = Path(path)
    require_file(path, EXPECTED)
    size = path.stat().st_size
    workers = workers or usable_cores()
    if size <= BLOCK_BYTES:
        yield from check_manifest(path, check_audio, contents=contents)
    else:
        with (
            progress("Checking", size / 2**20, "MiB") as advance,
            closing(KeptChecks(path, check_audio, afresh)) as kept,
        ):
            yield from check_manifest(
                path, check_audio, workers=workers, contents=contents, kept=kept, advance=advance
            )
    if not contents.lines:
        raise UsageError(is_empty(path))
