"""`--learning-rate auto`: short fine-tunings compete on the dev loss, and the better half goes on.

Each is begun anew with twice the steps of the round before, not continued: the rate falls to zero over the steps of
a fine-tuning, so that only a whole one, however short, is judged as the real one will be. Seven rates take about
three epochs in all, more where an epoch has fewer than 32 steps.
"""

import io
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json, write_json
from lors.base.progress import say
from lors.speech.finetuning_files import hold_lock, last_step
from lors.speech.finetuning_settings import differences
from lors.speech.learning_rates import Losses, Round, asked_for, better_half, budgets, rounds_so_far
from lors.speech.manifest import read_manifest, write_manifest
from lors.speech.training_callbacks import DivergedError
from lors.speech.window import POSITIONS_PER_SECOND

if TYPE_CHECKING:
    from lors.speech.finetuning import FinetuneResult
    from lors.speech.finetuning_inputs import Inputs
    from lors.speech.finetuning_plan import Plan

DEV_CLIPS = 128
"""Clips on which the race measures the dev loss at most; of more, so many are drawn by the seed."""

_STATE = "race.json"
_LOCK = "lock"


def hold_race(
    plan: "Plan", inputs: "Inputs", run: Callable[..., "FinetuneResult"], overwrite: bool
) -> dict[str, Any]:
    """Choose one of `plan.rates`; what was measured before an interruption is not measured again.

    Everything stands in `OUT.race` until the caller removes it with `remove_race`.

    Args:
        plan: of the fine-tuning that the rate is for.
        inputs: its data.
        run: `finetune` with all arguments of that fine-tuning, to which those that differ are given.
        overwrite: replace an unfinished race, or an unfinished fine-tuning, of other settings.

    Returns:
        For `finetune.json`: {"asked", "learning_rate", "at_edge", "base_dev_loss", "dev_clips", "rounds",
        "results"}; a result is {"round", "learning_rate", "steps", "dev_loss"}, the loss in nats per label (the
        lowest at the ends of its epochs) or None where it was no number.

    Raises:
        UsageError: `OUT.race` or `OUT.partial` are of other settings, and `overwrite` is false.
        LorsError: every rate diverged, another process is at it; and as `run`.
    """
    folder = _folder(plan.out)
    folder.mkdir(parents=True, exist_ok=True)
    steps = _steps(plan, inputs)
    with (folder / _LOCK).open("w") as lock:
        hold_lock(lock, folder)
        state: dict[str, Any] = {}
        try:
            state = _begin(plan, steps, overwrite)
            dev, dev_clips = _dev_data(plan, folder)
            once = _Once()
            while True:
                rounds, complete = rounds_so_far(plan.rates, steps, _losses(state))
                if complete:
                    break
                held = rounds[-1]
                say(
                    f"Learning rates, round {len(rounds)} of {len(steps)}: {_list(held.rates)}, {held.steps} steps "
                    f"each, dev loss of {dev_clips} clips"
                )
                for rate in held.rates:
                    _measure(plan, rate, held.steps, dev, state, run, once)
        except BaseException:
            if not _losses(state) and {path.name for path in folder.iterdir()} <= {_LOCK, _STATE}:
                shutil.rmtree(folder, ignore_errors=True)
            raise
    return _decide(plan, rounds, state, dev_clips)


def finished_race(plan: "Plan", inputs: "Inputs") -> dict[str, Any] | None:
    """What `hold_race` would return without a step of training: that of a race that was held before, else None."""
    state = _folder(plan.out) / _STATE
    if not state.is_file():
        return None
    found = read_json(state)
    rounds, complete = rounds_so_far(plan.rates, _steps(plan, inputs), _losses(found))
    if differences(found["job"], plan.job) or not complete:
        return None
    return _decide(plan, rounds, found, min(DEV_CLIPS, len(inputs.dev)))


def remove_race(out: Path) -> None:
    """Remove `OUT.race`: its results stand in the expert's `finetune.json`."""
    folder = _folder(out)
    if (folder / _STATE).is_file():
        shutil.rmtree(folder, ignore_errors=True)


def describe_race(plan: "Plan", inputs: "Inputs") -> list[str]:
    """In lines: the rates, the rounds and their steps."""
    lines = []
    left, total = len(plan.rates), 0
    steps = _steps(plan, inputs)
    for number, budget in enumerate(steps, 1):
        lines.append(
            f"Learning rates, round {number} of {len(steps)}: {left} rates, {budget} steps each"
            + (f" ({_list(plan.rates)})" if number == 1 else "")
        )
        total += left * budget
        left = math.ceil(left / 2)
    clips = min(DEV_CLIPS, len(inputs.dev))
    return [*lines, f"Learning rates, all rounds: {total} steps; dev loss of {clips} clips"]


def _folder(out: Path) -> Path:
    return out.parent / f"{out.name}.race"


def _steps(plan: "Plan", inputs: "Inputs") -> list[int]:
    return budgets(len(plan.rates), *plan.settings.steps(len(inputs.train)))


def _losses(state: Mapping[str, Any]) -> Losses:
    return {(of["learning_rate"], of["steps"]): of["dev_loss"] for of in state.get("measured", [])}


def check_race(plan: "Plan", overwrite: bool) -> dict[str, Any]:
    """What `OUT.race` holds of this very race; {} for nothing. Writes nothing.

    Raises:
        UsageError: it holds something else, and `overwrite` is false.
    """
    folder = _folder(plan.out)
    if not folder.is_dir() or all(
        path.name == _LOCK or path.name.startswith(".") for path in folder.iterdir()
    ):
        return {}
    state = read_json(folder / _STATE) if (folder / _STATE).is_file() else {}
    changed = differences(state["job"], plan.job) if state else ["its origin"]
    if changed and not overwrite:
        raise UsageError(
            f"{folder}: holds an unfinished search for the learning rate that differs ({'; '.join(changed)}); give "
            "the same settings to go on with it, or pass --overwrite to start anew."
        )
    return {} if changed else dict(state)


