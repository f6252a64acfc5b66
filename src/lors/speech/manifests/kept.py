"""What a check has found so far, kept in the cache folder until it ends, so that a killed one goes on.

A file for each manifest: a line that says what is checked, then a record for each block of lines, in their order. A
record is believed where its own digest is right, where it follows on the one before, and where the block still has the
bytes that it had. The first that is not ends the belief, and is overwritten.
"""

import json
import os
import struct
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from lors.base.cache import cache_directory
from lors.speech.manifests.blocks import Block
from lors.version import __version__

try:
    import fcntl
except ImportError:  # no such locks on this system: nothing is kept
    fcntl = None  # type: ignore[assignment]

_RULES = 1
"""To be raised with every change in what a check finds, or in how that is written down."""

_SECONDS_BETWEEN_WRITES = 3.0
"""What a killed check loses at most; one that takes less leaves nothing."""

_FORGOTTEN_AFTER_SECONDS = 30 * 24 * 3600.0

_HEAD = struct.Struct(">QQ32s32sI")
"""Of a record: the block's start, end and digest, the sha256 of these and the content, the content's length."""


class KeptChecks:
    """The records of one manifest, for as long as this process checks it.

    Where another process checks the same manifest, or where no disk takes the records, none are found or kept.

    Attributes:
        begun: when the oldest check that records are believed of began, in seconds of the epoch.
    """

    def __init__(self, manifest: Path, check_audio: bool, afresh: bool = False) -> None:
        """Look for what an earlier check of `manifest` with the same options left; `afresh` forgets it."""
        self.begun = int(time.time())
        place = str(manifest.absolute())
        self._about = {"manifest": place, "audio": check_audio, "lors": __version__, "rules": _RULES}
        name = sha256(f"{check_audio}\0{place}".encode(errors="surrogateescape")).hexdigest()
        self._pending: list[bytes] = []
        self._written = time.monotonic()
        self._file: BinaryIO | None = None
        self._end = 0  # of what is believed, in bytes
        self._reading = False
        self._closed = True
        if fcntl is not None:
            with suppress(RuntimeError):  # this user has no home
                self._path = cache_directory() / "checks" / name
                self._closed = False
                self._open("r+b")
        if self._file is not None:
            self._begin_to_read(self._file, afresh)

    def record_of(self, block: Block) -> bytes | None:
        """What was found in the block, which follows on that of the call before; None from the first unknown on."""
        if not self._reading or self._file is None:
            return None
        with suppress(OSError, struct.error):
            start, end, digest, check, length = _HEAD.unpack(self._file.read(_HEAD.size))
            if (start, end, digest) == (block.start, block.end, block.digest):
                content = self._file.read(length)
                if check == _check(digest, start, end, content):
                    self._end += _HEAD.size + length
                    return content
        self._reading = False
        return None

    def add(self, block: Block, content: bytes) -> None:
        """Keep what was found in the block, which follows on those that were found or added before."""
        if self._closed or block.digest is None:
            return
        check = _check(block.digest, block.start, block.end, content)
        self._pending.append(_HEAD.pack(block.start, block.end, block.digest, check, len(content)) + content)
        if time.monotonic() - self._written >= _SECONDS_BETWEEN_WRITES:
            try:
                self._write()
            except OSError:
                self.finish()
            self._written = time.monotonic()

    def finish(self) -> None:
        """Forget all: the check is at its end."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave the file to others, with what is in it."""
        self._closed, self._reading = True, False
        self._pending.clear()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _open(self, mode: str) -> None:
        """Have the file alone, or be closed; or neither, where there is none."""
        try:
            self._file = self._path.open(mode)  # type: ignore[assignment]
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
        except FileNotFoundError:
            pass
        except OSError:
            self.close()

    def _begin_to_read(self, file: BinaryIO, afresh: bool) -> None:
        try:
            line = file.readline(1 << 16)
            about = json.loads(line)
            begun = about.pop("begun")
            if not afresh and about == self._about and isinstance(begun, int):
                self.begun, self._end, self._reading = begun, len(line), True
                return
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            pass
        with suppress(OSError):
            file.truncate(0)

    def _write(self) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _remove_forgotten(self._path.parent)
            self._open("x+b")
        if self._file is None:
            return
        if not self._end:
            self._pending.insert(0, (json.dumps(self._about | {"begun": self.begun}) + "\n").encode())
        content = b"".join(self._pending)
        self._pending.clear()
        self._file.seek(self._end)
        self._file.truncate()
        self._file.write(content)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._end += len(content)


def _check(digest: bytes, start: int, end: int, content: bytes) -> bytes:
    return sha256(b"%b%d %d %b" % (digest, start, end, content)).digest()


def _remove_forgotten(folder: Path) -> None:
    """Of checks that were killed and never asked for again."""
    with suppress(OSError):
        for path in folder.iterdir():
            if time.time() - path.stat().st_mtime > _FORGOTTEN_AFTER_SECONDS:
                path.unlink()
