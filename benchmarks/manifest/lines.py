"""Manifests of any number of lines, in the manner of Common Voice: made from a seed, the same on every machine."""

import json
import random
from pathlib import Path

import numpy as np
import soundfile

AUDIO_FILES = 20_000
"""Short files, in turn: so many clips lie between two that share one, more than `check` remembers the lengths of."""
SECONDS = 1.0
KINDS = ("wav", "mp3")
_RATE = 8000
_LETTERS = "etaoinshrdlucmfwypvbgkjqxzéñ"


def make_manifest(folder: Path, lines: int, kind: str = "wav", seed: int = 0) -> Path:
    """`folder/manifest-N.jsonl` with so many lines; one that is there already is taken as it is.

    Ids and texts look as Common Voice's do; the offset of 0.1 s and lengths of 0.2 to 0.9 s lie within the audio
    files, which are made too.
    """
    path = folder / (f"manifest-{lines}.jsonl" if kind == "wav" else f"manifest-{kind}-{lines}.jsonl")
    make_audio(folder / "clips", kind)
    if path.exists():
        return path
    draws = random.Random(seed)
    words = ["".join(draws.choices(_LETTERS, k=draws.randint(1, 11))) for _ in range(20_000)]
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for number in range(lines):
            fields = {
                "id": f"common_voice_en_{draws.randrange(10**8):08d}-{number}",
                "audio_filepath": f"clips/{number % AUDIO_FILES:05d}.{kind}",
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


def make_audio(folder: Path, kind: str) -> None:
    """So many wav (8 kB each) or mp3 files (4 kB) of one second."""
    folder.mkdir(parents=True, exist_ok=True)
    one = folder / f"one.{kind}"
    encoding = {"subtype": "PCM_U8"} if kind == "wav" else {}
    soundfile.write(one, np.zeros(int(_RATE * SECONDS), np.int16), _RATE, **encoding)
    content = one.read_bytes()
    one.unlink()
    for number in range(AUDIO_FILES):
        path = folder / f"{number:05d}.{kind}"
        if not path.exists():
            path.write_bytes(content)
