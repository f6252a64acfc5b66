"""Short tones in the formats that corpora have, and manifests read without the product's reader."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile


@pytest.fixture
def tone() -> Callable[..., Path]:
    """Writes a tone: (path, seconds); the format follows from the extension."""

    def write(path: Path, seconds: float, rate: int = 16000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
        kind = {".opus": {"format": "OGG", "subtype": "OPUS"}, ".ogg": {"format": "OGG", "subtype": "VORBIS"}}
        if path.suffix != ".m4a":
            soundfile.write(path, samples, rate, **kind.get(path.suffix, {}))
            return path
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=rate, layout="mono")
            size = stream.codec_context.frame_size or 1024
            for start in range(0, len(samples), size):
                frame = av.AudioFrame.from_ndarray(
                    samples[None, start : start + size].astype(np.float32), format="fltp", layout="mono"
                )
                frame.sample_rate, frame.pts = rate, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def lines_of() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads a manifest: its lines as they stand, with `audio_filepath` resolved from the manifest's folder."""

    def read(path: Path) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
        return [f | {"audio_filepath": (path.parent / f["audio_filepath"]).resolve()} for f in found]

    return read
