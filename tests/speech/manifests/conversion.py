"""Writes what other tools write, and reads it by way of `lors manifest convert`."""

import json
from pathlib import Path
from typing import Any

import pytest

from lors.base.errors import LorsError
from lors.speech.manifest import Utterance, read_manifest
from lors.speech.manifests.convert import Converted, convert_manifest
from lors.speech.manifests.rows import ReadSettings


def put(path: Path, *lines: Any) -> Path:
    """Lines, objects as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = (
        one if isinstance(one, bytes) else (one if isinstance(one, str) else json.dumps(one)).encode()
        for one in lines
    )
    path.write_bytes(b"".join(one + b"\n" for one in texts))
    return path


def read(
    source: Path, kind: Any = None, skip_bad: bool = False, **settings: Any
) -> tuple[list[Utterance], Converted]:
    """What a source holds, by way of our manifest."""
    out = source.parent / "read.jsonl"
    done = convert_manifest(
        source, out, ReadSettings(**settings), source_format=kind, skip_bad=skip_bad, overwrite=True
    )
    return read_manifest(out, check_audio=False), done


def refusal(source: Path, kind: Any = None, **settings: Any) -> str:
    """The sentence with which it is refused."""
    (source.parent / "read.jsonl").unlink(missing_ok=True)
    with pytest.raises(LorsError) as caught:
        read(source, kind, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert not (source.parent / "read.jsonl").exists()
    return message


CANARY = {
    "audio_filepath": "a.wav", "duration": 1.5, "taskname": "ast", "source_lang": "es", "target_lang": "en",
    "text": "good day", "answer": "good day", "lang": "en",
}  # fmt: skip


def cut(folder: Path, **more: Any) -> dict[str, Any]:
    """As lhotse 1.33 wrote it."""
    return {
        "id": "c-0", "start": 0.5, "duration": 1.0, "channel": 0,
        "supervisions": [{
            "id": "u", "recording_id": "r", "start": 0.25, "duration": 0.5, "channel": 0, "text": "hola",
            "language": "Spanish", "speaker": "Ana",
        }],
        "recording": {
            "id": "r", "sources": [{"type": "file", "channels": [0], "source": str(folder / "a.wav")}],
            "sampling_rate": 16000, "num_samples": 32000, "duration": 2.0, "channel_ids": [0],
        },
        "type": "MonoCut",
    } | more  # fmt: skip
