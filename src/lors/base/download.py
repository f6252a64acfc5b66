"""Fetch a file once: with progress, going on where it stopped, verified before it takes its name."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from lors.base.errors import LorsError
from lors.base.files import sha256_of
from lors.base.progress import progress

_TIMEOUT_SECONDS = 30
_BLOCK = 1 << 20


class DownloadError(LorsError):
    """No source gave the file; the message lists each that was tried and why it failed."""


def download(urls: Sequence[str], destination: Path, sha256: str | None = None) -> Path:
    """Fetch `destination` from the first of `urls` that works; return at once if it is there already.

    An interrupted download is kept as `NAME.download` and gone on with by an HTTP range request; a source
    that does not know ranges starts again. The file takes its name only after its sha256 was found right.

    Args:
        urls: addresses of the same file, in order of preference (http, https or file).
        destination: the path to write.
        sha256: expected digest, hexadecimal; None where the caller verifies the content himself.

    Raises:
        DownloadError: no source worked.
    """
    if destination.exists():
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(destination.name + ".download")
    failures = []
    for url in urls:
        try:
            _fetch(url, partial, destination.name)
            _verify(partial, sha256)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ValueError) as error:
            failures.append(f"{url} ({_reason(error)})")
            continue
        partial.replace(destination)
        return destination
    raise DownloadError(f"{destination.name} could not be fetched; tried {'; '.join(failures)}.")


def _fetch(url: str, partial: Path, name: str) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing beyond what is here: it is whole, and the digest will tell
            return
        raise
    with response:
        if have and response.status != 206:
            have = 0
        left = int(response.headers.get("Content-Length") or 0)
        with partial.open("ab" if have else "wb") as file:
            total = (have + left) / 2**20
            with progress(f"Fetching {name}", total, "MiB") as advance:
                advance(have / 2**20)
                received = _copy(response.read, file.write, advance)
        if received < left:
            raise ValueError(f"the connection closed after {received} of {left} bytes")


def _copy(
    read: Callable[[int], bytes], write: Callable[[bytes], int], advance: Callable[[float], None]
) -> int:
    received = 0
    while block := read(_BLOCK):
        write(block)
        received += len(block)
        advance(len(block) / 2**20)
    return received


def _verify(partial: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    found = sha256_of(partial)
    if found != sha256:
        partial.unlink()
        raise ValueError(f"its sha256 is {found}, expected {sha256}")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    return str(error) or type(error).__name__
