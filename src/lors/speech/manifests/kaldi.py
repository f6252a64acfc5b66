"""Reading Kaldi's data directories, and those of ESPnet's translation recipes, which differ in the names of the texts.

`wav.scp`, `segments`, `text`, `utt2spk`, `spk2utt`, `utt2dur`, `utt2lang` as in kaldi-asr.org/doc/data_prep.html. What
Kaldi has no file for stands in `utt2target_lang` and `utt2normaliser`, which its tools leave alone.
"""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.speech.manifests.lines import BadLineError, decoded, numbered_lines
from lors.speech.manifests.rows import ReadSettings, Rows, number, rest_of, utterance_of
from lors.speech.manifests.rows import audio_path as audio_path_of
from lors.speech.manifests.seen import temporary_database

_SIDE_FILES = {"utt2spk": "speaker", "utt2lang": "source_lang", "utt2target_lang": "target_lang",
               "utt2normaliser": "normaliser"}  # fmt: skip
_LOADED = ("wav.scp", "segments", "utt2dur", "reco2dur", *_SIDE_FILES)
_DERIVED = ("spk2utt", "text")
_ARCHIVE = re.compile(r"\.(ark|scp):\d+(\[.*\])?$")
_DISAGREEMENT_SECONDS = 0.02
_CASES = ("tc", "lc", "lc.rm")
"""ESPnet's kinds of text, the best reference first: true case, lower case, without punctuation."""


def read_kaldi(path: Path, settings: ReadSettings) -> Rows:
    """Yield the utterances of a data directory, in the order of `text`.

    A length is that of `utt2dur`, or of the segment, of `reco2dur`, or of the file. Relative audio paths are taken
    from the directory.

    Raises:
        UsageError: no directory, no wav.scp or text, a key that is there twice, a pipe (none is ever run).
    """
    return _read(path, "text", None, settings)


def read_espnet(path: Path, settings: ReadSettings) -> Rows:
    """Yield the utterances of an ESPnet translation directory: `text.CASE.LANG` of the target language.

    Raises:
        UsageError: as `read_kaldi`, or it is not clear which text is meant.
    """
    name, source = _espnet_text(path, settings)
    target = name.rpartition(".")[2]
    return _read(path, name, (settings.source_lang or source, target), settings)


def _read(path: Path, text: str, languages: tuple[str | None, str] | None, settings: ReadSettings) -> Rows:
    for needed in ("wav.scp", text):
        if not (path / needed).is_file():
            raise UsageError(f"{path}: no file '{needed}' in it; a Kaldi data directory was expected.")
    with temporary_database() as database:
        loaded = [name for name in _LOADED if _load(database, path, name)]
        clips = "segments" if "segments" in loaded else "wav.scp"
        matched = 0
        for line, key, value in _entries(path / text):
            if isinstance(value, BadLineError):
                yield path / text, line, str(value)
                continue
            try:
                found = {name: row for name in loaded if (row := _look_up(database, name, key)) is not None}
                fields = _fields(database, path, key, value, found, clips, settings)
                if languages is not None:
                    fields |= {
                        "source_lang": fields["source_lang"] or languages[0],
                        "target_lang": languages[1],
                    }
                matched += 1
                yield path / text, line, utterance_of(fields, settings.root(path), settings)
            except BadLineError as error:
                yield path / text, line, str(error)
        (there,) = database.execute(f'SELECT COUNT(*) FROM "{clips}"').fetchone()
    if there > matched:
        settings.dropped[f"(entries of {clips} without a text)"] += there - matched
    for other in sorted(path.iterdir()):
        if other.name not in (*_LOADED, *_DERIVED, text) and other.is_file():
            settings.dropped[f"(the file {other.name})"] += 1


def _entries(path: Path) -> Iterator[tuple[int, str, str | BadLineError]]:
    """(line, key, the rest of the line without the spaces around it)."""
    for line_number, line in numbered_lines(path, "a file of a Kaldi directory"):
        try:
            key, _, value = re.sub(r"^[ \t]*([^ \t]+)[ \t]*", r"\1\n", decoded(line), count=1).partition("\n")
            yield line_number, key, value.rstrip(" \t")
        except BadLineError as error:
            yield line_number, "", error


