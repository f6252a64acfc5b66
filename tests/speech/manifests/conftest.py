"""A folder with audio."""

from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two seconds of audio in a.wav and b.wav."""
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(32000), 16000)
    return tmp_path
