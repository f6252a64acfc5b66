"""Lhotse's cuts: JSON Lines, gzipped or not, of `MonoCut`s with their supervisions; Lhotse itself is not needed.

The layout is that of lhotse 1.33's `CutSet.to_file`. A supervision is an utterance; its language is that of the text.
What Lhotse has no field for stands in the cut's `custom`: source_lang, target_lang (as Canary reads them) and
normaliser.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.speech.manifest import Utterance
from lors.speech.manifests.json_lines import json_object, kind
from lors.speech.manifests.lines import BadLineError, numbered_lines
from lors.speech.manifests.rows import ReadSettings, Rows, same_language, utterance_of

_CUT = ("id", "start", "duration", "channel", "supervisions", "recording", "custom", "type")
_SUPERVISION = ("id", "recording_id", "start", "duration", "channel", "text", "language", "speaker", "custom")
_CUSTOM = ("source_lang", "target_lang", "normaliser")


def read_lhotse(path: Path, settings: ReadSettings) -> Rows:
    """Yield the utterances of a file of cuts (`.jsonl` or `.jsonl.gz`).

    Raises:
        UsageError: no such file, or damaged gzip.
    """
    root = settings.root(path.absolute().parent)
    for number, line in numbered_lines(path, "a file of Lhotse cuts (.jsonl or .jsonl.gz)"):
        try:
            cut = json_object(line)
            supervisions = _supervisions(cut)
        except BadLineError as error:
            yield path, number, str(error)
            continue
        for supervision in supervisions:
            try:
                yield path, number, utterance_of(_fields(cut, supervision, settings), root, settings)
            except BadLineError as error:
                yield path, number, str(error)


def lhotse_lines(utterances: Iterable[Utterance]) -> Iterator[str]:
    """The lines of a file of cuts, each with its recording, for which the header of every audio file is read.

    Raises:
        LorsError: an audio file cannot be read.
        UsageError: one has several channels, which a MonoCut cannot mix.
    """
    recording_of = lru_cache(maxsize=4096)(_recording)
    for one in utterances:
        recording = recording_of(one.audio_filepath)
        supervision: dict[str, Any] = {
            "id": one.id,
            "recording_id": recording["id"],
            "start": 0.0,
            "duration": one.duration,
            "channel": 0,
            "text": one.text,
            "language": one.target_lang,
        }
        if one.speaker is not None:
            supervision["speaker"] = one.speaker
        custom = {"source_lang": one.source_lang, "target_lang": one.target_lang}
        if one.normaliser is not None:
            custom["normaliser"] = one.normaliser
        cut = {
            "id": one.id,
            "start": one.offset,
            "duration": one.duration,
            "channel": 0,
            "supervisions": [supervision],
            "recording": recording,
            "custom": custom,
            "type": "MonoCut",
        }
        yield json.dumps(cut, ensure_ascii=False) + "\n"


def _supervisions(cut: Mapping[str, Any]) -> list[dict[str, Any]]:
    if cut.get("type") != "MonoCut":
        raise BadLineError(f"a cut of type {cut.get('type')!r:.40}; only a MonoCut is one clip of one file.")
    supervisions = cut.get("supervisions")
    if not isinstance(supervisions, list) or not all(isinstance(one, dict) for one in supervisions):
        raise BadLineError("'supervisions' is no list of objects.")
    if not supervisions:
        raise BadLineError("the cut has no supervision, and so no text.")
    return supervisions


def _fields(cut: Mapping[str, Any], supervision: Mapping[str, Any], settings: ReadSettings) -> dict[str, Any]:
    """What a cut says of one supervision, by our names; what we have no name for by Lhotse's."""
    fields: dict[str, Any] = {}
    for known, part in ((_CUT, cut), (_SUPERVISION, supervision)):
        fields |= {name: value for name, value in part.items() if name not in known}
        custom = part.get("custom") or {}
        if not isinstance(custom, dict):
            raise BadLineError(f"'custom' is {kind(custom)}; an object was expected.")
        fields |= custom
    language = supervision.get("language")
    if fields.get("target_lang") is None:
        fields["target_lang"] = language if language is not None else settings.target_lang
    elif language is not None and not same_language(language, fields["target_lang"]):
        raise BadLineError(
            f"the supervision's language is {language!r:.40}, and 'target_lang' {fields['target_lang']!r:.40}."
        )
    if fields.get("source_lang") is None and settings.source_lang is None:
        fields["source_lang"] = fields["target_lang"]
    offset = _seconds("start", cut.get("start")) + _seconds("start", supervision.get("start"))
    return fields | {
        "id": supervision.get("id"),
        "audio_filepath": _source(cut.get("recording"), settings),
        "offset": offset,
        "duration": _seconds("duration", supervision.get("duration")),
        "text": supervision.get("text"),
        "speaker": supervision.get("speaker"),
    }


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadLineError(f"'{name}' is {kind(value)}; a number of seconds was expected.")
    if abs(value) > 1e9:
        raise BadLineError(f"'{name}' is too large; a number of seconds was expected.")
    return float(value)


def _source(recording: Any, settings: ReadSettings) -> str:
    """The audio file of a recording.

    Raises:
        BadLineError: it has several, or channels, or is no file: a command is never run.
    """
    if not isinstance(recording, dict):
        raise BadLineError("the cut has no recording, and so no audio.")
    sources = recording.get("sources")
    if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
        raise BadLineError("the recording has no source, or more than one; one file was expected.")
    (source,) = sources
    if source.get("type") != "file" or not isinstance(source.get("source"), str):
        raise BadLineError(
            f"the recording's source is of type {source.get('type')!r:.40}; a file was expected, and commands are "
            "never run."
        )
    if recording.get("transforms"):
        raise BadLineError(
            "the recording is transformed when it is read; save the audio as it is to be heard."
        )
    if source.get("channels") not in ([0], None) and "channel" not in settings.drop:
        raise BadLineError(
            "the recording has several channels; all are averaged if --drop channel says that none is meant alone."
        )
    return str(source["source"])


def _recording(path: Path) -> dict[str, Any]:
    import soundfile

    from lors.speech.audio import SAMPLE_RATE, audio_duration
    from lors.speech.mpg123_remarks import without_mpg123_remarks

    seconds = audio_duration(path)
    try:
        with without_mpg123_remarks():
            about = soundfile.info(str(path))
        rate, samples, channels = about.samplerate, about.frames, about.channels
    except (soundfile.LibsndfileError, TypeError):
        rate, channels = (SAMPLE_RATE, 1) if path.suffix.lower() == ".g722" else _stream(path)
        samples = round(seconds * rate)
    if channels != 1:
        raise UsageError(
            f"{path}: {channels} channels; a MonoCut is of one: mix them before, as to a wav file."
        )
    return {
        "id": str(path),
        "sources": [{"type": "file", "channels": [0], "source": str(path)}],
        "sampling_rate": rate,
        "num_samples": samples,
        "duration": samples / rate,
        "channel_ids": [0],
    }


def _stream(path: Path) -> tuple[int, int]:
    """Samples per second, and channels, of what FFmpeg reads."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return stream.rate, stream.channels
