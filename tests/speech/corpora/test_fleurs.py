"""On trees in the layout of FLEURS102's archives, against a re-typed join of Lhotse's recipes/fleurs.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lors.base.errors import LorsError, UsageError
from lors.speech.corpora.fleurs import prepare_fleurs
from lors.speech.manifest import manifest_problems

Tone = Callable[..., Path]
Read = Callable[[Path], list[dict[str, Any]]]

# id, file, raw, normalised, seconds: several recordings of a sentence, quotes, NFD, a sentence without English.
SPANISH = {
    "train": [
        ("7", "111.wav", 'Dijo: "no, NA".', "dijo no na", 1.0),
        ("7", "112.wav", 'Dijo: "no, NA".', "dijo no na", 1.5),
        ("9", "113.wav", "null", "null", 0.5),
        ("12", "114.wav", "El nin\u0303o  come.", "el nin\u0303o come", 0.7),
    ],
    "dev": [("20", "115.wav", "Uno.", "uno", 0.4)],
    "test": [("30", "116.wav", "Dos.", "dos", 0.4)],
}
ENGLISH = {
    "train": [
        ("12", "900.wav", "The child eats.", "the child eats", 0.6),
        ("7", "901.wav", 'He said "no".', "he said no", 0.6),
        ("7", "902.wav", 'He said "no".', "he said no", 0.8),
        ("20", "903.wav", "Of another split.", "of another split", 0.8),
    ],
    "dev": [("20", "904.wav", "One.", "one", 0.4)],
    "test": [("30", "905.wav", "Two.", "two", 0.4)],
}


@pytest.fixture
def corpus(tmp_path: Path, tone: Tone) -> Path:
    root = tmp_path / "fleurs"
    for folder, splits in (("es_419", SPANISH), ("en_us", ENGLISH)):
        for split, rows in splits.items():
            lines = []
            for identifier, name, raw, normalised, seconds in rows:
                tone(root / folder / "audio" / split / name, seconds)
                characters = " ".join("|".join(normalised.split())) + " |"
                samples = str(round(seconds * 16000))
                lines.append("\t".join((identifier, name, raw, normalised, characters, samples, "MALE")))
            (root / folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return root


def lhotse(table: Path) -> list[tuple[str, str, str, float]]:
    """Recording, sentence, text and seconds as `prepare_single_fleurs_language` takes them (its text: normalised)."""
    found = []
    with table.open(encoding="utf-8") as file:
        for line in file:
            sentence, name, _, text, _, samples, _ = line.strip().split("\t")
            found.append((Path(name).stem, sentence, text, round(int(samples) / 16000, 4)))
    return found


def test_the_rows_are_those_of_lhotse(corpus: Path, tmp_path: Path, lines_of: Read) -> None:
    out = tmp_path / "out"
    prepared = prepare_fleurs(corpus, ["es", "English"], out, text="normalised")
    assert [m.name for m in prepared.manifests] == [
        f"{language}-transcribe-{split}.jsonl" for language in ("es", "en") for split in SPANISH
    ]
    for language, folder in (("es", "es_419"), ("en", "en_us")):
        for split in SPANISH:
            ours = [
                (u["audio_filepath"].stem, u["id"].split("_")[0], u["text"], u["duration"])
                for u in lines_of(out / f"{language}-transcribe-{split}.jsonl")
            ]
            theirs = lhotse(corpus / folder / f"{split}.tsv")
            assert ours == [(a, b, text.replace("nin\u0303o", "niño"), d) for a, b, text, d in theirs]


def test_both_tasks(corpus: Path, tmp_path: Path, lines_of: Read) -> None:
    out = tmp_path / "out"
    prepared = prepare_fleurs(corpus, ["es", "en"], out, targets=["en"])
    assert [(m.language, m.task, m.split, m.clips) for m in prepared.manifests] == [
        ("es", "transcribe", "train", 4),
        ("es", "transcribe", "dev", 1),
        ("es", "transcribe", "test", 1),
        ("es", "translate", "train", 3),
        ("es", "translate", "dev", 1),
        ("es", "translate", "test", 1),
        ("en", "transcribe", "train", 4),
        ("en", "transcribe", "dev", 1),
        ("en", "transcribe", "test", 1),
    ]
    audio = corpus / "es_419" / "audio" / "train"
    expected = [
        ("7_111", "111.wav", 'Dijo: "no, NA".', 'He said "no".', 1.0),
        ("7_112", "112.wav", 'Dijo: "no, NA".', 'He said "no".', 1.5),
        ("9_113", "113.wav", "null", None, 0.5),
        ("12_114", "114.wav", "El niño come.", "The child eats.", 0.7),
    ]
    for task, target, column in (("transcribe", "es", 2), ("translate", "en", 3)):
        assert lines_of(out / f"es-{task}-train.jsonl") == [
            {
                "id": row[0],
                "audio_filepath": (audio / row[1]).resolve(),
                "duration": row[4],
                "text": row[column],
                "source_lang": "es",
                "target_lang": target,
            }
            for row in expected
            if row[column] is not None
        ]
    assert prepared.left_out["es-translate"] == {"no text in en": 1}
    for manifest in prepared.manifests:
        assert list(manifest_problems(out / manifest.name)) == []
    card = (out / "README.md").read_text("utf-8")
    assert "CC BY 4.0" in card
    assert "| no text in en | 0 | 1 | 0 |" in card
    assert f"--corpus {corpus} --languages es_419,en_us --targets en_us" in card
    assert json.loads((out / "prepare.json").read_text())["settings"]["targets"] == ["en_us"]


def test_an_id_with_two_texts_is_told(corpus: Path, tmp_path: Path, lines_of: Read) -> None:
    table = corpus / "en_us" / "train.tsv"
    table.write_text(table.read_text("utf-8").replace('He said "no".', 'He said: "No."', 1), "utf-8")
    prepare_fleurs(corpus, ["es"], tmp_path / "out", targets=["en"])
    texts = {u["text"] for u in lines_of(tmp_path / "out" / "es-translate-train.jsonl")}
    assert 'He said: "No."' in texts and 'He said "no".' not in texts
    assert "1 sentences of en_us/train have several texts" in (tmp_path / "out" / "README.md").read_text(
        "utf-8"
    )


def test_crlf_and_a_byte_order_mark_change_nothing(corpus: Path, tmp_path: Path) -> None:
    prepare_fleurs(corpus, ["es"], tmp_path / "plain", targets=["en"])
    for table in corpus.rglob("*.tsv"):
        table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    prepare_fleurs(corpus, ["es"], tmp_path / "windows", targets=["en"])
    for manifest in (tmp_path / "plain").glob("*.jsonl"):
        assert (tmp_path / "windows" / manifest.name).read_bytes() == manifest.read_bytes()


@pytest.mark.parametrize(
    ("folder", "code"),
    [("cmn_hans_cn", "zh"), ("yue_hant_hk", "yue"), ("nb_no", "no"), ("fil_ph", "tl"), ("jv_id", "jw")],
)
def test_other_codes(corpus: Path, tmp_path: Path, folder: str, code: str) -> None:
    (corpus / "es_419").rename(corpus / folder)
    for name in (folder, code):
        out = tmp_path / name
        (made,) = prepare_fleurs(corpus, [name], out, splits=["dev"]).manifests
        assert (made.language, made.name) == (code, f"{code}-transcribe-dev.jsonl")


def edit(table: Path, line: int, change: Callable[[list[str]], list[str]]) -> None:
    lines = table.read_text("utf-8").split("\n")
    lines[line - 1] = "\t".join(change(lines[line - 1].split("\t")))
    table.write_text("\n".join(lines), "utf-8")


BAD = {
    "six fields": (lambda f: f[:-1], "6 fields with tabs", "malformed row"),
    "an id that is none": (lambda f: ["x", *f[1:]], "the id is 'x'; a number was expected", "malformed row"),
    "samples that are none": (lambda f: [*f[:5], "-5", f[6]], "the num_samples is '-5'", "malformed row"),
    "a missing file": (lambda f: [f[0], "none.wav", *f[2:]], "none.wav: no such audio file", "no audio file"),
    "a path that climbs": (lambda f: [f[0], "../../../x.wav", *f[2:]], "no path inside", "path outside the corpus"),
    "an absolute path": (lambda f: [f[0], "/etc/passwd", *f[2:]], "is no path inside", "path outside the corpus"),
    "a wrong length": (lambda f: [*f[:5], "99999", f[6]], "lasts 1.50 s, the corpus says 6.25 s", "wrong duration"),
    "an id twice": (lambda f: [f[0], "111.wav", *f[2:5], "16000", f[6]], "that of line 1 too", "duplicate id"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_named_or_left_out(corpus: Path, tmp_path: Path, kind: str, lines_of: Read) -> None:
    change, said, reason = BAD[kind]
    table = corpus / "es_419" / "train.tsv"
    edit(table, 2, change)
    with pytest.raises(LorsError) as caught:
        prepare_fleurs(corpus, ["es"], tmp_path / "out")
    assert str(caught.value).startswith(f"{table}:2: ")
    assert said in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    assert not (tmp_path / "out").exists()
    prepared = prepare_fleurs(corpus, ["es"], tmp_path / "out", skip_bad=True)
    assert prepared.left_out["es-transcribe"] == {reason: 1}
    kept = [u["id"] for u in lines_of(tmp_path / "out" / "es-transcribe-train.jsonl")]
    assert kept == ["7_111", "9_113", "12_114"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "other"])
def test_damaged_audio(corpus: Path, tmp_path: Path, damage: str) -> None:
    path = corpus / "es_419" / "audio" / "train" / "112.wav"
    path.write_bytes({"empty": b"", "truncated": path.read_bytes()[:20], "other": b"<html>" * 99}[damage])
    with pytest.raises(LorsError, match=r"train.tsv:2: .*112.wav"):
        prepare_fleurs(corpus, ["es"], tmp_path / "out")
    prepared = prepare_fleurs(corpus, ["es"], tmp_path / "out", skip_bad=True)
    assert prepared.left_out["es-transcribe"] == {"damaged audio": 1}


def test_a_link_out_of_the_corpus(corpus: Path, tmp_path: Path, tone: Tone) -> None:
    path = corpus / "es_419" / "audio" / "train" / "112.wav"
    path.unlink()
    path.symlink_to(tone(tmp_path / "elsewhere.wav", 1.5))
    with pytest.raises(LorsError, match=r"train.tsv:2: .*a symbolic link that leads out of"):
        prepare_fleurs(corpus, ["es"], tmp_path / "out")


def test_texts_that_are_empty_and_clips_that_are_long(corpus: Path, tmp_path: Path) -> None:
    edit(corpus / "es_419" / "train.tsv", 3, lambda f: [f[0], f[1], " \u00a0 ", *f[3:]])
    prepared = prepare_fleurs(corpus, ["es"], tmp_path / "out", maximum_seconds=1.2)
    assert prepared.left_out["es-transcribe"] == {"longer than 1.2 s": 1, "no text": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"languages": ["fr"]}, "no folder for the language 'fr'; the languages there are: en_us, es_419"),
        ({"languages": ["klingon"]}, "'klingon' is no language that Whisper knows"),
        ({"languages": []}, "no language is named"),
        ({"targets": ["fr"]}, "no folder for the language 'fr'"),
        (
            {"splits": ["validation"]},
            "'validation': no split of this corpus; the splits are train, dev, test",
        ),
        ({"text": "cased"}, "'cased' was given; raw or normalised"),
        ({"maximum_seconds": 31.0}, "at most 30"),
        ({"corpus": Path("nowhere")}, "nowhere: no such folder"),
    ],
)
def test_what_is_asked_for_is_wrong(
    corpus: Path, tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        prepare_fleurs(**({"corpus": corpus, "languages": ["es"], "out": tmp_path / "out"} | arguments))


def test_a_table_that_is_missing(corpus: Path, tmp_path: Path) -> None:
    (corpus / "es_419" / "dev.tsv").unlink()
    with pytest.raises(UsageError, match=r"dev.tsv: no such file"):
        prepare_fleurs(corpus, ["es"], tmp_path / "out")
    assert len(prepare_fleurs(corpus, ["es"], tmp_path / "out", splits=["train", "test"]).manifests) == 2


def test_two_folders_of_a_language(corpus: Path, tmp_path: Path) -> None:
    (corpus / "es_mx").mkdir()
    with pytest.raises(UsageError, match="'es' may be es_419 or es_mx; give the folder's name"):
        prepare_fleurs(corpus, ["es"], tmp_path / "out")
    with pytest.raises(UsageError, match="es_419 and es_mx are both 'es'"):
        prepare_fleurs(corpus, ["es_419", "es_mx"], tmp_path / "out")


def test_not_utf8(corpus: Path, tmp_path: Path) -> None:
    table = corpus / "es_419" / "train.tsv"
    table.write_bytes(table.read_bytes().replace(b"null", b"n\xff", 1))
    with pytest.raises(LorsError, match=r"train.tsv:3: not UTF-8"):
        prepare_fleurs(corpus, ["es"], tmp_path / "out")
