"""Evaluation: scores against independent figures, resuming, reuse, and every mistake named before decoding."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import sacrebleu
import soundfile
import torch
from safetensors.torch import save_file

from lors.base.errors import LorsError, UsageError
from lors.speech import evaluation as module
from lors.speech.decoding.hypothesis import Hypothesis
from lors.speech.decoding.options import DecoderOptions
from lors.speech.evaluation import evaluate
from lors.speech.evaluation_results import read_evaluation
from lors.speech.evaluation_table import check_metrics, markdown_table, rich_table
from lors.speech.manifest import Utterance, write_manifest

SPANISH = ["Número de extensión", "La conferencia está llena", "Adiós y gracias", "Marque uno, por favor"]
FRENCH = ["Entrez votre numéro", "La conférence est fermée", "L'appel est terminé", "Composez le un"]
ENGLISH = [
    "Extension number please",
    "The conference is full now",
    "Goodbye and thank you",
    "Press one please",
]


class KilledError(Exception):
    """Stands for the end of the process."""


class FakeDecoding:
    """Takes the place of loading and decoding: writes the reference, spoilt by a rule per model."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.decoded: list[str] = []
        self.kill_after: int | None = None

    def load_engine(self, directory: Path, options: DecoderOptions) -> str:
        self.loaded.append(directory.name)
        return directory.name

    def decode(
        self, engine: str, utterances: Sequence[Utterance], options: DecoderOptions, done: Sequence[int]
    ) -> Iterator[list[tuple[int, Hypothesis]]]:
        for place, utterance in enumerate(utterances):
            if place not in done:
                if self.kill_after is not None and len(self.decoded) >= self.kill_after:
                    raise KilledError
                self.decoded.append(f"{engine} {utterance.id}")
                yield [(place, self.hypothesis(engine, utterance))]

    def hypothesis(self, engine: str, utterance: Utterance) -> Hypothesis:
        text = utterance.text
        if engine == "bad" and utterance.id.endswith(("0", "2")):
            text = "ruido " + text.split(" ", 1)[1]
        looped = engine == "bad" and utterance.id.endswith("3")
        return Hypothesis(text, 5, -0.25, 1500, looped, "la la la" if looped else None, 0.5)


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> FakeDecoding:
    fake = FakeDecoding()
    monkeypatch.setattr(module, "load_engine", fake.load_engine)
    monkeypatch.setattr(module, "decode", fake.decode)
    return fake


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    folders = []
    for value, name in enumerate(("good", "bad")):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "whisper", "vocab_size": 51865}')
        save_file({"w": torch.full((2, 2), float(value))}, folder / "model.safetensors")
        folders.append(folder)
    (folders[1] / "merge.json").write_text('{"signature": "method:lors|scale:0.3"}')
    return folders


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    soundfile.write(tmp_path / "a.wav", np.zeros(32000, dtype=np.float32), 16000)
    paths = []
    for language, texts, target in (("es", SPANISH, "es"), ("fr", FRENCH, "fr"), ("es", ENGLISH, "en")):
        paths.append(tmp_path / f"{language}-{target}.jsonl")
        write_manifest(
            paths[-1],
            [
                Utterance(
                    id=f"{language}{number}",
                    audio_filepath=tmp_path / "a.wav",
                    duration=2.0,
                    text=text,
                    source_lang=language,
                    target_lang=target,
                    normaliser="fold-diacritics" if language == target == "es" else None,
                )
                for number, text in enumerate(texts)
            ],
        )
    return paths


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_scores_signatures_and_files(
    decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = evaluate(models, manifests, out)
    assert found.models == ("good", "bad")
    assert [(s.model, s.task, s.source_lang) for s in found.scores][:4] == [
        ("good", "transcribe", "es"),
        ("good", "transcribe", "fr"),
        ("good", "transcribe", None),
        ("good", "translate", "es"),
    ]
    assert found.average_wer("good") == 0.0
    assert found.average_bleu("good") == pytest.approx(100.0)

    lines = _lines(out / "hypotheses" / "bad" / "es-es.jsonl")
    assert [line["id"] for line in lines] == ["es0", "es1", "es2", "es3"]
    assert [line["substitutions"] for line in lines] == [1, 0, 1, 0]
    assert [line["looped"] for line in lines] == [False, False, False, True]
    assert lines[3]["first_attempt"] == "la la la"
    references = [
        "numero de extension",
        "la conferencia esta llena",
        "adios y gracias",
        "marque uno por favor",
    ]
    hypotheses = ["ruido de extension", references[1], "ruido y gracias", references[3]]
    spanish = found.score("bad", "transcribe", "es")
    assert spanish.value == pytest.approx(100 * jiwer.wer(references, hypotheses))
    assert spanish.counts == {"words": 14, "correct": 12, "substitutions": 2, "deletions": 0, "insertions": 0}
    assert spanish.low <= spanish.value <= spanish.high
    assert (spanish.n, spanish.loops, spanish.windows) == (4, 1, {"1500": 4})
    assert spanish.real_time_factor == 0.25
    for part in ("wer|", "normaliser:fold-diacritics-1|", "data:", "model:", "beam:5", "window:1500"):
        assert part in spanish.signature
    assert "normaliser:no-punctuation-1|" in found.score("bad", "transcribe", "fr").signature

    mean = found.score("bad", "transcribe")
    french = found.score("bad", "transcribe", "fr")
    assert mean.value == pytest.approx((spanish.value + french.value) / 2)
    assert mean.n == 8
    assert mean.difference == pytest.approx(mean.value)

    texts = [line["hypothesis"] for line in _lines(out / "hypotheses" / "bad" / "es-en.jsonl")]
    translation = found.score("bad", "translate", "es")
    assert translation.value == sacrebleu.corpus_bleu(texts, [ENGLISH]).score
    chrf, cer = translation.second, spanish.second
    assert chrf is not None and cer is not None
    assert (chrf.metric, chrf.value) == ("chrf", sacrebleu.corpus_chrf(texts, [ENGLISH]).score)
    signature = f"chrf|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{sacrebleu.__version__}"
    assert chrf.signature == signature
    assert chrf.low <= chrf.value < chrf.high <= 100
    assert (cer.metric, cer.value) == ("cer", pytest.approx(100 * jiwer.cer(references, hypotheses)))
    assert cer.low <= cer.value <= cer.high
    assert cer.signature.endswith("|normaliser:fold-diacritics-1")
    assert mean.second is not None and french.second is not None
    assert mean.second.value == pytest.approx((cer.value + french.second.value) / 2)
    assert mean.second.difference == pytest.approx(mean.second.value)
    assert "case:mixed|eff:no|tok:13a|smooth:exp" in translation.signature

    record = json.loads((out / "results.json").read_text())
    assert record["request"]["models"][1]["signature"] == "method:lors|scale:0.3"
    assert all(s["real_time_factor"] == 0.25 for s in record["scores"])
    assert sorted(path.name for path in out.iterdir()) == ["hypotheses", "results.json", "table.md"]
    assert [path.name for path in tmp_path.glob("*out*")] == ["out"]
    assert read_evaluation(out) == found


def test_the_table_by_other_metrics(
    decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path
) -> None:
    found = evaluate(models, manifests, tmp_path / "out")
    french = found.score("bad", "transcribe", "fr").second
    chrf = found.score("bad", "translate", "es").second
    assert french is not None and chrf is not None
    table = markdown_table(found, ("cer", "chrf"))
    head, _, _, bad, _, *notes = table.splitlines()
    names = "es CER ↓ (n = 4) | fr CER ↓ (n = 4) | Avg. CER ↓ (n = 8) | es→en chrF ↑ (n = 4)"
    assert head == f"| model | {names} | loops |"
    for second in (french, chrf):
        assert f" {second.value:.1f}" in bad and f"({second.low:.1f}–{second.high:.1f})" in bad
    assert bad.endswith("| 3 |")
    assert "- CER in per cent after normaliser fold-diacritics-1, no-punctuation-1." in notes
    assert "WER" not in table and "†" not in table
    assert rich_table(found, ("wer", "cer")).row_count == 2
    assert "- CER in per cent" not in markdown_table(found)
    earlier = json.loads((tmp_path / "out" / "results.json").read_text())
    for score in earlier["scores"]:
        del score["second"]
    (tmp_path / "out" / "results.json").write_text(json.dumps(earlier))
    old = read_evaluation(tmp_path / "out")
    assert markdown_table(old) == markdown_table(found)
    with pytest.raises(UsageError, match="holds no score by cer; evaluate again"):
        markdown_table(old, ("cer",))


def test_metrics_that_nothing_can_be_scored_with_are_named_first(manifests: list[Path]) -> None:
    check_metrics(("cer", "chrf", "bleu", "wer"), manifests)
    check_metrics((), [])
    with pytest.raises(UsageError, match=r"metric 'cher' is not known.*wer, cer, bleu, chrf"):
        check_metrics(("cher",), manifests)
    with pytest.raises(UsageError, match="`--metric chrf` scores translations, and the data hold none"):
        check_metrics(("cer", "chrf"), manifests[:2])
    with pytest.raises(UsageError, match="`--metric cer` scores transcriptions, and the data hold none"):
        check_metrics(("cer",), manifests[2:])


def test_speakers_and_matched_pairs(
    decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "spoken.jsonl"
    utterances = [
        Utterance(
            id=f"u{number}",
            audio_filepath=tmp_path / "a.wav",
            duration=2.0,
            text=f"{'una ' * (number % 5)}dos tres cuatro",
            source_lang="es",
            target_lang="es",
            speaker=f"s{number // 20}",
        )
        for number in range(60)
    ]
    write_manifest(path, utterances)
    found = evaluate(models, [path, manifests[2]], tmp_path / "out")
    spanish = found.score("bad", "transcribe", "es")
    assert spanish.speakers == 3
    # "bad" spoils 4 of each speaker's 20 utterances: speakers do not differ, utterances do.
    assert spanish.low < spanish.low_by_speaker == pytest.approx(spanish.value) == spanish.high_by_speaker
    assert spanish.high > spanish.value
    assert found.score("good", "transcribe", "es").matched_pairs is None
    assert spanish.matched_pairs is not None
    assert spanish.matched_pairs["segments"] == 12
    assert spanish.matched_pairs["first_errors"] == 0
    assert spanish.matched_pairs["second_errors"] == spanish.counts["substitutions"]
    translation = found.score("bad", "translate", "es")
    assert (translation.speakers, translation.low_by_speaker, translation.matched_pairs) == (None, None, None)
    assert "- Speakers: es WER ↓ 3." in markdown_table(found)
    assert f"| bad | {spanish.value:.1f}* (" in markdown_table(found)
    surely = replace(spanish, matched_pairs={**spanish.matched_pairs, "p_value": 0.04})
    scores = tuple(surely if score == spanish else score for score in found.scores)
    assert f"| bad | {spanish.value:.1f}*† (" in markdown_table(replace(found, scores=scores))
    assert read_evaluation(tmp_path / "out") == found


def test_a_killed_evaluation_goes_on(
    decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path
) -> None:
    whole = evaluate(models, manifests, tmp_path / "whole")
    decoding.decoded.clear()
    decoding.kill_after = 15
    with pytest.raises(KilledError):
        evaluate(models, manifests, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    torn = tmp_path / "out.partial" / "hypotheses" / "bad" / "es-es.jsonl"
    assert len(_lines(torn)) == 3
    torn.write_bytes(torn.read_bytes()[:-20])

    decoding.kill_after = None
    decoding.loaded.clear()
    resumed = evaluate(models, manifests, tmp_path / "out")
    assert decoding.loaded == ["bad"]
    assert len(decoding.decoded) == 24 + 1  # the torn one twice
    assert resumed.scores == whole.scores
    assert not (tmp_path / "out.partial").exists()


def test_other_settings_start_their_part_anew(
    decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path
) -> None:
    decoding.kill_after = 15
    with pytest.raises(KilledError):
        evaluate(models, manifests, tmp_path / "out")
    decoding.kill_after = None
    decoding.decoded.clear()
    evaluate(models, manifests, tmp_path / "out", beam_size=1)
    assert len(decoding.decoded) == 24


def test_reuse_returns_the_same_request_without_decoding(
    decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path
) -> None:
    first = evaluate(models, manifests, tmp_path / "out", reuse=True)
    decoding.loaded.clear()
    assert evaluate(models, manifests, tmp_path / "out", reuse=True) == first
    assert not decoding.loaded
    assert not (tmp_path / "out.partial").exists()
    with pytest.raises(UsageError, match="decoder changed"):
        evaluate(models, manifests, tmp_path / "out", reuse=True, beam_size=1)
    with pytest.raises(UsageError, match="exists already"):
        evaluate(models, manifests, tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


def test_overwriting_decodes_only_what_is_new(
    decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path
) -> None:
    evaluate(models[:1], manifests[:2], tmp_path / "out")
    decoding.decoded.clear()
    found = evaluate(models, manifests[:2], tmp_path / "out", overwrite=True, normaliser="lower")
    assert {line.split()[0] for line in decoding.decoded} == {"bad"}
    assert "normaliser:lower-1|" in found.score("good", "transcribe", "es").signature
    save_file({"w": torch.full((2, 2), 9.0)}, models[0] / "model.safetensors")
    decoding.decoded.clear()
    evaluate(models, manifests[:2], tmp_path / "out", overwrite=True)
    assert {line.split()[0] for line in decoding.decoded} == {"good"}


def test_limit_and_names(
    decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path
) -> None:
    found = evaluate(models[:1], manifests, tmp_path / "out", limit=2, names={models[0]: "pretrained"})
    assert found.models == ("pretrained",)
    assert [s.n for s in found.scores] == [2, 2, 4, 2]
    assert (tmp_path / "out" / "hypotheses" / "pretrained" / "es-en.jsonl").is_file()


def test_manifests_of_one_name_are_told_apart(
    decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path
) -> None:
    paths = []
    for folder, path in zip(("spanish", "french"), manifests, strict=False):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "test.jsonl")
        paths[-1].write_text(path.read_text().replace("a.wav", "../a.wav"))
    evaluate(models[:1], paths, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out" / "hypotheses" / "good").iterdir())
    assert names == ["french-test.jsonl", "spanish-test.jsonl"]


def test_tables(decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path) -> None:
    found = evaluate(models, manifests, tmp_path / "out")
    text = markdown_table(found)
    heading, _, good, bad, *_ = text.splitlines()
    assert "| es WER ↓ (n = 4) | fr WER ↓ (n = 4) | Avg. WER ↓ (n = 8) | es→en BLEU ↑ (n = 4) |" in heading
    assert good.startswith("| good | 0.0 (0.0–0.0) |")
    assert bad.endswith("| 3 |")
    assert "normaliser fold-diacritics-1, no-punctuation-1" in text
    assert len(rich_table(found).columns) == 6
    assert (tmp_path / "out" / "table.md").read_text() == text


# --- mistakes, each told before anything is decoded


def test_mistakes(decoding: FakeDecoding, models: list[Path], manifests: list[Path], tmp_path: Path) -> None:
    def refused(sentence: str, given: list[Any], data: list[Path], **options: Any) -> None:
        with pytest.raises(UsageError, match=sentence):
            evaluate(given, data, tmp_path / "out", **options)

    refused("no model", [], manifests)
    refused("no data", models, [])
    refused("'fold-diacritics'", models, manifests, normaliser="fold-diacritic")
    refused("'good'; name one of them", [models[0], models[0]], manifests)
    refused("given twice", models, [manifests[0], manifests[0]])
    refused("at least one utterance", models, manifests, limit=0)
    refused("resamples 10", models, manifests, resamples=10)
    refused("seed -1", models, manifests, seed=-1)
    refused("not among the models", models, manifests, names={"else": "x"})
    refused("cannot name a model", models, manifests, names={models[0]: ".."})
    refused("engine 'ct2'", models, manifests, engine="ct2")

    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(manifests[0].read_text().replace("fold-diacritics", "folded", 1))
    refused(r"wrong\.jsonl, utterance 'es0': normaliser 'folded'", models, [wrong])
    wrong.write_text(manifests[0].read_text().replace('"target_lang": "es"', '"target_lang": "fr"'))
    refused("into English only", models, [wrong])
    wrong.write_text("{}\n")
    refused(r"wrong\.jsonl:1: ", models, [manifests[0], wrong])
    line = json.loads(manifests[0].read_text().splitlines()[0]) | {"text": "¡…!"}
    wrong.write_text(json.dumps(line))
    refused("no word of the 'es' references", models, [wrong])

    (models[1] / "config.json").write_text('{"model_type": "whisper", "vocab_size": 51864}')
    refused(r"es-es\.jsonl: .*English-only model", models, manifests)
    assert not decoding.loaded
    assert not (tmp_path / "out.partial").exists()


def test_damaged_results_are_named(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"scores": [{}]}')
    with pytest.raises(LorsError, match=r"results\.json: not the results"):
        read_evaluation(tmp_path)
