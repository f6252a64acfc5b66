"""On trees in the layout of openslr.org/94, against a re-typed join of ESPnet's egs2/mls data preparation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.multilingual_librispeech import prepare_multilingual_librispeech
from lors.speech.manifest import manifest_problems

Tone = Callable[..., Path]
Read = Callable[[Path], list[dict[str, Any]]]

CLIPS = {
    "train": [(f"{100 + n}_{200 + n}_{n:06d}", f"satz nummer {n}", 0.3 + n / 10) for n in range(5)],
    "dev": [("110_210_000000", "null", 0.4)],
    "test": [("120_220_000000", "der test", 0.4)],
}


def write(root: Path, folder: str, suffix: str, tone: Tone) -> None:
    for split, clips in CLIPS.items():
        for identifier, _, seconds in clips:
            speaker, book, _ = identifier.split("_")
            tone(root / folder / split / "audio" / speaker / book / (identifier + suffix), seconds)
        lines = "".join(f"{identifier}\t{text}\n" for identifier, text, _ in clips)
        (root / folder / split / "transcripts.txt").write_text(lines)
    limited = root / folder / "train" / "limited_supervision"
    for place, numbers in (("9hr", (0, 1)), ("1hr/0", (2,)), ("1hr/5", (3,))):
        (limited / place).mkdir(parents=True)
        (limited / place / "handles.txt").write_text("".join(CLIPS["train"][n][0] + "\n" for n in numbers))


@pytest.fixture
def corpus(tmp_path: Path, tone: Tone) -> Path:
    write(tmp_path / "mls", "mls_german", ".flac", tone)
    return tmp_path / "mls"


def espnet(source: Path, subdir: str, data_split: str = "full") -> list[tuple[str, str, Path]]:
    """id, text and audio as egs2/mls/asr1/local/data_prep.py takes them."""
    subsamples = set()
    handle_root = source / "train" / "limited_supervision"
    if data_split in ("1h", "10h"):
        for path in sorted((handle_root / "1hr").glob("*/handles.txt")):
            subsamples |= set(path.read_text().split())
    if data_split == "10h":
        subsamples |= set((handle_root / "9hr" / "handles.txt").read_text().split())
    found = []
    for line in (source / subdir / "transcripts.txt").open():
        header, text = line.strip().split("\t")
        if subsamples and header not in subsamples:
            continue
        speaker, book, _ = header.split("_")
        found.append((header, text, source / subdir / "audio" / speaker / book / f"{header}.flac"))
    return found


def test_the_rows_are_those_of_espnet(corpus: Path, tmp_path: Path, lines_of: Read) -> None:
    out = tmp_path / "out"
    prepared = prepare_multilingual_librispeech(corpus, ["de"], out)
    assert [m.name for m in prepared.manifests] == [f"de-transcribe-{split}.jsonl" for split in CLIPS]
    for split, clips in CLIPS.items():
        manifest = out / f"de-transcribe-{split}.jsonl"
        found = lines_of(manifest)
        assert [(u["id"], u["text"], u["audio_filepath"]) for u in found] == espnet(
            corpus / "mls_german", split
        )
        assert [u["speaker"] for u in found] == [identifier.split("_")[0] for identifier, _, _ in clips]
        assert [u["duration"] for u in found] == pytest.approx([seconds for _, _, seconds in clips])
        assert list(manifest_problems(manifest)) == []
    assert "CC BY 4.0" in (out / "README.md").read_text("utf-8")


@pytest.mark.parametrize("hours", ["1h", "10h"])
def test_limited_supervision(corpus: Path, tmp_path: Path, hours: str, lines_of: Read) -> None:
    out = tmp_path / "out"
    prepare_multilingual_librispeech(corpus, ["German"], out, splits=[f"train-{hours}"])
    found = lines_of(out / f"de-transcribe-train-{hours}.jsonl")
    expected = espnet(corpus / "mls_german", "train", hours)
    assert [(u["id"], u["text"], u["audio_filepath"]) for u in found] == expected
    assert len(expected) == {"1h": 2, "10h": 4}[hours]


def test_opus(tmp_path: Path, tone: Tone, lines_of: Read) -> None:
    write(tmp_path / "mls", "mls_polish_opus", ".opus", tone)
    out = tmp_path / "out"
    prepare_multilingual_librispeech(tmp_path / "mls", ["pl"], out, splits=["train"])
    found = lines_of(out / "pl-transcribe-train.jsonl")
    assert [u["audio_filepath"].suffix for u in found] == [".opus"] * 5
    assert [u["duration"] for u in found] == pytest.approx([s for _, _, s in CLIPS["train"]], abs=0.05)


def test_flac_and_opus_beside_each_other(corpus: Path, tmp_path: Path, tone: Tone) -> None:
    write(corpus, "mls_german_opus", ".opus", tone)
    with pytest.raises(UsageError, match="'de' may be mls_german or mls_german_opus; give the folder's name"):
        prepare_multilingual_librispeech(corpus, ["de"], tmp_path / "out")
    assert prepare_multilingual_librispeech(corpus, ["mls_german_opus"], tmp_path / "out").manifests


@pytest.mark.parametrize(
    ("line", "said", "reason"),
    [
        ("101_201_000001 no tab", "1 fields with tabs", "malformed row"),
        ("101_201\ttext", "SPEAKER_BOOK_NUMBER", "malformed row"),
        ("../../x_1_2\ttext", "SPEAKER_BOOK_NUMBER", "malformed row"),
        (f"101_201_{'9' * 300}\ttext", "File name too long", "no audio file"),
        ("101_201_000009\ttext", "no such audio file", "no audio file"),
        ("100_200_000000\tsatz nummer 0", "is that of line 1 too", "duplicate id"),
    ],
)
def test_a_bad_line(corpus: Path, tmp_path: Path, line: str, said: str, reason: str) -> None:
    transcripts = corpus / "mls_german" / "train" / "transcripts.txt"
    lines = transcripts.read_text().split("\n")
    lines[1] = line
    transcripts.write_text("\n".join(lines))
    with pytest.raises(LorsError) as caught:
        prepare_multilingual_librispeech(corpus, ["de"], tmp_path / "out")
    assert str(caught.value).startswith(f"{transcripts}:2: ") and said in str(caught.value)
    prepared = prepare_multilingual_librispeech(corpus, ["de"], tmp_path / "out", skip_bad=True)
    assert prepared.left_out["de-transcribe"] == {reason: 1}


def test_handles_that_fit_nothing(corpus: Path, tmp_path: Path) -> None:
    handles = corpus / "mls_german" / "train" / "limited_supervision" / "9hr" / "handles.txt"
    handles.write_text(handles.read_text() + "1_2_3\n")
    with pytest.raises(LorsError, match=r"the clip '1_2_3' of handles.txt has no line"):
        prepare_multilingual_librispeech(corpus, ["de"], tmp_path / "out", splits=["train-9h"])
    handles.unlink()
    with pytest.raises(UsageError, match=r"9hr: no handles.txt"):
        prepare_multilingual_librispeech(corpus, ["de"], tmp_path / "out", splits=["train-10h"])
