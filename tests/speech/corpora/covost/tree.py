"""A release of Common Voice with CoVoST-2's table, every way in which a row can be bad, and the published script
(facebookresearch/covost, get_covost_splits.py), typed again.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from lors.speech.corpora.covost import CovostCorpus, prepare_covost

V4 = ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent")
"""The columns of Common Voice's release 4."""


def published(validated: Path, covost: Path, split: str) -> list[dict[str, str]]:
    """The rows of get_covost_splits.py: both tables read without quoting, an inner join by path, the split."""

    def load(path: Path) -> Iterator[dict[str, str]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
            for row in rows:
                if row:
                    yield dict.fromkeys(header, "") | dict(zip(header, row, strict=False))

    right: dict[str, list[dict[str, str]]] = {}
    for row in load(covost):
        right.setdefault(row["path"], []).append(row)
    wanted = {"train", "train_covost"} if split == "train" else {split}
    return [
        {name: row[name] for name in ("path", "sentence", "client_id")}
        | {"translation": other["translation"]}
        for row in load(validated)
        for other in right.get(row["path"], ())
        if other["split"] in wanted
    ]


@dataclass
class Tree:
    """A release of Common Voice and CoVoST-2's table, with their folders."""

    root: Path

    @property
    def common_voice(self) -> Path:
        return self.root / "cv-corpus-4-2019-12-10"

    @property
    def language(self) -> Path:
        return self.common_voice / "ca"

    @property
    def validated(self) -> Path:
        return self.language / "validated.tsv"

    @property
    def covost(self) -> Path:
        return self.root / "covost" / "covost_v2.ca_en.tsv"

    def prepare(self, out: Path, **options: Any) -> CovostCorpus:
        return prepare_covost(self.common_voice, [self.covost.parent], ["ca"], out, **options)


def write_mp3(path: Path, seconds: float = 10.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.1 * np.sin(2 * np.pi * 300 * np.arange(round(16000 * seconds)) / 16000)
    soundfile.write(path, tone.astype(np.float32), 16000, format="MP3")
    return path


def write_table(
    path: Path, columns: Iterable[str], rows: Iterable[Iterable[str]], ends: Callable[[], str]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\ufeff" + "\t".join(columns) + "\n")
        for row in rows:
            file.write("\t".join(row) + ends())


def of_manifest(path: Path) -> list[tuple[str, str, str | None]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [(line["id"], line["text"], line.get("speaker")) for line in lines]


def clips_of(corpus: CovostCorpus, split: str, task: str = "transcribe") -> list[str]:
    return [
        line[0].removeprefix("common_voice_ca_") for line in of_manifest(corpus.manifest("ca", task, split))
    ]


BAD_ROWS = {
    "a tab": b"s\tcommon_voice_ca_1.mp3\tUna\tfrase\t2\t0\t\t\t\n",
    "too few": b"s\tcommon_voice_ca_1.mp3\n",
    "latin-1": b"s\tcommon_voice_ca_1.mp3\tCan\xe7\xf3\t2\t0\t\t\t\n",
    "a carriage return": b"s\tcommon_voice_ca_1.mp3\tUna\rfrase\t2\t0\t\t\t\n",
    "ten megabytes": b"s\tcommon_voice_ca_1.mp3\t" + b"x" * 10_000_000 + b"\t2\t0\t\t\t\n",
    "a megabyte of escaped lines": b"x\\\n" * 400_000 + b"\n",
    "binary": bytes(range(128, 256)) + b"\n",
}


BAD_CLIPS = (
    "climbing", "climbing within", "absolute", "link out", "link to nothing", "missing", "empty", "truncated",
    "text", "another language",
)  # fmt: skip


def bad_clip(tree: Tree, what: str) -> str:
    """Make a clip that cannot be used, and return the name that a table gives it."""
    clips = tree.language / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    name = f"common_voice_ca_{BAD_CLIPS.index(what)}.mp3"
    match what:
        case "climbing":
            return "../../../../../../../etc/passwd"
        case "climbing within":
            return f"sub/../../{name}"
        case "absolute":
            return str(write_mp3(tree.root / "outside.mp3"))
        case "link out":
            (clips / name).symlink_to(write_mp3(tree.root / "outside.mp3"))
        case "link to nothing":
            (clips / name).symlink_to(clips / "nothing.mp3")
        case "empty":
            (clips / name).touch()
        case "truncated":
            whole = write_mp3(clips / name)
            whole.write_bytes(whole.read_bytes()[:400])
        case "text":
            (clips / name).write_text("no sound " * 2000)
        case "another language":
            return write_mp3(clips / "common_voice_de_9.mp3").name
    return name
