import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lors.base import download as module
from lors.base.download import DownloadError, download
from lors.base.errors import LorsError

CONTENT = bytes(range(256)) * 4096 * 3
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """A web server with the habits of those that files come from."""

    address: str = ""
    content: bytes = CONTENT
    knows_ranges: bool = True
    lies_about_ranges: bool = False
    break_off_after: list[int] = field(default_factory=list)
    """For the next answers, after how many bytes the connection closes."""
    asked: list[str | None] = field(default_factory=list)
    """The Range header of each request."""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path != "/file":
            handler.send_error(404)
            return
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.knows_ranges else 0
        if start >= len(self.content) > 0 and start:
            handler.send_error(416)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            shown = 0 if self.lies_about_ranges else start
            handler.send_header("Content-Range", f"bytes {shown}-{len(self.content) - 1}/{len(self.content)}")
            body = self.content[shown:]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.break_off_after:
            body = body[: self.break_off_after.pop(0)]
            handler.close_connection = True
        handler.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    habits = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            habits.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        habits.address = f"http://127.0.0.1:{listening.server_port}/file"
        yield habits
        listening.shutdown()


def _interrupted(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "file.download").write_bytes(content)
    return tmp_path / "file"


def _visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_file_is_fetched_verified_and_not_fetched_again(server: Server, tmp_path: Path) -> None:
    destination = tmp_path / "deep" / "file"
    assert download([server.address], destination, DIGEST) == destination
    assert destination.read_bytes() == CONTENT
    assert _visible(destination.parent) == ["file"]
    download(["http://127.0.0.1:9/unreachable"], destination, DIGEST)
    assert server.asked == [None]


def test_an_interrupted_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    destination = _interrupted(tmp_path, CONTENT[:1000])
    download([server.address], destination, DIGEST)
    assert destination.read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


@pytest.mark.parametrize("habit", ["knows no ranges", "gives another range"])
def test_a_server_that_gives_no_range_is_asked_for_the_whole(
    server: Server, tmp_path: Path, habit: str
) -> None:
    server.knows_ranges = habit != "knows no ranges"
    server.lies_about_ranges = habit == "gives another range"
    destination = _interrupted(tmp_path, CONTENT[:1000])
    download([server.address], destination, DIGEST)
    assert destination.read_bytes() == CONTENT


def test_a_broken_connection_is_taken_up_at_once(server: Server, tmp_path: Path) -> None:
    server.break_off_after = [2_000_000, 500_000]
    download([server.address], tmp_path / "file", DIGEST)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=2000000-", "bytes=2500000-"]


def test_a_connection_that_breaks_again_and_again_keeps_what_came(server: Server, tmp_path: Path) -> None:
    server.break_off_after = [1000, 1000, 1000]
    with pytest.raises(DownloadError, match=r"the connection closed after 1000 of \d+ bytes"):
        download([server.address], tmp_path / "file", DIGEST)
    assert (tmp_path / "file.download").read_bytes() == CONTENT[:3000]
    download([server.address], tmp_path / "file", DIGEST)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_download_that_was_whole_but_not_yet_named_is_only_verified(server: Server, tmp_path: Path) -> None:
    download([server.address], _interrupted(tmp_path, CONTENT), DIGEST)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_beginning_that_belongs_to_another_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    destination = _interrupted(tmp_path, b"something else")
    download([server.address], destination, DIGEST)
    assert destination.read_bytes() == CONTENT
    assert server.asked == ["bytes=14-", None]


def test_without_a_digest_nothing_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    destination = _interrupted(tmp_path, b"something else")
    download([server.address], destination)
    assert destination.read_bytes() == CONTENT


def test_wrong_content_never_takes_the_name(server: Server, tmp_path: Path) -> None:
    server.content = b"an error page that says 200"
    with pytest.raises(DownloadError, match=f"its sha256 is [0-9a-f]{{64}}, expected {DIGEST}"):
        download([server.address], tmp_path / "file", DIGEST)
    assert _visible(tmp_path) == []


def test_the_next_source_is_tried_and_each_failure_told(server: Server, tmp_path: Path) -> None:
    missing = server.address.replace("/file", "/missing")
    closed = "http://127.0.0.1:9/file"
    download([missing, closed, server.address], tmp_path / "file", DIGEST)
    assert (tmp_path / "file").read_bytes() == CONTENT
    with pytest.raises(DownloadError) as caught:
        download(
            [missing, closed, "http://no-such-host.invalid/file", "nonsense"], tmp_path / "other", DIGEST
        )
    message = str(caught.value)
    assert f"{missing} (HTTP 404)" in message
    assert f"{closed} (Connection refused)" in message
    assert "no-such-host.invalid/file (" in message
    assert "nonsense (unknown url type" in message
    assert "\n" not in message


def test_an_empty_file_is_a_file(server: Server, tmp_path: Path) -> None:
    server.content = b""
    download([server.address], tmp_path / "file", hashlib.sha256(b"").hexdigest())
    assert (tmp_path / "file").read_bytes() == b""


def test_a_local_mirror_serves(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    destination = _interrupted(tmp_path, CONTENT[:100])
    download([(tmp_path / "source").as_uri()], destination, DIGEST)
    assert destination.read_bytes() == CONTENT


def test_two_at_once_fetch_it_once(server: Server, tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=download, args=([server.address], tmp_path / "file", DIGEST))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_full_disk_is_told_before_a_byte_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(directory: Path, size: int) -> None:
        raise LorsError(f"{directory}: {size} bytes are needed")

    monkeypatch.setattr(module, "require_free_space", full)
    with pytest.raises(LorsError, match=f"{len(CONTENT)} bytes are needed"):
        download([server.address], tmp_path / "file", DIGEST)
    assert _visible(tmp_path) == []
