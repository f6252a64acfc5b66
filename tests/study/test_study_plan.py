"""The plan against the paper's section 5.3, and what a change of one thing asks to be done again."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lors.study.jobs.job import Given, Job
from lors.study.planned_rows import StudyPlan
from lors.study.results import SETTINGS
from lors.study.study_data import StudyData
from lors.study.study_file import load_study
from lors.study.study_jobs import StudyJobs
from lors.study.study_plan import make_study_plan

LANGUAGES = ("ca", "de", "es", "fr", "it")
TASKS = ("transcribe", "translate")
SCORED = [(language, task) for task in TASKS for language in LANGUAGES]
STUDY: dict[str, Any] = {
    "name": "paper",
    "base": "base",
    "data": ["data"],
    "languages": list(LANGUAGES),
    "methods": {
        "task-arithmetic": {"scale": [0.1, 0.2]},
        "lors": {"scale": [0.1, 0.2], "rank_ratio": 0.1, "keep_ratio": 0.2},
    },
}

Planned = Callable[..., StudyPlan]


def write(path: Path, language: str, task: str, text: str = "uno") -> None:
    target = language if task == "transcribe" else "en"
    line = {"id": "1", "audio_filepath": "1.wav", "duration": 2.0, "text": text}
    line |= {"source_lang": language, "target_lang": target}
    path.write_text(json.dumps(line) + "\n" + json.dumps({**line, "id": "2"}) + "\n")


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    (tmp_path / "data").mkdir()
    for language in (*LANGUAGES, "el"):
        for task in TASKS:
            for split in ("train", "dev", "test"):
                write(tmp_path / "data" / f"{language}-{task}-{split}.jsonl", language, task)

    def plan(base: str = "sha256 of the base", **changes: Any) -> StudyPlan:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump({**STUDY, **changes}))
        study = load_study(path)
        data = StudyData([tmp_path / "data"])
        return make_study_plan(study, StudyJobs(study, data, Given("base", base), "float32"))

    return plan


def names(plan: StudyPlan, kind: str) -> list[str]:
    return [job.name for job in plan.jobs() if job.kind == kind]


def keys(plan: StudyPlan) -> set[str]:
    return {job.key for job in plan.jobs()}


def test_trainings_are_those_of_the_paper(planned: Planned) -> None:
    trained = names(planned(), "finetune")
    experts = [f"{language}-{task}" for task in TASKS for language in LANGUAGES]
    assert Counter(trained) == Counter([*experts, *(f"all-{task}" for task in TASKS), *LANGUAGES, "all"])


@pytest.mark.parametrize("method", ["task-arithmetic", "lors"])
def test_merges_are_those_of_the_paper(planned: Planned, method: str) -> None:
    merged = [name for name in names(planned(), "merge") if name.startswith(method)]
    assert Counter(merged) == Counter(
        f"{method} {scope}"
        for scope in (
            *(f"multilingual-merging {task}" for task in TASKS),
            *(f"multitask-merging {language}" for language in LANGUAGES),
            "joint-merging all",
            "multitask-training-multilingual-merging all",
            "multilingual-training-multitask-merging all",
        )
    )
    assert Counter(merged) == Counter(name for name in names(planned(), "tune") if name.startswith(method))


EXPERTS = {
    "multilingual-merging": {task: [f"{one}-{task}" for one in LANGUAGES] for task in TASKS},
    "multitask-merging": {one: [f"{one}-{task}" for task in TASKS] for one in LANGUAGES},
    "joint-merging": {"all": [f"{one}-{task}" for one, task in SCORED]},
    "multitask-training-multilingual-merging": {"all": list(LANGUAGES)},
    "multilingual-training-multitask-merging": {"all": [f"all-{task}" for task in TASKS]},
}


def test_every_row_is_scored_with_the_right_models(planned: Planned) -> None:
    rows = planned().rows
    assert Counter(row.setting for row in rows) == {one: 2 if one in EXPERTS else 1 for one in SETTINGS}
    for row in rows:
        assert set(row.cells) == set(SCORED)
        assert row.setting not in EXPERTS or set(row.models) == set(EXPERTS[row.setting])
        for (language, task), job in row.cells.items():
            assert job.kind == "evaluate"
            (data,) = job.inputs["data"]
            assert isinstance(data, Given) and data.path.endswith(f"/{language}-{task}-test.jsonl")
            (model,) = job.inputs["model"]
            if row.setting in EXPERTS:
                scope = next(one for one in (task, language, "all") if one in row.models)
                assert isinstance(model, Job) and model is row.models[scope]
                assert model.parameters["method"] == row.method
                experts = [one.name for one in model.inputs["experts"] if isinstance(one, Job)]
                assert experts == EXPERTS[row.setting][scope]
                (search,) = model.inputs["search"]
                assert isinstance(search, Job)
                on = {Path(one.path).name for one in search.inputs["dev"] if isinstance(one, Given)}
                languages = [scope] if scope in LANGUAGES else LANGUAGES
                tasks = [scope] if scope in TASKS else TASKS
                assert on == {f"{one}-{each}-dev.jsonl" for one in languages for each in tasks}
            elif row.setting == "pretrained":
                assert model == Given("base", "sha256 of the base")
            else:
                wanted = {
                    "finetuned": f"{language}-{task}",
                    "multilingual-training": f"all-{task}",
                    "multitask-training": language,
                    "joint-training": "all",
                }
                assert isinstance(model, Job) and model.name == wanted[row.setting]
                trained_on = {Path(one.path).name for one in model.inputs["train"] if isinstance(one, Given)}
                assert f"{language}-{task}-train.jsonl" in trained_on
                many = {
                    "finetuned": 1,
                    "multilingual-training": 5,
                    "multitask-training": 2,
                    "joint-training": 10,
                }
                assert len(trained_on) == many[row.setting]


def test_held_out_languages_are_scored_where_a_model_serves_any(planned: Planned) -> None:
    plan = planned(held_out=["el-transcribe"])
    for row in plan.rows:
        serves_any = row.setting not in ("finetuned", "multitask-training", "multitask-merging")
        assert (("el", "transcribe") in row.cells) == serves_any
        assert ("el", "translate") not in row.cells
    assert not any("el" in name.split("-") for name in names(plan, "finetune"))


def test_all_combinations_of_languages(planned: Planned) -> None:
    plan = planned(settings=["pretrained"], analyses={"number_of_languages": {"methods": ["lors"]}})
    rows = [row for row in plan.rows if row.analysis == "number-of-languages"]
    for setting in ("finetuned", "multilingual-training", "multilingual-merging"):
        chosen = [row.languages for row in rows if row.setting == setting]
        assert len(set(chosen)) == len(chosen) == 10 + 10 + 5 + 1
        assert Counter(map(len, chosen)) == {2: 10, 3: 10, 4: 5, 5: 1}
    assert len(names(plan, "finetune")) == 10 + 2 * 26
    assert len(names(plan, "merge")) == 2 * 26
    chosen_analysis = {"number_of_languages": {"methods": ["lors"], "training": False}}
    without = planned(settings=["pretrained"], analyses=chosen_analysis)
    assert len(names(without, "finetune")) == 10
    chosen_analysis["number_of_languages"]["tasks"] = ["translate"]
    translated = planned(settings=["pretrained"], analyses=chosen_analysis)
    assert len(names(translated, "finetune")) == 5 and len(names(translated, "merge")) == 26


def test_figure_5_prunes_each_expert_alone(planned: Planned) -> None:
    plan = planned(settings=["pretrained"], analyses={"redundancy": {"ratios": [0.1, 0.5]}})
    merges = [job for job in plan.jobs() if job.kind == "merge"]
    assert len(merges) == 2 * 2 * 5 and not names(plan, "tune")
    for job in merges:
        key = {"svp": "rank_ratio", "mp": "keep_ratio"}[job.parameters["method"]]
        assert set(job.parameters["fixed"]) == {"scale", key} and job.parameters["fixed"]["scale"] == 1.0
        assert len(job.inputs["experts"]) == 1


def test_an_analysis_of_one_set(planned: Planned) -> None:
    sets = {"a": {"languages": ["ca", "de"]}, "b": {"languages": ["es", "fr"]}}
    changes: dict[str, Any] = {"languages": None, "sets": sets, "settings": ["pretrained"]}
    plan = planned(**changes, analyses={"redundancy": {"ratios": [0.1], "sets": ["b"]}})
    assert {row.language_set for row in plan.rows if row.analysis == "redundancy"} == {"b"}
    assert sorted(names(plan, "finetune")) == ["es-transcribe", "fr-transcribe"]


def test_a_grid_changes_its_method_alone(planned: Planned) -> None:
    before, methods = keys(planned()), STUDY["methods"]
    after = planned(methods={**methods, "lors": {**methods["lors"], "scale": [0.1, 0.2, 0.3]}})
    new = [job for job in after.jobs() if job.key not in before]
    # 2 + 5 + 1 + 1 + 1 searches and merges, and the 10 cells of each of 5 settings.
    assert Counter(job.kind for job in new) == {"tune": 10, "merge": 10, "evaluate": 50}
    assert all("lors" in job.name for job in new)


def test_test_data_change_their_evaluations_alone(planned: Planned, tmp_path: Path) -> None:
    before = keys(planned())
    write(tmp_path / "data" / "fr-translate-test.jsonl", "fr", "translate", text="two")
    new = [job for job in planned().jobs() if job.key not in before]
    assert {job.kind for job in new} == {"evaluate"} and all(
        job.name.endswith(" on fr-translate") for job in new
    )
    assert len(new) == 5 + 2 * 5  # settings without merging, and those with for each of two methods


def test_training_data_change_what_depends_on_them(planned: Planned, tmp_path: Path) -> None:
    before = keys(planned())
    write(tmp_path / "data" / "fr-translate-train.jsonl", "fr", "translate", text="two")
    after = planned()
    new = {job.key for job in after.jobs() if job.key not in before}

    def depends(job: Job) -> bool:
        told = any(one.path.endswith("fr-translate-train.jsonl") for one in job.given())
        return told or any(map(depends, job.needs()))

    assert new == {job.key for job in after.jobs() if depends(job)}
    assert Counter(job.name for job in after.jobs() if job.key in new and job.kind == "finetune") == Counter(
        ["fr-translate", "all-translate", "fr", "all"]
    )
    merged = [job.name for job in after.jobs() if job.key in new and job.kind == "merge"]
    assert len(merged) == 2 * 5  # of each method all but transcription's and other languages'


def test_everything_depends_on_the_base(planned: Planned) -> None:
    assert not keys(planned()) & keys(planned(base="another sha256"))


def test_names_and_places_are_of_no_consequence(planned: Planned) -> None:
    assert keys(planned()) == keys(planned(name="other"))


def test_the_plan_has_no_cycle_and_no_two_jobs_with_one_place(planned: Planned) -> None:
    seen: set[str] = set()
    for job in planned().jobs():
        assert all(needed.key in seen for needed in job.needs())
        assert job.key not in seen
        seen.add(job.key)
    assert len({key[:24] for key in seen}) == len(seen)