def _begin(plan: "Plan", steps: list[int], overwrite: bool) -> dict[str, Any]:
    folder = _folder(plan.out)
    state = check_race(plan, overwrite)
    if not rounds_so_far(plan.rates, steps, _losses(state))[1]:
        last_step(plan.out, plan.job, overwrite)  # refuses an unfinished fine-tuning of other settings
    if state:
        return state
    for path in folder.iterdir():
        if path.name != _LOCK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    state = {"job": plan.job, "base_dev_loss": None, "measured": []}
    write_json(folder / _STATE, state)
    return state


def _dev_data(plan: "Plan", folder: Path) -> tuple[tuple[Path, ...], int]:
    """The dev manifests, or a seeded draw from those of their clips that fit the window; and how many clips."""
    seconds = plan.settings.window / POSITIONS_PER_SECOND
    clips = [
        (number, utterance)
        for number, path in enumerate(plan.dev, 1)
        for utterance in read_manifest(path)
        if utterance.duration <= seconds
    ]
    if len(clips) <= DEV_CLIPS:
        return plan.dev, len(clips)
    order = np.random.default_rng(plan.settings.seed).permutation(len(clips))[:DEV_CLIPS]
    drawn = [clips[place] for place in sorted(order)]
    manifests = {number: folder / f"dev-{number}.jsonl" for number, _ in drawn}
    for number, path in manifests.items():
        write_manifest(path, [utterance for of, utterance in drawn if of == number])
    return tuple(manifests.values()), len(drawn)


def _measure(
    plan: "Plan",
    rate: float,
    steps: int,
    dev: tuple[Path, ...],
    state: dict[str, Any],
    run: Callable[..., "FinetuneResult"],
    once: "_Once",
) -> None:
    """Fine-tune at one rate unless that was done, and add its dev loss to the state on the disk."""
    if (rate, steps) in _losses(state):
        return
    folder = _folder(plan.out)
    place = folder / f"{steps}-steps-at-{rate:g}"
    loss = None
    try:
        with once.to_standard_error():
            result = run(learning_rate=rate, max_steps=steps, dev=dev, out=place, overwrite=True, reuse=True)
        losses = [float(of["loss"]) for of in result.dev_losses if of["step"] > 0]
        loss = min((loss for loss in losses if math.isfinite(loss)), default=None)
        state["base_dev_loss"] = result.dev_losses[0]["loss"]
    except DivergedError:
        pass
    state["measured"].append({"learning_rate": rate, "steps": steps, "dev_loss": loss})
    write_json(folder / _STATE, state)
    for path in (place, place.with_name(f"{place.name}.partial")):
        shutil.rmtree(path, ignore_errors=True)
    say(f"Learning rate {rate:g}: " + ("diverged" if loss is None else f"dev loss {loss:.4f}"))


def _decide(plan: "Plan", rounds: list[Round], state: Mapping[str, Any], dev_clips: int) -> dict[str, Any]:
    losses = _losses(state)
    last = rounds[-1]
    best = better_half({rate: losses[rate, last.steps] for rate in last.rates})
    if not best:
        raise LorsError(
            f"the loss is no longer a number at any of the learning rates {_list(plan.rates)}; choose from lower ones, "
            "as --learning-rate auto:1e-9,1e-8,1e-7, and look at the data."
        )
    chosen = best[0]
    edge = {plan.rates[0]: "lowest", plan.rates[-1]: "highest"}.get(chosen)
    return {
        "asked": asked_for(plan.rates),
        "learning_rate": chosen,
        "at_edge": edge,
        "base_dev_loss": state["base_dev_loss"],
        "dev_clips": dev_clips,
        "rounds": [{"rates": list(of.rates), "steps": of.steps} for of in rounds],
        "results": [
            {"round": number, "learning_rate": rate, "steps": of.steps, "dev_loss": losses[rate, of.steps]}
            for number, of in enumerate(rounds, 1)
            for rate in of.rates
        ],
    }


def describe_choice(race: Mapping[str, Any]) -> Iterator[str]:
    """In lines: the rate chosen, and what casts doubt on it."""
    chosen = race["learning_rate"]
    loss = next(of["dev_loss"] for of in reversed(race["results"]) if of["learning_rate"] == chosen)
    yield (
        f"Learning rate chosen: {chosen:g} (dev loss {loss:.4f} in the last round, {race['base_dev_loss']:.4f} "
        "before training)"
    )
    if edge := race["at_edge"]:
        beyond = chosen / 10 if edge == "lowest" else min(chosen * 10, 0.5)
        yield (
            f"Warning: the best rate is the grid's {edge}; a better one may lie beyond it: "
            f"--learning-rate {asked_for(sorted((chosen, beyond)))}"
        )
    if loss >= race["base_dev_loss"]:
        yield "Warning: no rate lowers the dev loss of the untouched model; are training and dev data alike?"


def _list(rates: tuple[float, ...]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)


class _Once(io.TextIOBase):
    """Passes on each text to standard error the first time only: all runs of a race describe the same data."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._target: TextIO = sys.stderr

    @contextmanager
    def to_standard_error(self) -> Iterator[None]:
        self._target = sys.stderr
        with redirect_stderr(self):
            yield

    def write(self, text: str) -> int:
        if text not in self._said:
            self._said.add(text)
            self._target.write(text)
            self._target.flush()
        return len(text)
