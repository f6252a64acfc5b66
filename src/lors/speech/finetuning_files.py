"""The directories of a fine-tuning: `OUT.partial` while it runs, `OUT` when it is done."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch

from lors.base.errors import LorsError, UsageError
from lors.base.files import (
    read_json,
    refuse_existing,
    replace_directory,
    require_free_space,
    sync_tree,
    write_json,
    write_text,
)
from lors.checkpoints.card import model_card
from lors.checkpoints.lora import is_adapter, open_adapter
from lors.checkpoints.read import Checkpoint, open_checkpoint
from lors.checkpoints.write import TensorWriter, copy_side_files
from lors.speech.adapter import adapter_card, copy_adapter
from lors.speech.finetuning_settings import differences
from lors.speech.learning_rate_chart import PICTURE, draw_race
from lors.speech.learning_rates import job_as_asked
from lors.speech.processes import rank, wait_for_all
from lors.speech.training import TIED, remove_checkpoints, sealed_checkpoints
from lors.speech.window import POSITIONS_PER_SECOND

RECORD = "finetune.json"

_JOB = "settings.json"
_LOCK = "lock"
_COPIES_OF_THE_WEIGHTS_IN_A_CHECKPOINT = 3  # the weights themselves, and Adam's two averages


def finished_run(
    out: Path, job: Mapping[str, Any], overwrite: bool, reuse: bool, base: Checkpoint
) -> dict[str, Any] | None:
    """The record of a finished run in `out` that may stand for this one; None where the run is to be done.

    Raises:
        UsageError: `out` holds something else and may not be overwritten.
    """
    record = out / RECORD
    if not reuse or not record.is_file():
        refuse_existing(out, overwrite)
        return None
    found = read_json(record)
    changed = differences(job_as_asked(found, job), job)
    if not changed:
        open_adapter(out, base) if is_adapter(out) else open_checkpoint(out)
        return dict(found)
    if not overwrite:
        raise UsageError(
            f"{out}: was made otherwise ({'; '.join(changed)}); name another output, or pass --overwrite to "
            "replace it."
        )
    return None


def last_step(out: Path, job: Mapping[str, Any], overwrite: bool) -> int:
    """The step after which this job would go on in `OUT.partial`; 0 where it would begin. Writes nothing.

    Raises:
        UsageError: `OUT.partial` belongs to another job, and `overwrite` is false.
    """
    work = out.parent / f"{out.name}.partial"
    there = work.is_dir() and any(p.name != _LOCK and not p.name.startswith(".") for p in work.iterdir())
    if not there or _is_other_run(work, job, overwrite):
        return 0
    return max(sealed_checkpoints(work), default=0)


def _is_other_run(work: Path, job: Mapping[str, Any], overwrite: bool) -> bool:
    changed = differences(read_json(work / _JOB), job) if (work / _JOB).is_file() else ["its origin"]
    if changed and not overwrite:
        raise UsageError(
            f"{work}: holds an unfinished run that differs ({'; '.join(changed)}); give the same "
            "settings to go on with it, or pass --overwrite to start anew."
        )
    return bool(changed)


@contextmanager
def work_directory(out: Path, job: Mapping[str, Any], overwrite: bool) -> Iterator[Path]:
    """Yield `OUT.partial`, new or left by a run of the same job that was interrupted.

    All checkpoints in it are whole. After an error it stays only if it holds one to go on from; after success it
    is removed. Of several processes that train together the first alone does this.

    Raises:
        UsageError: it belongs to another job, and `overwrite` is false.
        LorsError: another process is working in it.
    """
    work = out.parent / f"{out.name}.partial"
    if rank():
        wait_for_all()
        yield work
        return
    work.mkdir(parents=True, exist_ok=True)
    with (work / _LOCK).open("w") as lock:
        hold_lock(lock, work)
        # A hidden file is one that was being written when the process was killed.
        others = [path for path in work.iterdir() if path.name != _LOCK and not path.name.startswith(".")]
        if others and _is_other_run(work, job, overwrite):
            for path in others:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_json(work / _JOB, job)
        remove_checkpoints(work, keep=set(sealed_checkpoints(work)))
        wait_for_all()
        try:
            yield work
        except BaseException:
            if not sealed_checkpoints(work):
                shutil.rmtree(work, ignore_errors=True)
            raise
        shutil.rmtree(work, ignore_errors=True)


def require_space(out: Path, parameters: int, checkpoints: int) -> None:
    """Raise LorsError unless the disk has room for so many checkpoints at once, and for the result.

    Args:
        parameters: how many numbers are trained and kept, in float32.
    """
    weights = 4 * parameters
    work = out.parent / f"{out.name}.partial"
    there = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    needed = (checkpoints * _COPIES_OF_THE_WEIGHTS_IN_A_CHECKPOINT + 1) * weights
    require_free_space(out, max(0, needed - there))


def write_expert(weights: Path, base: Checkpoint, work: Path, out: Path, record: dict[str, Any]) -> None:
    """Make `out`: the weights of a checkpoint under the base's tensor names, and the base's other files.

    Of a LoRA run it is the adapter alone, which needs its base.
    """
    result = work / "result"
    shutil.rmtree(result, ignore_errors=True)
    result.mkdir()
    if is_adapter(weights):
        copy_adapter(weights, result)
        name = record["base"]["name"]
        _write_record(result, record)
        write_text(result / "README.md", adapter_card(record, [name] if _is_hub_id(name) else []))
        sync_tree(result)
        replace_directory(result, out)
        return
    copy_side_files(base.directory, result)
    _state_float32(result / "config.json")
    trained = open_checkpoint(weights)
    infos = {name: ("F32", info.shape) for name, info in base.tensors.items()}
    with TensorWriter(result / "model.safetensors", infos, {}) as writer:
        for name in infos:
            writer.write(name, trained.read(_EMBEDDING if name == TIED else name).to(torch.float32))
    _write_record(result, record)
    write_text(result / "README.md", _card(result, record))
    sync_tree(result)
    replace_directory(result, out)


_EMBEDDING = "model.decoder.embed_tokens.weight"


def _state_float32(config: Path) -> None:
    content = read_json(config)
    stated = [key for key in ("dtype", "torch_dtype") if content.get(key) not in (None, "float32")]
    if stated:
        write_json(config, {**content, **dict.fromkeys(stated, "float32")})


def hold_lock(lock: IO[str], work: Path) -> None:
    """Lock the open file until it is closed; LorsError where another process holds it."""
    with suppress(ImportError):  # Windows has no such locks
        import fcntl

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LorsError(
                f"{work}: another process is fine-tuning into it; wait for it, or stop it."
            ) from None


def _write_record(result: Path, record: Mapping[str, Any]) -> None:
    write_json(result / RECORD, record)
    (result / PICTURE).unlink(missing_ok=True)  # of a base that was fine-tuned itself
    if race := record.get("learning_rate_race"):
        draw_race(race, result / PICTURE)


def _card(directory: Path, record: Mapping[str, Any]) -> str:
    job, base = record["job"], record["base"]["name"]
    settings = job["settings"]
    window, batch = settings["window"], settings["batch_size"] * settings["gradient_accumulation"]
    mixture = "\n".join(
        f"| {group} | {of['clips']} | {of['minutes']:.1f} |" for group, of in record["train_groups"].items()
    )
    steps = f"Weights after step {record['kept_step']} of {record['steps']}"
    if record["dev_losses"]:
        best = next(x for x in record["dev_losses"] if x["step"] == record["kept_step"])
        steps += f", the one of lowest dev loss ({best['loss']:.4f} nats a token)"
    body = f"""# {record["name"]}

Whisper fine-tuned from `{base}`, all parameters, by LoRS {record["versions"]["lors"]}.
The sha256 of the base's weights is `{job["base"]}`.

| language and task | clips | minutes |
|---|---|---|
{mixture}

{steps}.
Learning rate {settings["learning_rate"]:g} with linear decay, {batch} clips a step, encoder window {window}
positions ({window / POSITIONS_PER_SECOND:g} s). All settings, digests of the data and losses are in `{RECORD}`."""
    return model_card(directory, [base] if _is_hub_id(base) else [], ["lors"], body)


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()
