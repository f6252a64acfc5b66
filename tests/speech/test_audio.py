"""Against a sine of known frequency and level, written by libsndfile or FFmpeg in each format."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from lors.base.errors import LorsError
from lors.speech.audio import SAMPLE_RATE, audio_duration, load_audio

FREQUENCY = 440.0
LEFT, RIGHT = 0.6, 0.2
SECONDS = 3.0


def sine(rate: int, seconds: float = SECONDS, level: float = 1.0) -> np.ndarray:
    return level * np.sin(2 * np.pi * FREQUENCY * np.arange(round(rate * seconds)) / rate)


def write_with_av(path: Path, codec: str, rate: int, layout: str = "mono", **options: str) -> Path:
    """Encode the sine with FFmpeg: formats that libsndfile does not know."""
    samples = (sine(rate, level=0.4) * 32767).astype(np.int16)
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        for converted in resampler.resample(frame):
            converted.pts = None
            fifo.write(converted)
        size = stream.codec_context.frame_size or len(samples)
        while (piece := fifo.read(size, partial=True)) is not None:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([sine(44100, level=LEFT), sine(44100, level=RIGHT)], axis=1), 44100)
    return path


def assert_is_sine(samples: np.ndarray, level: float, tolerance: float = 0.02) -> None:
    """The loudest frequency is 440 Hz, and the level is right away from the edges."""
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    middle = samples[1600:-1600].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * SAMPLE_RATE / len(middle) == pytest.approx(FREQUENCY, abs=1.0)
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(level, rel=tolerance)


def test_channels_are_averaged_and_resampled(stereo: Path) -> None:
    samples = load_audio(stereo)
    assert len(samples) == round(SECONDS * SAMPLE_RATE)
    assert_is_sine(samples, (LEFT + RIGHT) / 2)
    expected = sine(SAMPLE_RATE, level=(LEFT + RIGHT) / 2)
    assert np.abs(samples - expected)[800:-800].max() < 1e-3


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_what_libsndfile_reads(tmp_path: Path, suffix: str, rate: int) -> None:
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, sine(rate, level=0.4), rate)
    assert audio_duration(path) == pytest.approx(SECONDS, abs=0.1)
    samples = load_audio(path)
    assert len(samples) == pytest.approx(SECONDS * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert_is_sine(samples, 0.4, tolerance=0.05)


@pytest.mark.parametrize(
    ("name", "codec", "rate"), [("clip.m4a", "aac", 44100), ("clip.webm", "libopus", 48000)]
)
def test_what_ffmpeg_reads(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    path = write_with_av(tmp_path / name, codec, rate)
    assert audio_duration(path) == pytest.approx(SECONDS, abs=0.1)
    samples = load_audio(path)
    assert len(samples) == pytest.approx(SECONDS * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert_is_sine(samples, 0.4, tolerance=0.05)
    assert_is_sine(load_audio(path, 1.0, 1.0), 0.4, tolerance=0.05)


def test_g722_has_no_header(tmp_path: Path) -> None:
    path = write_with_av(tmp_path / "clip.g722", "g722", SAMPLE_RATE, format="g722")
    assert path.stat().st_size == pytest.approx(SECONDS * SAMPLE_RATE / 2, abs=400)
    assert audio_duration(path) == path.stat().st_size * 2 / SAMPLE_RATE
    samples = load_audio(path)
    assert len(samples) == path.stat().st_size * 2
    assert_is_sine(samples, 0.4, tolerance=0.05)
    assert np.array_equal(load_audio(path, 0.5, 1.25), samples[8000:28000])


@pytest.mark.parametrize(("offset", "duration"), [(0.0, 1.0), (0.25, 2.5), (2.0, 1.0), (1.3337, 0.71)])
def test_a_part_equals_that_slice_of_the_whole(tmp_path: Path, offset: float, duration: float) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 48000), SAMPLE_RATE)
    start, end = round(offset * SAMPLE_RATE), round(offset * SAMPLE_RATE) + round(duration * SAMPLE_RATE)
    assert np.array_equal(load_audio(path, offset, duration), load_audio(path)[start:end])
    assert np.array_equal(load_audio(path, offset), load_audio(path)[start:])


def test_a_part_of_a_resampled_file(stereo: Path) -> None:
    whole, part = load_audio(stereo), load_audio(stereo, 1.0, 1.0)
    assert len(part) == SAMPLE_RATE
    assert np.abs(part - whole[16000:32000])[400:-400].max() < 1e-3


def test_samples_stay_within_one(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, sine(44100, level=2.0), 44100, subtype="FLOAT")
    assert np.abs(load_audio(path)).max() == 1.0


def test_a_clip_may_end_a_tenth_of_a_second_early(stereo: Path) -> None:
    assert len(load_audio(stereo, 2.0, 1.05)) == SAMPLE_RATE
    with pytest.raises(LorsError, match=r"stereo.wav: 1.00 s of audio follow after 2.00 s and 1.20 s were"):
        load_audio(stereo, 2.0, 1.2)
    with pytest.raises(LorsError, match=r"0.00 s of audio follow after 9.00 s"):
        load_audio(stereo, 9.0, 1.0)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "m4a"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    if suffix == "m4a":
        write_with_av(whole, "aac", 44100)
    else:
        soundfile.write(whole, sine(44100), 44100)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(LorsError, match=rf"cut.{suffix}: truncated"):
        audio_duration(cut)
    with pytest.raises(LorsError, match=rf"cut.{suffix}: "):
        load_audio(cut, 0.0, SECONDS)


@pytest.mark.parametrize("name", ["text.wav", "text.mp3", "text.raw", "text.m4a", "text"])
def test_what_is_no_audio_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("hola, esto no es audio\n" * 50)
    for read in (load_audio, audio_duration):
        with pytest.raises(LorsError, match=rf"{name}: (truncated or not audio|holds no audio)") as caught:
            read(path)
        assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    "name", ["clip.wav", "clip.mp3", "clip.flac", "clip.m4a", "clip.ogg", "clip.txt", "clip"]
)
@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "m4a"])
def test_what_a_file_is_called_decides_nothing(tmp_path: Path, name: str, kind: str) -> None:
    honest = tmp_path / f"honest.{kind}"
    if kind == "m4a":
        write_with_av(honest, "aac", 44100)
    else:
        soundfile.write(honest, sine(44100, level=0.4), 44100)
    path = tmp_path / name
    path.write_bytes(honest.read_bytes())
    assert audio_duration(path) == audio_duration(honest)
    assert np.array_equal(load_audio(path), load_audio(honest))


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_only_what_may_be_g722_is_read_as_g722(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.g722"
    soundfile.write(tmp_path / f"clip.{kind}", sine(44100, level=0.4), 44100)
    path.write_bytes((tmp_path / f"clip.{kind}").read_bytes())
    assert audio_duration(path) == pytest.approx(SECONDS, abs=0.01)
    assert_is_sine(load_audio(path), 0.4, tolerance=0.05)


def test_missing_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    for read in (load_audio, audio_duration):
        with pytest.raises(LorsError, match=r"none.wav: no such audio file"):
            read(tmp_path / "none.wav")
        with pytest.raises(LorsError, match=r"empty.wav: is empty \(zero bytes\)"):
            read(tmp_path / "empty.wav")
        with pytest.raises(LorsError, match="is a folder"):
            read(tmp_path)
        with pytest.raises(LorsError, match="cannot be read"):
            read(tmp_path / ("long" * 100))


def test_samples_that_are_not_numbers(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0.0, np.nan, 0.5]), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(LorsError, match=r"nan.wav: holds samples that are not finite"):
        load_audio(path)
