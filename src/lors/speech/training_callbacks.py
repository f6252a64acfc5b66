"""What happens beside training: progress for the user, a stop when it diverges, a checkpoint now and then."""

import math
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lors.base.errors import LorsError
from lors.base.progress import say
from lors.speech.processes import of_all
from lors.speech.training import sealed_checkpoints

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_CHECKPOINTS = 300.0


class ShowProgress(TrainerCallback):  # type: ignore[misc]
    """Steps, loss and time left on standard error: a bar on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._first_step = 0
        self._start = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._first_step = state.global_step
        self._start = self._last_line = time.monotonic()
        if not sys.stderr.isatty():
            return
        columns = (
            TextColumn("Training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps, loss {task.fields[loss]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._bar.add_task("", total=state.max_steps, completed=state.global_step, loss="-")
        self._bar.start()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        loss = f"{logs['loss']:.3f}"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=state.global_step, loss=loss)
            return
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES and state.global_step < state.max_steps:
            self._last_line = now
            done = state.global_step - self._first_step
            left = (now - self._start) / done * (state.max_steps - state.global_step)
            say(f"Training: {state.global_step}/{state.max_steps} steps, loss {loss}, {left:.0f} s left")

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        metrics = metrics or {}
        groups = [
            f"{name.removeprefix('eval_loss_')} {loss:.4f}" for name, loss in metrics.items() if "-" in name
        ]
        each = f" ({', '.join(groups)})" if len(groups) > 1 else ""
        when = f"after epoch {state.epoch:.4g}" if state.global_step else "before training"
        line = f"Dev loss {when}: {metrics['eval_loss']:.4f}{each}"
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            say(line)


class DivergedError(LorsError):
    """A loss or a gradient is no longer a number."""


class StopWhenDiverged(TrainerCallback):  # type: ignore[misc]
    """Ends training at the first loss or gradient that is no number, before that state can be saved."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        logs = logs or {}
        for name, what in (("loss", "loss"), ("grad_norm", "gradient")):
            if not math.isfinite(logs.get(name, 0.0)):
                kept = max(sealed_checkpoints(Path(args.output_dir)), default=None)
                where = f" (the checkpoint of step {kept} is kept in {args.output_dir})" if kept else ""
                raise DivergedError(
                    f"step {state.global_step}: the {what} is no longer a number at learning rate "
                    f"{args.learning_rate:g}{where}; train with a lower --learning-rate and --overwrite."
                )


class SaveNowAndThen(TrainerCallback):  # type: ignore[misc]
    """Asks for a checkpoint between the ends of epochs: every so many steps, or about every five minutes.

    Args:
        save_steps: how many steps; None for the clock.
        steps_per_epoch: at an epoch's end one is saved in any case.
    """

    def __init__(self, save_steps: int | None, steps_per_epoch: int) -> None:
        self._save_steps = save_steps
        self._steps_per_epoch = steps_per_epoch
        self._last = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step % self._steps_per_epoch == 0 or state.global_step >= state.max_steps:
            return
        if self._save_steps is None:
            due = of_all(time.monotonic() - self._last >= _SECONDS_BETWEEN_CHECKPOINTS)[0]
        else:
            due = state.global_step % self._save_steps == 0
        control.should_save = control.should_save or due

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._last = time.monotonic()
