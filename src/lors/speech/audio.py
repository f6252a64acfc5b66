"""Any audio file → the 16 kHz mono samples that Whisper hears."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from lors.base.errors import LorsError
from lors.speech.mpg123_remarks import without_mpg123_remarks

SAMPLE_RATE = 16000
"""Samples per second of everything that `load_audio` returns."""

TOLERANCE_SECONDS = 0.1
"""How much shorter than stated a file may be: codecs and manifests round."""

_WITH_A_HEADER = (b"RIFF", b"fLaC", b"OggS")
_WHAT_IS_READ = "wav, flac, mp3, ogg, m4a, webm or g722"


def load_audio(path: Path, offset: float = 0.0, duration: float | None = None) -> np.ndarray:
    """Read a clip: channels are averaged, then resampled (soxr, high quality).

    Args:
        path: a wav, flac, mp3 or ogg file (libsndfile), or whatever FFmpeg reads (m4a, webm, g722 …).
        offset: where the clip begins in the file, in seconds.
        duration: its length in seconds; None for all that follows.

    Returns:
        float32 [samples], 16 kHz, within [-1, 1].

    Raises:
        LorsError: the file is missing, not audio, truncated, or ends more than 0.1 s before the clip does.
    """
    path = Path(path)
    _require_file(path)
    with _named(path), _quiet(path):
        read = _read_with_soundfile if _is_for_soundfile(path) else _read_with_av
        samples, rate = read(path, offset, duration)
    if not np.isfinite(samples).all():
        raise LorsError(f"{path}: holds samples that are not finite numbers; export the file anew.")
    if not len(samples) or len(samples) / rate < (duration or 0.0) - TOLERANCE_SECONDS:
        wanted = "" if duration is None else f" and {duration:.2f} s were expected"
        raise LorsError(
            f"{path}: {len(samples) / rate:.2f} s of audio follow after {offset:.2f} s{wanted}; "
            "the file is truncated, or offset and duration are wrong."
        )
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")
    return np.clip(samples, -1.0, 1.0, dtype=np.float32)


def audio_duration(path: Path) -> float:
    """Seconds of audio, without decoding it where the header can be trusted.

    Raises:
        LorsError: the file is missing, empty, not audio, or shorter than its header says.
    """
    path = Path(path)
    _require_file(path)
    with _named(path), _quiet(path):
        if _is_g722(path):
            return path.stat().st_size * 2 / SAMPLE_RATE  # two samples to a byte, and no header
        if _is_for_soundfile(path):
            return _duration_with_soundfile(path)
        return _duration_with_av(path)


def _require_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise LorsError(f"{path}: no such audio file.") from None
    except (OSError, ValueError) as error:
        raise LorsError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if path.is_dir():
        raise LorsError(f"{path}: is a folder, not an audio file.")
    if not size:
        raise LorsError(f"{path}: is empty (zero bytes).")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what the decoders raise into one sentence that names the file."""
    try:
        yield
    except (soundfile.LibsndfileError, av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            raise LorsError(f"{path}: may not be read (permission denied).") from None
        raise LorsError(f"{path}: truncated or not audio; {_WHAT_IS_READ} was expected.") from None


def _quiet(path: Path) -> AbstractContextManager[None]:
    """Whatever libmpg123 may be given to read: all that does not begin as something else."""
    return nullcontext() if _beginning(path) in _WITH_A_HEADER else without_mpg123_remarks()


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _is_g722(path: Path) -> bool:
    """It has no header: its name says so, unless the content plainly is something else."""
    return path.suffix.lower() == ".g722" and _beginning(path) not in _WITH_A_HEADER


def _is_for_soundfile(path: Path) -> bool:
    if _is_g722(path):
        return False
    with suppress(soundfile.LibsndfileError, TypeError):  # TypeError: .raw, which has no header
        return bool(soundfile.info(str(path)))
    return False


def _read_with_soundfile(path: Path, offset: float, duration: float | None) -> tuple[np.ndarray, int]:
    with soundfile.SoundFile(str(path)) as file:
        start = min(round(offset * file.samplerate), file.frames)
        file.seek(start)
        frames = -1 if duration is None else round(duration * file.samplerate)
        channels = file.read(frames, dtype="float32", always_2d=True)  # [frames, channels]
        return channels.mean(axis=1), file.samplerate


def _duration_with_soundfile(path: Path) -> float:
    with soundfile.SoundFile(str(path)) as file:
        if file.frames:
            file.seek(file.frames - 1)  # the headers of flac and mp3 still promise what was cut off
        if not file.frames or len(file.read(1)) == 0:
            raise LorsError(f"{path}: truncated, or holds no audio.")
        return file.frames / file.samplerate


def _open_with_av(path: Path) -> "av.container.InputContainer":
    # FFmpeg knows raw g722 only by its name
    container = av.open(str(path), format="g722" if _is_g722(path) else None)
    if not container.streams.audio:
        container.close()
        raise LorsError(f"{path}: holds no audio; {_WHAT_IS_READ} was expected.")
    return container


def _read_with_av(path: Path, offset: float, duration: float | None) -> tuple[np.ndarray, int]:
    """Decode from the start (the only way that is exact in every format) and stop where the clip ends."""
    blocks = []
    with _open_with_av(path) as container:
        rate = container.streams.audio[0].rate
        first = round(offset * rate)
        last = None if duration is None else first + round(duration * rate)
        to_mono = av.AudioResampler(format="fltp", rate=rate)
        done = 0
        for frame in container.decode(audio=0):
            for converted in to_mono.resample(frame):
                blocks.append(converted.to_ndarray().mean(axis=0))  # [channels, samples] → [samples]
                done += len(blocks[-1])
            if last is not None and done >= last:
                break
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return samples[first:last].astype(np.float32, copy=False), rate


def _duration_with_av(path: Path) -> float:
    with _open_with_av(path) as container:
        stream = container.streams.audio[0]
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        if container.duration is not None:
            return container.duration / av.time_base
    samples, rate = _read_with_av(path, 0.0, None)  # recorded by a browser: the header has no length
    return len(samples) / rate
