"""Manifests of any number of lines, in the manner of Common Voice: made from a seed, the same on every machine."""

import json
import random
from pathlib import Path

import numpy as np
import soundfile

AUDIO_FILES = 1000
"""Short wav files, in turn: so many clips lie between two that share one."""
SECONDS = 1.0
_LETTERS = "etaoinshrdlucmfwypvbgkjqxzéñ"


def make_manifest(folder: Path, lines: int, seed: int = 0) -> Path:
    """`folder/manifest-N.jsonl` with so many lines; one that is there already is taken as it is.

    Ids and texts look as Common Voice's do; the offset of 0.1 s and lengths of 0.2 to 0.9 s lie within the audio
    files, which are made too.
    """
    path = folder / f"manifest-{lines}.jsonl"
    make_audio(folder / "clips")
    if path.exists():
        return path
    draws = random.Random(seed)
    words = ["".join(draws.choices(_LETTERS, k=draws.randint(1, 11))) for _ in range(20_000)]
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for number in range(lines):
            fields = {
                "id": f"common_voice_en_{draws.randrange(10**8):08d}-{number}",
                "audio_filepath": f"clips/{number % AUDIO_FILES:04d}.wav",
                "offset": 0.1,
                "duration": round(draws.uniform(0.2, 0.9), 3),
                "text": " ".join(draws.choices(words, k=draws.randint(4, 14))),
                "source_lang": "en",
                "target_lang": "en",
                "speaker": f"{draws.randrange(90_000):032x}",
            }
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")
    partial.rename(path)
    return path


def make_audio(folder: Path) -> None:
    """1000 wav files of one second."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(AUDIO_FILES):
        path = folder / f"{number:04d}.wav"
        if not path.exists():
            soundfile.write(path, np.zeros(int(16000 * SECONDS), np.int16), 16000)
