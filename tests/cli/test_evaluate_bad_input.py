"""`lors evaluate`: n-best texts, detected languages, memory, and everything that can be wrong with data and models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tokenizers import Tokenizer

from lors.checkpoints.find import find_checkpoint
from lors.speech.corpora.prompts import prepare_prompts
from lors.speech.manifest import Utterance, read_manifest, write_manifest

Refuse = Callable[..., str]


@pytest.fixture
def refuse(here: Callable[..., Any], tmp_path: Path) -> Refuse:
    """Run `lors evaluate`, which must fail: with `code`, one sentence, nothing written; give the sentence."""

    def run(*arguments: object, code: int = 2) -> str:
        done = here(tmp_path, "evaluate", *map(str, arguments), "--out", "out")
        assert done.code == code, done.stderr
        assert done.stdout == ""
        sentence: str = done.stderr.splitlines()[-1]
        assert sentence.startswith("lors: ") and sentence.endswith((".", "?"))
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob("out*/hypotheses/*"))
        return sentence

    return run


@pytest.fixture
def one_clip(manifest_of: Callable[..., Path]) -> Path:
    return manifest_of("clips", [(1.0, "uno", "es", "es")])


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_manifest(content: str, refuse: Refuse, tiny_whisper: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text(content, encoding="utf-8")
    sentence = refuse(tiny_whisper, "--data", "empty.jsonl")
    assert "empty.jsonl" in sentence and "is empty" in sentence


def test_references_without_words(
    refuse: Refuse, tiny_whisper: Path, manifest_of: Callable[..., Path]
) -> None:
    manifest = manifest_of("dots", [(1.0, "…", "es", "es"), (1.0, "?!", "es", "es")])
    sentence = refuse(tiny_whisper, "--data", manifest)
    assert "no word of the 'es' references is left" in sentence


def test_a_clip_longer_than_whisper_hears(
    refuse: Refuse, tiny_whisper: Path, manifest_of: Callable[..., Path]
) -> None:
    manifest = manifest_of("long", [(1.0, "uno", "es", "es"), (30.1, "dos", "es", "es")])
    sentence = refuse(tiny_whisper, "--data", manifest)
    assert "'long-1'" in sentence and "30.10 s" in sentence and "cut" in sentence


def test_a_language_that_whisper_or_the_model_lacks(
    refuse: Refuse, tiny_whisper: Path, manifest_of: Callable[..., Path]
) -> None:
    sentence = refuse(tiny_whisper, "--data", manifest_of("nobody", [(1.0, "uno", "tlh", "tlh")]))
    assert "nobody.jsonl:1: 'source_lang'" in sentence and "no language that Whisper knows" in sentence
    sentence = refuse(tiny_whisper, "--data", manifest_of("german", [(1.0, "eins", "de", "de")]))
    assert "no token for German (de)" in sentence


def test_settings_that_do_not_go_together(refuse: Refuse, tiny_whisper: Path, one_clip: Path) -> None:
    asked = (tiny_whisper, "--data", one_clip)
    assert "beam size, 5" in refuse(*asked, "--nbest", "6")
    assert "use engine ctranslate2" in refuse(*asked, "--nbest", "2", "--engine", "transformers")
    assert "expected 'manifest'" in refuse(*asked, "--language", "es")
    assert "'much' is no size" in refuse(*asked, "--memory", "much")


@pytest.mark.parametrize("engine", ["ctranslate2", "transformers"])
def test_memory_that_holds_not_one_clip(
    engine: str, refuse: Refuse, tiny_whisper: Path, one_clip: Path
) -> None:
    asked = ("--engine", engine, "--memory", "1MB", "--beam-size", "20")
    sentence = refuse(tiny_whisper, "--data", one_clip, *asked)
    for part in (engine, "MiB to decode one utterance", "20 beams", "1500", "--memory", "--beam-size"):
        assert part in sentence
    assert ("--engine ctranslate2" in sentence) == (engine == "transformers")


def test_the_tokenizer_of_another_model(
    refuse: Refuse, make_whisper: Callable[..., Path], one_clip: Path, tmp_path: Path
) -> None:
    model = make_whisper(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.add_special_tokens(["<|it|>", "<|ru|>"])
    tokenizer.save(str(model / "tokenizer.json"))
    sentence = refuse(model, "--data", one_clip, code=1)
    assert "the tokenizer is not that of this model (it has 268 tokens and the model 266)" in sentence

    # As large-v3's is beside an older model's weights: all behind the languages is one off.
    shutil.rmtree(model)
    make_whisper(model)
    said = json.loads((model / "generation_config.json").read_text())
    end = Tokenizer.from_file(str(model / "tokenizer.json")).token_to_id("<|notimestamps|>")
    (model / "generation_config.json").write_text(json.dumps({**said, "no_timestamps_token_id": end - 1}))
    sentence = refuse(model, "--data", one_clip, code=1)
    assert f"<|notimestamps|> the number {end} where the model has {end - 1}" in sentence

    (model / "tokenizer.json").write_text("{}")
    assert str(model) in refuse(model, "--data", one_clip, code=1)


# --- real weights, real voices


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    corpus = prepare_prompts(["es"], tmp_path_factory.mktemp("prompts") / "data")
    return [u for u in read_manifest(corpus.manifest("es", "transcribe", "test")) if 2.5 < u.duration < 4][:3]


def lines_of(out: Path) -> list[dict[str, Any]]:
    (path,) = (out / "hypotheses").rglob("*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.real
def test_nbest_texts_and_detected_languages_from_the_command_line(
    here: Callable[..., Any], voices: list[Utterance], tmp_path: Path
) -> None:
    write_manifest(tmp_path / "es.jsonl", voices)
    model = find_checkpoint("openai/whisper-base")
    asked = ["evaluate", f"base={model}", "--data", "es.jsonl", "--window", "400", "--out", "out"]
    asked += ["--nbest", "3", "--language", "detect"]
    done = here(tmp_path, *asked)
    assert done.code == 0, done.stderr
    record = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert record["request"]["decoder"].endswith("|nbest:3|language:detected")
    lines = lines_of(tmp_path / "out")
    heard = [line["language"] for line in lines]
    found = record["languages"]["base"]["es"]
    assert (found["correct"], found["n"]) == (heard.count("es"), 3)
    assert sum(found["taken_for"].values()) == 3 - heard.count("es")
    assert f"Language identified by base: es {heard.count('es')}/3" in done.stdout
    for line in lines:
        assert [one["text"] for one in line["nbest"]][:1] == [line["hypothesis"]]
        assert len(line["nbest"]) == 3
        assert 0 < line["language_probability"] <= 1
    oracle, plain = record["oracle_wer"]["base"]["es"], record["scores"][0]
    assert oracle["value"] <= plain["value"]
    assert (oracle["n"], oracle["words"], oracle["nbest"]) == (3, plain["counts"]["words"], 3)
    assert oracle["low"] <= oracle["value"] <= oracle["high"]
    assert "Oracle WER of base: es " in done.stdout

    # The same request is answered from what is there; another number of texts is another request.
    again = here(tmp_path, *asked, "--reuse")
    assert again.stdout == done.stdout
    assert here(tmp_path, *asked[:-4], "--reuse").code == 2


@pytest.mark.real
def test_silence_and_noise_come_to_an_end_and_are_counted(
    here: Callable[..., Any], voices: list[Utterance], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 48000)
    sounds = {"silence": np.zeros(48000), "noise": noise, "click": np.eye(1, 48000, 24000)[0]}
    clips = []
    for name, samples in sounds.items():
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, 16000)
        facts = {"id": name, "audio_filepath": path, "duration": 3.0, "text": "nada"}
        clips.append(Utterance(**facts, source_lang="es", target_lang="es"))  # type: ignore[arg-type]
    write_manifest(tmp_path / "es.jsonl", clips)
    model = find_checkpoint("openai/whisper-base")
    asked = ["evaluate", str(model), "--data", "es.jsonl", "--window", "400", "--beam-size", "1"]
    done = here(tmp_path, *asked, "--out", "out")
    assert done.code == 0, done.stderr
    lines = lines_of(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert record["scores"][0]["loops"] == sum(line["looped"] for line in lines)
    assert all(
        line["tokens"] <= 444 and (line["first_attempt"] is not None) == line["looped"] for line in lines
    )


@pytest.mark.real
def test_a_checkpoint_without_a_generation_config(
    here: Callable[..., Any], voices: list[Utterance], tmp_path: Path
) -> None:
    write_manifest(tmp_path / "es.jsonl", voices)
    whole = find_checkpoint("openai/whisper-base")
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in whole.iterdir():
        if path.name != "generation_config.json":
            (bare / path.name).symlink_to(path)
    asked = ["--data", "es.jsonl", "--window", "400", "--beam-size", "1"]
    done = here(tmp_path, "evaluate", f"whole={whole}", f"bare={bare}", *asked, "--out", "out")
    assert done.code == 0, done.stderr
    texts = {
        path.parent.name: [json.loads(line)["hypothesis"] for line in path.read_text().splitlines()]
        for path in (tmp_path / "out" / "hypotheses").rglob("*.jsonl")
    }
    assert texts["bare"] == texts["whole"]
    done = here(tmp_path, "evaluate", str(bare), *asked, "--engine", "transformers", "--out", "other")
    assert done.code == 1
    assert "generation_config.json" in done.stderr and "--engine ctranslate2" in done.stderr


def test_files_of_before_nbest_are_read(tmp_path: Path) -> None:
    from lors.speech.decoding.hypothesis import Candidate, Hypothesis
    from lors.speech.evaluation_files import HypothesisFiles

    clip = Utterance(
        id="a",
        audio_filepath=tmp_path / "a.wav",
        duration=1.0,
        text="uno",
        source_lang="es",
        target_lang="es",
    )
    old = (
        '{"id": "a", "task": "transcribe", "source_lang": "es", "target_lang": "es", "duration": 1.0, '
        '"reference": "uno", "hypothesis": "uno", "tokens": 2, "log_probability": -0.5, "window": 400, '
        '"looped": false, "first_attempt": null, "seconds": 0.25}\n'
    )
    name = "hypotheses/model/es.jsonl"
    files = HypothesisFiles(tmp_path / "work", {name: "key"})
    (tmp_path / "work" / "hypotheses" / "model").mkdir(parents=True)
    (tmp_path / "work" / name).write_text(old)
    plain = Hypothesis("uno", 2, -0.5, 400, False, None, 0.25)
    assert files.read(name, [clip]) == {0: plain}
    files.finish(name, [(clip, plain, {})])
    assert (
        tmp_path / "work" / name
    ).read_text() == old  # and written as before where nothing more was asked for
    rich = Hypothesis("uno", 2, -0.5, 400, False, None, 0.25, (Candidate("uno", 2, -0.5),), "es", 0.9)
    files.finish(name, [(clip, rich, {})])
    assert files.read(name, [clip]) == {0: rich}