def _load(database: sqlite3.Connection, folder: Path, name: str) -> bool:
    """Put a file into a table of its name; False where there is none."""
    path = folder / name
    if not path.is_file():
        return False
    database.execute(f'CREATE TABLE "{name}" (key BLOB PRIMARY KEY, line INTEGER, value TEXT) WITHOUT ROWID')
    for line, key, value in _entries(path):
        if isinstance(value, BadLineError):
            raise UsageError(f"{path}:{line}: {value}")
        if not value:
            raise UsageError(f"{path}:{line}: nothing follows the key '{key}'.")
        if name == "wav.scp":
            refuse_pipe(path, line, value)
        row = (key.encode(), line, value)
        if not database.execute(f'INSERT OR IGNORE INTO "{name}" VALUES (?, ?, ?)', row).rowcount:
            raise UsageError(f"{path}:{line}: the key '{key}' is there twice.")
    return True


def refuse_pipe(path: Path, line: int, value: str) -> None:
    """Raise UsageError where an entry of wav.scp is no audio file: what Kaldi would run, or a place in an archive."""
    if value.endswith("|") or value.startswith("|"):
        raise UsageError(
            f"{path}:{line}: a pipe ('{value[:60]}'), which is never run; write what it gives to a file, as "
            "`wav-copy scp:wav.scp …` does, and name that."
        )
    if value == "-" or _ARCHIVE.search(value):
        raise UsageError(
            f"{path}:{line}: '{value[:60]}' is no audio file but a place in an archive or a stream."
        )


def _look_up(database: sqlite3.Connection, name: str, key: str) -> str | None:
    row = database.execute(f'SELECT value FROM "{name}" WHERE key = ?', (key.encode(),)).fetchone()
    return None if row is None else str(row[0])


def _fields(
    database: sqlite3.Connection,
    folder: Path,
    key: str,
    text: str,
    found: dict[str, str],
    clips: str,
    settings: ReadSettings,
) -> dict[str, Any]:
    """What the directory says of one utterance, by our names."""
    if clips not in found:
        raise BadLineError(f"'{key}' is not in {clips}.")
    fields: dict[str, Any] = {"id": key, "text": text}
    fields |= {field: found.get(name) for name, field in _SIDE_FILES.items()}
    if fields["speaker"] == key:  # Kaldi's way to say that none is known
        fields["speaker"] = None
    said = number("utt2dur", found["utt2dur"]) if "utt2dur" in found else None
    if clips == "wav.scp":
        whole = said if said is not None or "reco2dur" not in found else number("reco2dur", found["reco2dur"])
        return fields | {"audio_filepath": found["wav.scp"], "duration": whole}
    parts = found["segments"].split()
    if len(parts) == 4 and "channel" in settings.drop:
        parts.pop()
        settings.dropped["channel"] += 1
    if len(parts) != 3:
        raise BadLineError(
            f"its segment is '{found['segments'][:60]}'; RECORDING START END was expected (a channel can be left out "
            "with --drop channel)."
        )
    audio = _look_up(database, "wav.scp", parts[0])
    if audio is None:
        raise BadLineError(f"its recording '{parts[0]}' is not in wav.scp.")
    start, end = number("segments", parts[1]), number("segments", parts[2])
    if end == -1:  # Kaldi's way to say: to the end of the recording
        place = audio_path_of(audio, settings.root(folder), settings)
        cut = rest_of(place, start, settings)
    else:
        cut = round(end - start, 9)
        if not cut > 0:
            raise BadLineError(f"its segment ends at {end:g} s, and does not begin before it ({start:g} s).")
    if said is not None and not abs(said - cut) <= _DISAGREEMENT_SECONDS:
        raise BadLineError(f"utt2dur says {said:g} s, and its segment has {cut:g} s.")
    return fields | {"audio_filepath": audio, "offset": start, "duration": cut if said is None else said}


def _espnet_text(path: Path, settings: ReadSettings) -> tuple[str, str | None]:
    """The name of the text that is meant, and the other language where there are two."""
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder; an ESPnet data directory was expected.")
    names = sorted(entry.name for entry in path.glob("text.?*.?*") if entry.is_file())
    languages = sorted({name.rpartition(".")[2] for name in names})
    name = settings.text_file
    if name is None:
        target = settings.target_lang or (languages[0] if len(languages) == 1 else None)
        ranked = [f"text.{case}.{target}" for case in _CASES]
        name = next((one for one in ranked if one in names), None)
    if name is None or name not in names:
        raise UsageError(
            f"{path}: which text is meant? Name it with --target-lang or --text-file; there are "
            f"{', '.join(names) or 'none'}."
        )
    others = [language for language in languages if language != name.rpartition(".")[2]]
    return name, others[0] if len(others) == 1 else None
