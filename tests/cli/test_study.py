"""`lors study` as it is typed: mistakes in the file and in the data, plans, and whole studies of tiny models."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STUDY = """\
name: toy
base: base
data: [data]
languages: [es, fr]
held_out: [it]
tasks: [transcribe]
methods:
  task-arithmetic: {scale: [0.5, 1.0]}
  lors: {rank_ratio: 0.05, keep_ratio: 0.2, scale: 0.5}
train: {epochs: 1}
models:
  es-transcribe: {epochs: 2}
decode: {beam_size: 1}
analyses:
  number_of_languages:
    methods: [lors]
"""
EXAMPLES = Path(__file__).parents[2] / "examples"


def manifest(path: Path, language: str, task: str, clips: int = 3) -> None:
    """Lines of clips that are not there: a plan looks at no audio."""
    target = language if task == "transcribe" else "en"
    lines = [
        {"id": f"{number}", "audio_filepath": f"{number}.wav", "duration": 2.0, "text": "uno", "source_lang": language,
         "target_lang": target}
        for number in range(clips)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def study(folder: Path) -> Path:
    (folder / "data").mkdir()
    for language in ("es", "fr", "it"):
        for split in ("train", "dev", "test"):
            manifest(folder / "data" / f"{language}-transcribe-{split}.jsonl", language, "transcribe")
    (folder / "study.yaml").write_text(STUDY)
    return folder / "study.yaml"


def refused(here: Any, everything: Any, study: Path, *arguments: str) -> str:
    before = everything(study.parent)
    outcome = here(study.parent, "study", "study.yaml", *arguments)
    assert outcome.code == 2, outcome.stderr
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("lors: ") and outcome.stderr.count("\n") == 1
    assert everything(study.parent) == before
    return outcome.stderr.removeprefix("lors: ").rstrip("\n")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("held_out", "heldout", 5, "unknown key 'heldout'. Did you mean 'held_out'?"),
        ("{epochs: 1}", "{epoch: 1}", 10, "unknown key 'epoch'. Did you mean 'epochs'?"),
        ("{epochs: 2}", "{epocs: 2}", 12, "unknown key 'epocs'. Did you mean 'epochs'?"),
        ("    methods: [lors]", "    method: [lors]", 16, "unknown key 'method'. Did you mean 'methods'?"),
        ("name: toy\n", "", 1, "'name' is missing."),
        ("name: toy", "name: ../toy", 1, "'name' is '../toy'"),
        ("[es, fr]", "[es, xx]", 4, "language 'xx'"),
        ("[es, fr]", "[es, fr, es]", 4, "the language es is there twice."),
        ("[es, fr]", "es", 4, "'languages' is 'es', expected a valid list."),
        ("[es, fr]", "[]", 4, "'languages' is []"),
        ("[it]", "[es]", 5, "es is held out, and trained on in 'all'."),
        ("[it]", "[qq]", 5, "language 'qq'"),
        ("[transcribe]", "[transcribe, transcribe]", 6, "'tasks' names one thing twice."),
        ("[transcribe]", "[transcribed]", 6, "'tasks' is 'transcribed', expected 'transcribe' or 'translate'."),
        ("task-arithmetic:", "task-arithmetics:", 8, "unknown method 'task-arithmetics'. Did you mean 'task-"),
        ("tasks:", "settings: [pretraind]\ntasks:", 6, "'settings' is 'pretraind', expected "),
        ("tasks:", "sets: {a: {languages: [it]}}\ntasks:", 4, "expected either 'languages' or 'sets', and both are"),
        ("languages: [es, fr]\n", "", 1, "expected either 'languages' or 'sets', and neither is there."),
        ("[lors]", "[lorz]", 16, "the method lorz is not among 'methods'"),
        ("    methods: [lors]", "    sets: [high]", 16, "there is no set 'high'."),
        ("    methods: [lors]", "    tasks: [translate]", 16, "number_of_languages is asked for translate, which is"),
        ("    methods: [lors]", "    tasks: []", 16, "'tasks' is []"),
        ("beam_size: 1", "beam_size: 0", 13, "'beam_size' is 0, expected greater than or equal to 1."),
        ("beam_size: 1", "beam_size: yes", 13, "'beam_size' is "),
        ("{epochs: 1}", "{learning_rate: fast}", 10, "'learning_rate' is 'fast'"),
        ("{epochs: 1}", "{epochs: .inf}", 10, "'epochs' is inf, expected a finite number."),
        ("train: {epochs: 1}", "train: {epochs: 1}\ntrain: {}", 11, "'train'"),
    ],
)  # fmt: skip
def test_mistakes_in_the_file(
    here: Any, everything: Any, study: Path, old: str, new: str, line: int, told: str, dry: tuple[str, ...]
) -> None:
    study.write_text(STUDY.replace(old, new, 1))
    assert study.read_text() != STUDY
    sentence = refused(here, everything, study, *dry)
    assert sentence.startswith(f"study.yaml:{line}: ") and told in sentence


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("es-transcribe: {", "es-transcript: {", "study.yaml: models: no model of this study is called"),
        ("keep_ratio: 0.2", "keep_ratio: 20", "study.yaml: methods: lors: "),
        ("keep_ratio: 0.2", "keep_rate: 0.2", "study.yaml: methods: lors: "),
        ("keep_ratio: 0.2", "keep_ratio: [0.2, 0.2]", "study.yaml: methods: lors: "),
        ("keep_ratio: 0.2", "keep_ratio: []", "study.yaml: methods: lors: "),
        ("keep_ratio: 0.2", "experts: [a]", "study.yaml: methods: lors: "),
        ("languages: [es, fr]", "languages: [es, fr]\nhours: 1", "es-transcribe-train.jsonl: 0.00 hours, and 1 are"),
        ("tasks:", "settings: [joint-training]\ntasks:", "study.yaml: settings: joint-training takes both tasks"),
        ("[data]", "[nowhere]", "study.yaml: data 'nowhere': no such folder"),
        ("base: base", "base: ./nothing", "./nothing"),
    ],
)  # fmt: skip
def test_what_only_the_plan_shows(
    here: Any, everything: Any, study: Path, old: str, new: str, told: str
) -> None:
    study.write_text(STUDY.replace(old, new, 1))
    assert told in refused(here, everything, study)


def test_data_that_do_not_fit(here: Any, everything: Any, study: Path) -> None:
    place = study.parent / "data" / "fr-transcribe-test.jsonl"
    kept = place.read_text()
    place.write_text(kept + '{"id": 3}\n')
    assert "fr-transcribe-test.jsonl:4: " in refused(here, everything, study)
    manifest(place, "fr", "translate")
    assert "'0' is translate of fr, and the file's name says transcribe of fr" in refused(
        here, everything, study
    )
    place.write_text("")
    assert "fr-transcribe-test.jsonl" in refused(here, everything, study)
    place.unlink()
    sentence = refused(here, everything, study)
    assert sentence == "study.yaml: 1 inputs are missing: fr-transcribe-test.jsonl."
    plan = here(study.parent, "study", "study.yaml", "--dry-run")
    assert plan.code == 0 and "missing: fr-transcribe-test.jsonl" in plan.stdout
    place.write_text(kept)
    for arguments, told in [
        (("--engine", "rai"), "engine 'rai': expected local, ray or slurm."),
        (("--slurm", "partition=gpu"), "--slurm: goes with --engine slurm."),
        (("--engine", "slurm", "--slurm", "tme=60"), "Did you mean 'time'?"),
        (("--address", "127.0.0.1:1"), "--address: goes with --engine ray."),
        (("--workers", "0"), "workers 0: expected 1 or more."),
        (("--retries", "-1"), "retries -1: expected zero or more."),
    ]:
        assert told in refused(here, everything, study, *arguments)


def test_another_folder_is_not_taken(here: Any, everything: Any, study: Path) -> None:
    (study.parent / "full").mkdir()
    (study.parent / "full" / "letter.txt").write_text("mine")
    assert "full: exists, and is no study's folder" in refused(here, everything, study, "--out", "full")
    (study.parent / "full" / "study.json").write_text('{"study": "other"}')
    assert "full: holds the study 'other'" in refused(here, everything, study, "--out", "full")
    assert "letter.txt: is a file" in refused(here, everything, study, "--out", "full/letter.txt")


def test_a_dry_run_writes_nothing_and_counts_all(here: Any, everything: Any, study: Path) -> None:
    before = everything(study.parent)
    plan = here(study.parent, "study", "study.yaml", "--dry-run")
    assert plan.code == 0, plan.stderr
    counts = {line.split()[0]: line.split()[1:3] for line in plan.stdout.splitlines()[-12:] if line.split()}
    assert counts["finetune"] == ["3", "3"]  # two experts, one multilingual
    assert counts["merge"] == ["2", "2"] and counts["tune"] == ["1", "1"]
    status = here(study.parent, "study", "status", "study.yaml")
    assert status.code == 0 and status.stdout.splitlines()[-1] == plan.stdout.splitlines()[-1]
    assert everything(study.parent) == before


FINETUNED = {
    # A set: 10 experts, 2 multilingual, 5 multitask, 1 joint. Figure 3: 2 tasks of 10 + 10 + 5 combinations.
    # Figure 4: 10 experts and 2 multilingual at each of 1, 2 and 10 hours.
    "paper.yaml": 2 * 18 + 2 * 25 + 3 * 12,
    # Of 2 languages 4 experts, 2 multilingual, 2 multitask, 1 joint; two languages have one combination, the set.
    "prompts-quick.yaml": 9,
    # Of 4 languages 8, 2, 4, 1; Figure 3 trains nothing.
    "prompts-and-stamps.yaml": 15,
    "later-methods.yaml": 15,
    # Of each seed 2 multilingual and 1 joint.
    "seeds.yaml": 9,
}


@pytest.mark.parametrize("name", FINETUNED)
def test_examples_plan_without_their_data(here: Any, folder: Path, everything: Any, name: str) -> None:
    text = (EXAMPLES / name).read_text()
    (folder / "study.yaml").write_text(text.replace("openai/whisper-base", "base"))  # which would be fetched
    before = everything(folder)
    plan = here(folder, "study", "study.yaml", "--dry-run")
    assert plan.code == 0, plan.stderr
    counts = {line.split()[0]: line.split()[1] for line in plan.stdout.splitlines() if len(line.split()) > 2}
    kept = {path: content for path, content in everything(folder).items() if "cache" not in path.parts}
    assert kept == before
    assert counts["finetune"] == str(FINETUNED[name])


def test_help_names_everything(here: Any, folder: Path) -> None:
    outcome = here(folder, "study", "--help")
    assert outcome.code == 0 and "status" in outcome.stdout and "run" in outcome.stdout
    outcome = here(folder, "study", "run", "--help")
    assert all(
        option in outcome.stdout for option in ("--engine", "--address", "--workers", "--dry-run", "--out")
    )


def test_a_file_that_is_not_there(here: Callable[..., Any], folder: Path) -> None:
    outcome = here(folder, "study", "missing.yaml")
    assert outcome.code == 2 and outcome.stderr.startswith("lors: missing.yaml: ")
