"""On trees in the layout of MuST-C, against a re-typed join of Lhotse's recipes/must_c.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.must_c import prepare_must_c
from lors.speech.corpora.must_c_yaml import read_segments
from lors.speech.manifest import manifest_problems

Tone = Callable[..., Path]
Read = Callable[[Path], list[dict[str, Any]]]

SPLITS = {"train": "train", "dev": "dev", "tst-COMMON": "test", "tst-HE": "test-he"}
SEGMENTS = [
    (1, 0.08, 0.5, "Thank you.", "Danke schön."),
    (1, 0.6, 1.0, '"NA", he said.', '„NA“, sagte er.'),
    (2, 0.25, 1.5, "null", "null"),
]  # fmt: skip


def entry(talk: int, offset: float, seconds: float) -> str:
    """A line as the release writes it (quoted in Lhotse's recipe)."""
    return (
        f"- {{duration: {seconds:.6f}, offset: {offset:.6f}, rW: 9, uW: 0, "
        f"speaker_id: spk.{talk}, wav: ted_{talk}.wav}}\n"
    )


def write(root: Path, target: str, segments: list[tuple[int, float, float, str, str]], tone: Tone) -> None:
    for split in SPLITS:
        folder = root / f"en-{target}" / "data" / split
        for talk in (1, 2):
            tone(folder / "wav" / f"ted_{talk}.wav", 2.0)
        (folder / "txt").mkdir()
        text = "".join(entry(*s[:3]) for s in segments)
        (folder / "txt" / f"{split}.yaml").write_text(text)
        for language, column in (("en", 3), (target, 4)):
            lines = "".join(s[column] + "\n" for s in segments)
            (folder / "txt" / f"{split}.{language}").write_text(lines, "utf-8")


@pytest.fixture
def corpus(tmp_path: Path, tone: Tone) -> Path:
    root = tmp_path / "must-c"
    write(root, "de", SEGMENTS, tone)
    write(root, "fr", [(1, 0.08, 1.52, 'Thank you. "NA", he said.', "Merci.")], tone)
    return root


def lhotse(folder: Path, split: str, target: str) -> list[tuple[str, float, float, str, str]]:
    """Recording, start, duration, speaker and text of the supervisions of `prepare_must_c`."""
    with (folder / "txt" / f"{split}.{target}").open(encoding="utf-8") as file:
        transcripts = [line.strip() for line in file]
    segments = yaml.safe_load((folder / "txt" / f"{split}.yaml").read_text())
    assert len(transcripts) == len(segments)
    return [
        (s["wav"], s["offset"], round(s["duration"], ndigits=8), s["speaker_id"], text)
        for s, text in zip(segments, transcripts, strict=True)
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_the_rows_are_those_of_lhotse(corpus: Path, tmp_path: Path, split: str, lines_of: Read) -> None:
    out = tmp_path / "out"
    prepare_must_c(corpus, out, targets=["German", "fr"], splits=[split])
    for task, target, language in (
        ("transcribe", "de", "en"),
        ("translate-de", "de", "de"),
        ("translate-fr", "fr", "fr"),
    ):
        manifest = out / f"en-{task}-{SPLITS[split]}.jsonl"
        found = [
            (u["audio_filepath"].name, u.get("offset", 0.0), u["duration"], u["speaker"], u["text"])
            for u in lines_of(manifest)
        ]
        assert found == lhotse(corpus / f"en-{target}" / "data" / split, split, language)
        assert list(manifest_problems(manifest)) == []


def test_the_splits_by_either_name(corpus: Path, tmp_path: Path) -> None:
    everything = prepare_must_c(corpus, tmp_path / "all", targets=["de"])
    assert [m.split for m in everything.manifests] == [*SPLITS.values()] * 2
    assert "CC BY-NC-ND 4.0" in (tmp_path / "all" / "README.md").read_text("utf-8")
    for names in (["tst-COMMON", "tst-HE"], ["test", "test-he"]):
        made = prepare_must_c(corpus, tmp_path / names[0], targets=["en-de"], splits=names).manifests
        assert [m.name for m in made] == [
            "en-transcribe-test.jsonl",
            "en-transcribe-test-he.jsonl",
            "en-translate-de-test.jsonl",
            "en-translate-de-test-he.jsonl",
        ]


@pytest.mark.parametrize("style", ["flow", "block", "crlf", "bom"])
def test_yaml_however_it_is_written(corpus: Path, style: str) -> None:
    path = corpus / "en-de" / "data" / "train" / "txt" / "train.yaml"
    expected = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    lines = [number for number, _ in read_segments(path)]
    if style == "block":
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text())))
        lines = [1, 7, 13]
    elif style == "crlf":
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    elif style == "bom":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    found = list(read_segments(path))
    assert [number for number, _ in found] == lines
    times = ("duration", "offset")
    assert [{k: float(v) if k in times else v for k, v in e.items()} for _, e in found] == [
        {k: float(v) if k in times else v for k, v in e.items()} for e in expected
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: a list of segments"),
        ("a: b\n", "1: a list of segments"),
        ("- {a: b\n", "no YAML"),
        ("- {a: [b]}\n", "1: a list of segments"),
        ("- {wav: a}\n- just text\n", "2: a list of segments"),
        ("- {wav: a, wav: b}\n", "1: the key 'wav' is there twice"),
        ("- &x {wav: a}\n- *x\n", "1: a list of segments"),
        ("- {wav: &x a}\n- {wav: *x}\n", "1: a list of segments"),
        ("- {wav: a}\n- {wav: \x07}\n", "no YAML"),
        ("- {wav: !!python/object/apply:os.system [ls]}\n", "1: a list of segments"),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(LorsError, match=said) as caught:
        list(read_segments(path))
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("line", "said", "reason"),
    [
        ("- {offset: 0.6, wav: ted_1.wav}\n", "the entry has no 'duration'", "malformed row"),
        (
            "- {duration: soon, offset: 0.6, wav: ted_1.wav}\n",
            "the times are '0.6' and 'soon'",
            "malformed row",
        ),
        ("- {duration: 0, offset: 0.6, wav: ted_1.wav}\n", "the segment lasts 0 s", "segment without length"),
        ("- {duration: 1, offset: -0.6, wav: ted_1.wav}\n", "the times are '-0.6' and '1'", "malformed row"),
        (entry(1, 1.5, 0.7), "the segment ends at 2.20 s", "segment beyond its audio"),
        (entry(3, 0.0, 0.7), "no such audio file", "no audio file"),
        (
            "- {duration: 1, offset: 0, wav: ../../../../x.wav}\n",
            "is no path inside",
            "path outside the corpus",
        ),
        ("- {duration: 1, offset: 0, wav: /etc/passwd}\n", "is no path inside", "path outside the corpus"),
    ],
)
def test_a_bad_entry_moves_no_text(
    corpus: Path, tmp_path: Path, line: str, said: str, reason: str, lines_of: Read
) -> None:
    path = corpus / "en-de" / "data" / "train" / "txt" / "train.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], line, lines[2]]))
    with pytest.raises(LorsError) as caught:
        prepare_must_c(corpus, tmp_path / "out", targets=["de"])
    assert str(caught.value).startswith(f"{path}:2: ") and said in str(caught.value)
    prepared = prepare_must_c(corpus, tmp_path / "out", targets=["de"], skip_bad=True)
    assert prepared.left_out == {"en-transcribe": {reason: 1}, "en-translate-de": {reason: 1}}
    texts = [u["text"] for u in lines_of(tmp_path / "out" / "en-translate-de-train.jsonl")]
    assert texts == ["Danke schön.", "null"]


@pytest.mark.parametrize(("file", "count"), [("train.yaml", 2), ("train.en", 2), ("train.de", 4)])
def test_the_numbers_of_lines_differ(corpus: Path, tmp_path: Path, file: str, count: int) -> None:
    path = corpus / "en-de" / "data" / "train" / "txt" / file
    lines = [*path.read_text("utf-8").splitlines(keepends=True), "one more\n"][:count]
    path.write_text("".join(lines), "utf-8")
    numbers = {name: 3 for name in ("train.yaml", "train.en", "train.de")} | {file: count}
    with pytest.raises(LorsError) as caught:
        prepare_must_c(corpus, tmp_path / "out", targets=["de"], skip_bad=True)
    assert ", ".join(f"{name} {number}" for name, number in numbers.items()) in str(caught.value)


def test_a_target_that_is_not_there(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="no folder for the language 'it'; the languages there are: en-de, en-fr"
    ):
        prepare_must_c(corpus, tmp_path / "out", targets=["it"])
