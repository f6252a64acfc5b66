"""A study of tiny Whispers and short tones, which takes seconds; what it found, read from its jobs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from lors.study.collect import collect
from lors.study.study import plan_study

WORDS = ("uno", "dos", "tres", "cuatro", "cinco", "seis")

SMALL: dict[str, Any] = {
    "name": "toy",
    "base": "base",
    "data": ["data"],
    "languages": ["es", "fr"],
    "tasks": ["transcribe"],
    "settings": ["pretrained", "finetuned", "multilingual-merging"],
    "methods": {"task-arithmetic": {"scale": [0.5, 1.0]}},
    "train": {"max_steps": 2, "batch_size": 2, "learning_rate": 0.001, "precision": "float32"},
    "window": 100,
    "search": {"short_list": 1, "beam_size": 1},
    "decode": {"beam_size": 1},
}


def write_data(folder: Path, languages: tuple[str, ...] = ("es", "fr"), clips: int = 4) -> None:
    """Manifests LANGUAGE-TASK-SPLIT.jsonl of tones, the same clips for both tasks."""
    folder.mkdir(parents=True)
    for language in languages:
        for split in ("train", "dev", "test"):
            lines: dict[str, list[str]] = {"transcribe": [], "translate": []}
            for number in range(clips):
                name = f"{language}-{split}-{number}"
                time = np.arange(round((0.6 + 0.1 * number) * 16000)) / 16000
                pitch = 200 + 37 * sum(map(ord, name)) % 1500
                soundfile.write(folder / f"{name}.wav", 0.3 * np.sin(2 * np.pi * pitch * time), 16000)
                for task, rows in lines.items():
                    row = {
                        "id": name,
                        "audio_filepath": f"{name}.wav",
                        "duration": len(time) / 16000,
                        "text": " ".join(WORDS[(number + place) % len(WORDS)] for place in range(3)),
                        "source_lang": language,
                        "target_lang": language if task == "transcribe" else "en",
                    }
                    rows.append(json.dumps(row))
            for task, rows in lines.items():
                (folder / f"{language}-{task}-{split}.jsonl").write_text("\n".join(rows) + "\n")


def write_study(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """`study.yaml` in `folder`: `SMALL` with some keys changed, those that are None left out."""
    content = {**SMALL, **(changes or {})}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def scores(study: Path, out: Path) -> dict[str, Any]:
    """Every score, interval and signature of a study, and what its searches chose; no times, no paths."""
    planned = plan_study(study, out)
    results = collect(planned.study, planned.plan, planned.store, {}, planned.base_sha256)
    assert not planned.missing()
    found: dict[str, Any] = {"signature": results.signature}
    for row in results.rows:
        name = f"{row.analysis} {row.setting} {row.method} {row.languages} {row.hours} {row.seed} {row.ratio}"
        cells = {
            cell: (s.metric, s.value, s.low, s.high, s.n, s.loops, s.signature)
            for cell, s in row.cells.items()
        }
        assert name not in found
        found[name] = cells, {merged: dict(chosen) for merged, chosen in row.chosen.items()}
    return found


def told(out: Path) -> dict[str, bytes]:
    """Every table that a study wrote."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".md", ".csv", ".tex") and "jobs" not in path.relative_to(out).parts
    }
