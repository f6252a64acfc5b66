"""Learning rates to choose from, and the rounds in which successive halving chooses one."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lors.base.errors import UsageError

AUTO = "auto"

GRID = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4)
"""Three decades around what is usual for Whisper: 1e-5, and the 2e-8 to 1e-5 of the paper's Tables 5 and 6."""

SHARE_OF_AN_EPOCH = 1 / 8
"""How much of an epoch each rate of the first round sees."""

FEWEST_STEPS = 4
"""Steps of the optimiser that the first round has at least."""

Losses = Mapping[tuple[float, int], float | None]
"""The dev loss of a rate after so many steps, nats per label; None where it was no number."""


@dataclass(frozen=True)
class Round:
    """Rates that are compared, each after as many steps of a fine-tuning that is begun anew."""

    rates: tuple[float, ...]
    steps: int


def parse_learning_rate(given: float | str | None, lora: bool = False) -> float | tuple[float, ...] | None:
    """A number as it is; the rates to choose from, rising, for "auto" or a list as "auto:1e-6,1e-5,1e-4".

    For a LoRA adapter "auto" is the grid times ten, as its default is ten times that of training all.

    Raises:
        UsageError: another word, a rate that is no number above 0 and below 1, fewer than two different rates.
    """
    if given is None or isinstance(given, float | int):
        return given
    word, colon, listed = given.partition(":")
    if word.strip() != AUTO:
        try:
            return float(given)
        except ValueError:
            raise UsageError(
                f"learning rate '{given}': expected a number, as 1e-5, or the word auto for a search on the dev data."
            ) from None
    if not colon:
        return tuple(float(f"{10 * rate:g}") for rate in GRID) if lora else GRID
    try:
        rates = sorted({float(text) for text in listed.split(",")})
    except ValueError:
        rates = []
    if len(rates) < 2 or not all(0 < rate < 1 for rate in rates):
        raise UsageError(
            f"learning rate '{given}': expected two or more different rates between 0 and 1 after 'auto:', with "
            "commas, as auto:1e-6,1e-5,1e-4."
        )
    return tuple(rates)


def asked_for(rates: Iterable[float]) -> str:
    """What asks for a choice among these rates, as "auto:1e-06,1e-05"."""
    return f"{AUTO}:{','.join(f'{rate:g}' for rate in rates)}"


def job_as_asked(record: Mapping[str, Any], job: Mapping[str, Any]) -> Mapping[str, Any]:
    """The job of a finished run's record in the terms of `job`: with the rates that it chose from, if it did."""
    found = record.get("job", {})
    race = record.get("learning_rate_race")
    if race and isinstance(job.get("settings", {}).get("learning_rate"), str):
        return {**found, "settings": {**found["settings"], "learning_rate": race["asked"]}}
    return found


def budgets(rates: int, steps_per_epoch: int, all_steps: int) -> list[int]:
    """Steps of each round: an eighth of an epoch (4 steps at least), then twice the round before.

    There are ceil(log2(rates)) rounds, as each leaves half of its rates, rounded up. None is longer than the
    whole fine-tuning.

    Examples:
        >>> budgets(7, steps_per_epoch=100, all_steps=1000)
        [13, 26, 52]
        >>> budgets(2, steps_per_epoch=8, all_steps=3)
        [3]
    """
    first = max(FEWEST_STEPS, math.ceil(steps_per_epoch * SHARE_OF_AN_EPOCH))
    return [min(first * 2**number, all_steps) for number in range(math.ceil(math.log2(rates)))]


def better_half(losses: Mapping[float, float | None]) -> tuple[float, ...]:
    """The half of the rates (rounded up) whose losses are lowest, rising; of equals the lower rate.

    A rate without a loss is never among them, so that fewer may be left, or none.
    """
    measured = sorted((loss, rate) for rate, loss in losses.items() if loss is not None)
    return tuple(sorted(rate for _, rate in measured[: math.ceil(len(losses) / 2)]))


def rounds_so_far(rates: Sequence[float], steps: Sequence[int], losses: Losses) -> tuple[list[Round], bool]:
    """The rounds whose rates are known from the losses measured, and whether the last of them is complete.

    A round is not held where only one rate is left, or none.
    """
    rounds: list[Round] = []
    contenders = tuple(rates)
    for budget in steps:
        if len(contenders) < 2:
            break
        rounds.append(Round(contenders, budget))
        if any((rate, budget) not in losses for rate in contenders):
            return rounds, False
        contenders = better_half({rate: losses[rate, budget] for rate in contenders})
    return rounds, True
