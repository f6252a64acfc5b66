"""Standard error without the remarks of libmpg123, with which libsndfile reads mp3."""

import ctypes
import os
import platform
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

# libsndfile does not tell it to be quiet. It remarks even on good files ("part2_3_length too large" after a seek);
# whether one can be read is known from libsndfile's own errors. These are the beginnings of all its lines.
_REMARK = re.compile(
    rb"(\[src/libmpg123/|Warning: Xing stream size|\nWarning: (Encountered more data|Real sample count|Big change)|"
    rb"Note: (Illegal Audio-MPEG-Header|Trying to resync|Skipped|Hit end of|Could be a BMP|Looks like a RIFF|Junk at))"
    rb"[^\n]*(\n|$)"
)
_lock = threading.Lock()
_inside = 0
_real: int | None = None


@contextmanager
def without_mpg123_remarks() -> Iterator[None]:
    """Keep libmpg123's remarks off standard error while an audio file is read.

    C's `stderr` is a variable: meanwhile it is another stream, from which all but the remarks is passed on to
    standard error. What Python writes goes to the file descriptor and is not touched. Several threads may be inside
    at once. Where the C library is not GNU's, nothing is done, and the remarks are seen.
    """
    with _lock:
        streams = _streams()
    if streams is None:
        yield
        return
    _enter(*streams)
    try:
        yield
    finally:
        _leave(*streams)


@cache
def _streams() -> tuple[ctypes.c_void_p, int, int] | None:
    """C's variable `stderr`, and a stream to put there with its file descriptor: never closed, for others may write."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    library.fdopen.restype = ctypes.c_void_p
    library.setbuf.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    file = os.memfd_create("remarks")
    stream = library.fdopen(file, b"a")
    library.setbuf(stream, None)
    return ctypes.c_void_p.in_dll(library, "stderr"), stream, file


def _enter(variable: ctypes.c_void_p, stream: int, file: int) -> None:
    global _inside, _real
    with _lock:
        if not _inside:
            _real, variable.value = variable.value, stream
        _inside += 1


def _leave(variable: ctypes.c_void_p, stream: int, file: int) -> None:
    global _inside
    with _lock:
        _inside -= 1
        if not _inside:
            variable.value = _real
        if size := os.fstat(file).st_size:
            written = os.pread(file, size, 0)
            os.ftruncate(file, 0)
            with suppress(OSError):  # standard error may be closed
                os.write(2, _REMARK.sub(b"", written))
