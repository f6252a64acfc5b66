"""The same text from real voices whatever file holds them: g722 as Debian's packages have it, and what is made of it.

In float32 a file gives the text of the 16 kHz wav that is made of it: 21 of 21 prompts in mp3, opus, m4a and 48 kHz
stereo each. In int8 even the rounding of such a wav to 16 bits changes words that the model is not sure of.

Of 125 prompts in five languages (int8, beam 5), those in g722 and FLAC gave the text of their 16 kHz wav to the letter.
Over 48 kHz and back, or through mp3, opus and m4a of 32 to 128 kbit/s, 2 to 4 % of the words changed, all of them words
that the model is not sure of: that is what `test_encoded_anew` allows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from lors.checkpoints.find import find_checkpoint
from lors.speech.audio import SAMPLE_RATE, audio_duration, load_audio
from lors.speech.corpora.prompt_sources import audio_folder
from lors.speech.decoding.decode import decode, load_engine
from lors.speech.decoding.hypothesis import Engine
from lors.speech.decoding.options import DecoderOptions
from lors.speech.manifest import Utterance

pytestmark = pytest.mark.real

OPTIONS = DecoderOptions(beam_size=5, window=400, memory=1 << 30)
PROMPTS = ("vm-goodbye", "conf-getconfno", "vm-mailboxfull", "invalid")
LANGUAGES = ("es", "fr")
WORDS_CHANGED = 0.1
Texts = Callable[[Sequence[Path]], list[str]]


@pytest.fixture(scope="module")
def recordings() -> list[Path]:
    """Prompts of one to six seconds in two languages, as the packages have them."""
    return [audio_folder(language) / f"{name}.g722" for language in LANGUAGES for name in PROMPTS]


@pytest.fixture(scope="module")
def texts() -> Texts:
    """Decodes files of the recordings, in their order."""
    return decoder(OPTIONS)


@pytest.fixture(scope="module")
def exact_texts() -> Texts:
    """The same in float32."""
    return decoder(replace(OPTIONS, quantization="float32"))


def decoder(options: DecoderOptions) -> Texts:
    engine: Engine = load_engine(find_checkpoint("openai/whisper-base"), options)

    def decoded(paths: Sequence[Path]) -> list[str]:
        clips = []
        for number, path in enumerate(paths):
            language = LANGUAGES[number // len(PROMPTS)]
            clips.append(
                Utterance(
                    id=str(number),
                    audio_filepath=path,
                    duration=audio_duration(path),
                    text="x",
                    source_lang=language,
                    target_lang=language,
                )
            )
        found = {place: one for pairs in decode(engine, clips, options) for place, one in pairs}
        return [found[place].text for place in range(len(clips))]

    return decoded


@pytest.fixture(scope="module")
def wavs(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Decoded by FFmpeg at once to 16-bit wav files of 16 kHz, which is what g722 holds."""
    folder = tmp_path_factory.mktemp("wav")
    paths = []
    for number, recording in enumerate(recordings):
        with av.open(str(recording), format="g722") as container:
            samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        assert samples.dtype == np.int16
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], samples, SAMPLE_RATE)
    return paths


@pytest.fixture(scope="module")
def wanted(texts: Texts, wavs: list[Path]) -> list[str]:
    found = texts(wavs)
    assert len(set(found)) == len(found)
    assert sum(len(text.split()) for text in found) > 50
    return found


def encoded(path: Path, samples: np.ndarray, codec: str, bits: int) -> Path:
    """Write 16 kHz mono with FFmpeg."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(samples[None, :].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=SAMPLE_RATE)
        fifo = av.AudioFifo()
        for converted in resampler.resample(frame):
            converted.pts = None
            fifo.write(converted)
        size = stream.codec_context.frame_size or 1024
        while part := fifo.read(size) or fifo.read(0, partial=True):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def stereo(path: Path, samples: np.ndarray) -> None:
    at_48 = soxr.resample(samples, SAMPLE_RATE, 48000)
    soundfile.write(path, np.stack([at_48, at_48], axis=1), 48000)


def test_g722_of_the_package(recordings: list[Path], texts: Texts, wanted: list[str]) -> None:
    assert texts(recordings) == wanted


def test_flac(wavs: list[Path], texts: Texts, wanted: list[str], tmp_path: Path) -> None:
    paths = [tmp_path / path.with_suffix(".flac").name for path in wavs]
    for wav, path in zip(wavs, paths, strict=True):
        soundfile.write(path, soundfile.read(wav, dtype="int16")[0], SAMPLE_RATE)
    assert texts(paths) == wanted


CONTAINERS = pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("mp3", lambda path, samples: encoded(path, samples, "libmp3lame", 64_000)),
        ("opus", lambda path, samples: encoded(path, samples, "libopus", 48_000)),
        ("m4a", lambda path, samples: encoded(path, samples, "aac", 64_000)),
        ("wav", stereo),
    ],
)


@CONTAINERS
def test_a_file_and_the_16_khz_wav_made_of_it(
    suffix: str,
    write: Callable[[Path, np.ndarray], object],
    wavs: list[Path],
    exact_texts: Texts,
    tmp_path: Path,
) -> None:
    paths, made = [], []
    for number, wav in enumerate(wavs[:3]):
        paths.append(tmp_path / f"{number}.{suffix}")
        made.append(tmp_path / f"{number}-made.wav")
        write(paths[-1], load_audio(wav))
        soundfile.write(made[-1], load_audio(paths[-1]), SAMPLE_RATE, subtype="PCM_16")
    found = exact_texts(paths)
    assert all(found) and found == exact_texts(made)


@CONTAINERS
def test_encoded_anew(
    suffix: str,
    write: Callable[[Path, np.ndarray], object],
    wavs: list[Path],
    texts: Texts,
    wanted: list[str],
    tmp_path: Path,
) -> None:
    paths = [tmp_path / f"{number}.{suffix}" for number in range(len(wavs))]
    for wav, path in zip(wavs, paths, strict=True):
        write(path, load_audio(wav))
    changed = words = 0
    for text, expected in zip(texts(paths), wanted, strict=True):
        changed += sum(a != b for a, b in zip(text.split(), expected.split(), strict=False))
        changed += abs(len(text.split()) - len(expected.split()))
        words += len(expected.split())
    assert changed <= WORDS_CHANGED * words
