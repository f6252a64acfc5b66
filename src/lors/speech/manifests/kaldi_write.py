"""Writing what `kaldi` reads: sorted files, one for each field."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.speech.manifest import Utterance
from lors.speech.manifests.kaldi import refuse_pipe
from lors.speech.manifests.seen import temporary_database


def write_kaldi(folder: Path, utterances: Iterable[Utterance], text: str = "text") -> None:
    """Write a data directory into an empty folder, sorted as Kaldi wants it.

    A recording has the smallest id of its clips for its name, and `segments` says which part a clip is. Audio paths
    are absolute. A clip without a speaker has its id for one.

    Raises:
        UsageError: an id, a speaker, a path or a text that no line of Kaldi's can hold.
    """
    with temporary_database() as database:
        database.execute(
            "CREATE TABLE clips (key BLOB PRIMARY KEY, audio BLOB, start REAL, duration REAL, text BLOB, "
            "speaker BLOB, source_lang TEXT, target_lang TEXT, normaliser TEXT) WITHOUT ROWID"
        )
        for one in utterances:
            _refuse_what_does_not_fit(one)
            row = (
                one.id.encode(), str(one.audio_filepath).encode(), one.offset, one.duration, one.text.encode(),
                (one.speaker or one.id).encode(), one.source_lang, one.target_lang, one.normaliser,
            )  # fmt: skip
            database.execute("INSERT INTO clips VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        database.execute("CREATE TABLE recordings (audio BLOB PRIMARY KEY, key BLOB) WITHOUT ROWID")
        database.execute("INSERT OR IGNORE INTO recordings SELECT audio, min(key) FROM clips GROUP BY audio")
        for name, query in _queries(text).items():
            _write(folder / name, database.execute(query))
        _write_speakers(folder / "spk2utt", database)
    if not (folder / "utt2normaliser").stat().st_size:
        (folder / "utt2normaliser").unlink()


def write_espnet(folder: Path, utterances: Iterable[Utterance]) -> None:
    """`write_kaldi` with the text in `text.tc.LANG`.

    Raises:
        UsageError: as `write_kaldi`; texts in several languages.
    """
    targets: set[str] = set()

    def checked() -> Iterator[Utterance]:
        for one in utterances:
            targets.add(one.target_lang)
            if len(targets) > 1:
                raise UsageError(
                    f"texts in {' and '.join(sorted(targets))}: an ESPnet directory holds one language of "
                    "'target_lang'; convert them one by one."
                )
            yield one

    write_kaldi(folder, checked(), "text.tc")
    for target in targets:
        (folder / "text.tc").rename(folder / f"text.tc.{target}")


def _queries(text: str) -> dict[str, str]:
    """File → the SELECT of its columns, in the order of the C locale, as Kaldi wants them."""
    return {
        "wav.scp": "SELECT key, audio FROM recordings ORDER BY key",
        "segments": "SELECT clips.key, recordings.key, start, start + duration FROM clips "
        "JOIN recordings ON clips.audio = recordings.audio ORDER BY clips.key",
        text: "SELECT key, text FROM clips ORDER BY key",
        "utt2spk": "SELECT key, speaker FROM clips ORDER BY key",
        "utt2dur": "SELECT key, duration FROM clips ORDER BY key",
        "utt2lang": "SELECT key, source_lang FROM clips ORDER BY key",
        "utt2target_lang": "SELECT key, target_lang FROM clips ORDER BY key",
        "utt2normaliser": "SELECT key, normaliser FROM clips WHERE normaliser IS NOT NULL ORDER BY key",
    }


def _write(path: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    with path.open("wb") as file:
        for row in rows:
            file.write(
                b" ".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row) + b"\n"
            )


def _write_speakers(path: Path, database: sqlite3.Connection) -> None:
    last = None
    with path.open("wb") as file:
        for speaker, key in database.execute("SELECT speaker, key FROM clips ORDER BY speaker, key"):
            file.write(b" " + key if speaker == last else (b"\n" if last else b"") + speaker + b" " + key)
            last = speaker
        file.write(b"\n" if last else b"")


def _refuse_what_does_not_fit(one: Utterance) -> None:
    for name in ("id", "speaker", "normaliser"):
        value = getattr(one, name)
        if value is not None and any(c.isspace() or c < " " or c in "\x7f\ufeff" for c in value):
            drop = "" if name == "id" else f", or leave it out with --drop {name}"
            raise UsageError(
                f"the utterance {one.id!r} has a space or a control character in '{name}', which Kaldi cannot hold; "
                f"rename it{drop}."
            )
    if one.speaker == one.id:
        raise UsageError(
            f"the utterance {one.id!r} has its id for a speaker, which in Kaldi says that none is known; rename it, or "
            "leave it out with --drop speaker."
        )
    for name, value in (("text", one.text), ("audio_filepath", str(one.audio_filepath))):
        if any(c in value for c in "\n\r\0") or value != value.strip():
            raise UsageError(
                f"the utterance {one.id!r} has a line break, or a space at an end, in '{name}', which Kaldi cannot "
                "hold; mend it, or write another format."
            )
    refuse_pipe(Path(f"the utterance {one.id!r}"), 0, str(one.audio_filepath))
