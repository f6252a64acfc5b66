"""Audio files → text, one text a file, with nothing known of them but where they lie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError, did_you_mean
from lors.base.progress import progress
from lors.checkpoints.find import find_checkpoint
from lors.speech.audio import audio_duration
from lors.speech.decoding.available import default_memory
from lors.speech.decoding.batches import LONGEST_SECONDS, plan_batches
from lors.speech.decoding.decode import decode, load_engine
from lors.speech.decoding.hypothesis import Candidate
from lors.speech.decoding.memory import MemoryModel
from lors.speech.decoding.options import DecoderOptions
from lors.speech.decoding.vocabulary import check_language, complete_config, is_multilingual, read_config
from lors.speech.languages import language_code

TASKS = ("transcribe", "translate")


@dataclass(frozen=True)
class Transcript:
    """The text of one audio file.

    Attributes:
        audio_filepath: as it was given.
        duration: in seconds.
        task: "transcribe", or "translate" for text in English.
        language: Whisper's code of what is spoken, as it was given or detected.
        language_probability: of the detected language among those that the model knows; None where it was given.
        text: without surrounding white space.
        log_probability: of the tokens and the end, natural, by the tokens, ≤ 0; None with transformers.
        looped: the first attempt repeated itself without end; `text` is the second's.
        nbest: the best texts, `text` first, where more than one was asked for.
    """

    audio_filepath: Path
    duration: float
    task: str
    language: str
    language_probability: float | None
    text: str
    log_probability: float | None
    looped: bool
    nbest: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class _Clip:
    audio_filepath: Path
    duration: float
    source_lang: str | None
    task: str
    offset: float = 0.0


def transcribe(
    model: str | Path,
    audio: Sequence[str | Path],
    *,
    language: str | None = None,
    task: str = "transcribe",
    engine: str = "ctranslate2",
    quantization: str | None = None,
    beam_size: int = 5,
    window: int = 1500,
    nbest: int = 1,
    memory: int | None = None,
) -> list[Transcript]:
    """Write down what is said in audio files of at most 30 s each, in any format.

    Args:
        model: a directory or Hub id.
        audio: files.
        language: that is spoken, as a code or an English name; None to have the model tell it of every file.
        task: "transcribe", or "translate" for text in English.
        engine: "ctranslate2" or "transformers".
        quantization: number format; None for int8 (ctranslate2) or float32 (transformers).
        beam_size: 1 (greedy) to 100.
        window: encoder positions of 20 ms; a longer file gets the smallest multiple that holds it.
        nbest: texts to keep of each file, up to `beam_size`, with ctranslate2 only.
        memory: bytes that batches may hold beside the weights; None for half of what is free.

    Returns:
        One for each file, in their order.

    Raises:
        UsageError: the model cannot be asked for this, or a file is longer than 30 s; nothing was decoded.
        LorsError: a file or the model cannot be read.
    """
    options = DecoderOptions(
        engine=engine,
        quantization=quantization,
        beam_size=beam_size,
        window=window,
        nbest=nbest,
        memory=memory or default_memory(),
    )
    if task not in TASKS:
        raise UsageError(
            f"task '{task}' is not known; choose one of {', '.join(TASKS)}.{did_you_mean(task, TASKS)}"
        )
    code = None if language is None else language_code(language)
    if not audio:
        raise UsageError("no audio file is given.")
    clips = [_clip(Path(path), code, task) for path in audio]
    directory = find_checkpoint(model)
    config = complete_config(directory)
    _check(directory, code, task)
    shape = MemoryModel.of(config, engine, str(options.quantization))
    plan_batches(clips, options, shape, 1, options.memory or 0)
    found = dict(_decode(directory, clips, options))
    return [found[place] for place in range(len(clips))]


def _clip(path: Path, language: str | None, task: str) -> _Clip:
    duration = audio_duration(path)
    if duration > LONGEST_SECONDS:
        raise UsageError(
            f"{path}: lasts {duration:.1f} s, and Whisper hears 30 s at a time; cut the file into shorter ones, as "
            "`ffmpeg -i FILE -f segment -segment_time 25 part%03d.wav` does, or use a program that follows long "
            "audio, such as faster-whisper."
        )
    return _Clip(path, duration, language, task)


def _check(directory: Path, language: str | None, task: str) -> None:
    config = read_config(directory)
    multilingual = is_multilingual(config)
    if language is not None:
        check_language(directory, config, language, language)
    if task == "translate" and (language == "en" or not multilingual):
        raise UsageError(
            f"{directory}: translation is into English, and the speech is English already; "
            "ask for --task transcribe."
        )


def _decode(
    directory: Path, clips: Sequence[_Clip], options: DecoderOptions
) -> Iterator[tuple[int, Transcript]]:
    engine = load_engine(directory, options)
    with progress("Transcribing", len(clips), "files") as advance:
        for pairs in decode(engine, clips, options):
            for place, h in pairs:
                clip = clips[place]
                yield (
                    place,
                    Transcript(
                        clip.audio_filepath,
                        clip.duration,
                        clip.task,
                        clip.source_lang or h.language or "",
                        h.language_probability,
                        h.text,
                        h.log_probability,
                        h.looped,
                        h.nbest,
                    ),
                )
            advance(len(pairs))


def as_json(transcript: Transcript) -> dict[str, Any]:
    """For a line of JSON; `nbest` is there where more than one text was asked for."""
    from dataclasses import asdict

    fields = asdict(transcript) | {"audio_filepath": str(transcript.audio_filepath)}
    return fields if transcript.nbest else {name: value for name, value in fields.items() if name != "nbest"}
