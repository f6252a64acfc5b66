"""Fetch a file once: with progress, going on where it stopped, verified before it takes its name."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from lors.base.errors import LorsError
from lors.base.files import require_free_space, sha256_of
from lors.base.lock import exclusive
from lors.base.progress import progress

_TIMEOUT_SECONDS = 30
_BLOCK = 1 << 20
_ATTEMPTS = 3


class DownloadError(LorsError):
    """No source gave the file; the message lists each that was tried and why it failed."""


class _SourceError(Exception):
    """Why a source did not give the file, and whether asking it once more may help."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def download(urls: Sequence[str], destination: Path, sha256: str | None = None) -> Path:
    """Fetch `destination` from the first of `urls` that works; return at once if it is there already.

    The file takes its name only after its sha256 was found right. Where a digest is given, an interrupted
    download is kept as `NAME.download` and gone on with by an HTTP range request, at once if the connection
    broke, else at the next call; a source that does not know ranges, or whose file has changed, starts again.
    Two processes that want the same file wait for each other.

    Args:
        urls: addresses of the same file, in order of preference (http, https or file).
        destination: the path to write.
        sha256: expected digest, hexadecimal; None where the caller verifies the content himself.

    Raises:
        DownloadError: no source worked.
        LorsError: the disk has too little space.
    """
    if destination.exists():
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(destination.name + ".download")
    failures = []
    with exclusive(destination):
        if destination.exists():
            return destination
        if sha256 is None:
            partial.unlink(missing_ok=True)
        for url in urls:
            try:
                _fetch_patiently(url, partial, destination.name, sha256)
            except _SourceError as failure:
                failures.append(f"{url} ({failure})")
                continue
            partial.replace(destination)
            return destination
    raise DownloadError(f"{destination.name} could not be fetched; tried {'; '.join(failures) or 'nothing'}.")


def _fetch_patiently(url: str, partial: Path, name: str, sha256: str | None) -> None:
    """Fetch and verify, asking again where a connection broke or what was here before spoilt the file."""
    for attempt in range(_ATTEMPTS):
        kept = _size(partial)
        try:
            _fetch(url, partial, name)
            _verify(partial, sha256, again=kept > 0)
        except _SourceError as failure:
            if failure.again and attempt + 1 < _ATTEMPTS:
                continue
            raise
        return


def _fetch(url: str, partial: Path, name: str) -> None:
    kept = _size(partial)
    try:
        request = urllib.request.Request(url, headers={"Range": f"bytes={kept}-"} if kept else {})
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies beyond what is here: it is whole, and the digest will tell
            return
        raise _SourceError(reason_of(error)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _SourceError(reason_of(error)) from None
    with response:
        if not _goes_on_at(response, kept):
            kept = 0
        announced = int(response.headers.get("Content-Length") or 0)
        require_free_space(partial.parent, announced)
        with (
            partial.open("ab" if kept else "wb") as file,
            progress(f"Fetching {name}", (kept + announced) / 2**20, "MiB") as advance,
        ):
            advance(kept / 2**20)
            received = _copy(response, file.write, advance)
    if received < announced:
        raise _SourceError(f"the connection closed after {received} of {announced} bytes", again=received > 0)


def _copy(
    response: http.client.HTTPResponse, write: Callable[[bytes], int], advance: Callable[[float], None]
) -> int:
    received = 0
    while True:
        try:
            block = response.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _SourceError(reason_of(error), again=received > 0) from None
        if not block:
            return received
        write(block)
        received += len(block)
        advance(len(block) / 2**20)


def _goes_on_at(response: http.client.HTTPResponse, kept: int) -> bool:
    if response.status != 206:
        return False
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {kept}-")


def _verify(partial: Path, sha256: str | None, again: bool) -> None:
    if sha256 is None:
        return
    found = sha256_of(partial)
    if found != sha256:
        partial.unlink()
        raise _SourceError(f"its sha256 is {found}, expected {sha256}", again)


def _size(partial: Path) -> int:
    return partial.stat().st_size if partial.exists() else 0


def reason_of(error: Exception) -> str:
    """Why a request failed, in a few words: "HTTP 404", "Connection refused"."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
