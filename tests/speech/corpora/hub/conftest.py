"""A data set in a folder, and the same behind a copy of the Hub's interface."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from .parquet import ROWS, write


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "dataset"
    write(root / "data" / "train-00000-of-00002.parquet", ROWS[:4])
    write(root / "data" / "train-00001-of-00002.parquet", ROWS[4:])
    write(root / "data" / "validation-00000-of-00001.parquet", ROWS[:1])
    (root / "README.md").write_text("---\nlanguage:\n- es\nlicense: cc0-1.0\n---\n# A data set\n")
    return root


SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    """The Hub's interface for one data set; yields the (path, range) of each file that is asked for."""
    asked: list[tuple[str, str | None]] = []
    files = sorted(p.relative_to(dataset).as_posix() for p in dataset.rglob("*") if p.is_file())

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def entry(self, name: str) -> dict[str, Any]:
            return {"type": "file", "path": name, "size": (dataset / name).stat().st_size, "oid": "0" * 40}

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path in ("/api/datasets/me/set", f"/api/datasets/me/set/revision/{SHA}"):
                info = {"id": "me/set", "sha": SHA, "siblings": [{"rfilename": name} for name in files]}
                info |= {"cardData": {"license": "cc-by-4.0"}, "tags": [], "private": False}
                self.answer(json.dumps(info).encode(), Content_Type="application/json")
            elif path.startswith(f"/api/datasets/me/set/tree/{SHA}"):
                entries = [self.entry(name) for name in files]
                self.answer(json.dumps(entries).encode(), Content_Type="application/json")
            elif path.startswith(f"/datasets/me/set/resolve/{SHA}/"):
                name = path.removeprefix(f"/datasets/me/set/resolve/{SHA}/")
                wanted = self.headers.get("Range")
                asked.append((name, wanted))
                content = (dataset / name).read_bytes()
                headers = {"ETag": '"1"', "X_Repo_Commit": SHA, "Accept_Ranges": "bytes"}
                if wanted:
                    first, _, last = wanted.removeprefix("bytes=").partition("-")
                    begin, end = int(first), min(int(last or len(content)), len(content) - 1)
                    headers["Content_Range"] = f"bytes {begin}-{end}/{len(content)}"
                    self.answer(content[begin : end + 1], 206, **headers)
                else:
                    self.answer(content, **headers)
            else:
                self.answer(b"{}", 404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fields = json.loads(body) if body[:1] == b"{" else None
            paths = (
                fields["paths"]
                if fields
                else [unquote(p.partition(b"=")[2].decode()) for p in body.split(b"&")]
            )
            entries = [self.entry(name) for name in paths if name in files]
            self.answer(json.dumps(entries).encode(), Content_Type="application/json")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    for module in ("hf_api", "hf_file_system", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.constants.ENDPOINT", address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    yield asked
    server.shutdown()
    server.server_close()
