"""Half-made results are never believed."""

from pathlib import Path

from lors.study.jobs.job import Given, Job
from lors.study.jobs.store import Store

COST = {"seconds": 1.0, "processor_seconds": 2.0, "machine": "here"}


def jobs() -> tuple[Job, Job, Job]:
    trained = Job("finetune", "es", {"epochs": 1}, {"base": (Given("base", "b"),)})
    merged = Job("merge", "all", {}, {"experts": (trained,)}, temporary=True)
    return trained, merged, Job("evaluate", "all on es", {}, {"model": (merged,)})


def test_an_output_without_its_record_is_not_done(tmp_path: Path) -> None:
    store, (trained, merged, scored) = Store(tmp_path), jobs()
    store.output(trained).mkdir(parents=True)
    (store.output(trained) / "model.safetensors").write_bytes(b"half")
    assert not store.is_done(trained)
    assert store.missing([scored]) == [trained, merged, scored]
    # What a process leaves that is killed while it writes the record.
    (store.folder(trained) / ".job.json.partial-1").write_text("{")
    assert not store.is_done(trained)
    store.finish(trained, COST)
    assert store.is_done(trained) and store.record(trained)["seconds"] == 1.0
    assert store.missing([scored]) == [merged, scored]


def test_a_result_that_is_done_needs_no_inputs_any_more(tmp_path: Path) -> None:
    store, (trained, merged, scored) = Store(tmp_path), jobs()
    for job in (trained, merged, scored):
        store.work_folder(job).mkdir(parents=True)
        store.finish(job, COST)
    store.remove(merged)
    assert not store.folder(merged).exists()
    assert store.missing([scored]) == []
    store.remove(scored)
    assert store.missing([scored]) == [merged, scored]


def test_jobs_of_one_request_share_a_place_and_others_do_not(tmp_path: Path) -> None:
    store, first, second = Store(tmp_path), jobs(), jobs()
    assert [store.output(job) for job in first] == [store.output(job) for job in second]
    other = Job("finetune", "es", {"epochs": 2}, {"base": (Given("base", "b"),)})
    moved = Job("finetune", "another name", {"epochs": 1}, {"base": (Given("/elsewhere", "b"),)})
    changed = Job("finetune", "es", {"epochs": 1}, {"base": (Given("base", "c"),)})
    assert store.folder(moved) == store.folder(first[0])
    assert len({store.folder(job) for job in (first[0], other, changed)}) == 3
