"""The pictures of a search: the curve with how flat its optimum is, and the front against held-out languages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lors.base.pictures import COLOURS, new_figure, write_picture
from lors.study.tuning.report import shown, unit
from lors.study.tuning.trial import AGAINST, DIFFER

if TYPE_CHECKING:
    from lors.study.tuning.trial import Trial
    from lors.study.tuning.tune import Tuning

_COLOURS = (*COLOURS, "#000000")


def draw_curve(tuning: "Tuning", path: Path) -> None:
    """Write a PNG: the score against λ (else the first key), a line for each combination of the other values.

    The first look and the full beam have a panel each where they measure different things; the band is the best
    one's 95 % interval: what lies in it the data cannot tell from the best.
    """
    looks: dict[str, list[Trial]] = {}
    for trial in (trial for trial in tuning.trials if trial.look != DIFFER):
        looks.setdefault("loss" if trial.look == "loss" else "decoded", []).append(trial)
    figure = new_figure(6.5 * len(looks), 4.5)
    for place, trials in enumerate(looks.values(), start=1):
        axes = figure.add_subplot(1, len(looks), place)
        _draw_look(axes, trials, tuning)
        axes.spines[["top", "right"]].set_visible(False)
    write_picture(figure, path)


def draw_front(tuning: "Tuning", path: Path) -> None:
    """Write a PNG: the objective against what is lost on held-out languages, and the Pareto front of the two."""
    trials = [trial for trial in tuning.trials if trial.retention is not None]
    figure = new_figure(6.5, 4.5)
    axes: Any = figure.add_subplot()
    for trial in trials:
        assert (
            trial.retention is not None
            and trial.retention_low is not None
            and trial.retention_high is not None
        )
        refused = trial.values in tuning.refused
        axes.errorbar(
            [trial.retention],
            [trial.value],
            [[trial.value - trial.low], [trial.high - trial.value]],
            [[trial.retention - trial.retention_low], [trial.retention_high - trial.retention]],
            color="0.65" if refused else _COLOURS[0],
            marker="x" if refused else "o",
            elinewidth=0.6,
            capsize=2,
        )
        axes.annotate(
            _text(trial.values),
            (trial.retention, trial.value),
            fontsize=7,
            xytext=(4, 4),
            textcoords="offset points",
        )
    front = pareto_front(trials)
    axes.plot(
        [trial.retention for trial in front],
        [trial.value for trial in front],
        color=_COLOURS[5],
        drawstyle="steps-post",
        linewidth=1,
        label="not bettered in both (Pareto front)",
    )
    axes.axvline(0, color="0.4", linestyle=":", label=AGAINST["pretrained"])
    axes.set_xlabel("held-out languages, change against the pretrained model, % (right is worse)")
    axes.set_ylabel(f"development data: {unit(tuning.best)}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    write_picture(figure, path)


def pareto_front(trials: Sequence["Trial"]) -> list["Trial"]:
    """Those that no other is better than in one of objective and retention without being worse in the other."""
    front: list[Trial] = []
    for trial in sorted(trials, key=lambda trial: (trial.retention, trial.cost)):
        if not front or trial.cost < front[-1].cost:
            front.append(trial)
    return front


def _draw_look(axes: Any, trials: Sequence["Trial"], tuning: "Tuning") -> None:
    keys = list(tuning.best.values)
    across = "scale" if "scale" in keys else keys[0]
    lines: dict[tuple[str, int], list[Trial]] = {}
    for trial in trials:
        lines.setdefault((_others(trial.values, across), trial.beam_size), []).append(trial)
    names = list(dict.fromkeys(_others(trial.values, across) for trial in tuning.trials))
    deciding = max(beam for _, beam in lines)
    best = min((t for t in trials if t.beam_size == deciding), key=lambda trial: (-trial.n, trial.cost))
    if trials[0].look != "loss":
        best = tuning.best
    axes.axhspan(best.low, best.high, color="0.93", zorder=0, label="the best one's interval")
    for (name, beam), line in lines.items():
        if all(isinstance(trial.values[across], int | float) for trial in line):
            line = sorted(line, key=lambda trial: float(trial.values[across]))
        decides = beam == deciding
        axes.errorbar(
            [_place(trial.values[across]) for trial in line],
            [trial.value for trial in line],
            [[trial.value - trial.low for trial in line], [trial.high - trial.value for trial in line]],
            color=_COLOURS[names.index(name) % len(_COLOURS)],
            alpha=1 if decides else 0.45,
            marker="o" if decides else ".",
            linestyle="none" if decides and beam and len(tuning.trials) > len(line) else "-",
            linewidth=1.2,
            elinewidth=0.8,
            capsize=2,
            label=", ".join(part for part in (name, f"beam {beam}" if beam else "") if part) or "candidates",
        )
    base = tuning.pretrained
    if trials[0].look != "loss":
        axes.axhline(base.value, color="0.4", linestyle=":", label=AGAINST["pretrained"])
    if trials[0].metric == "relative" and (base.against == "experts" or trials[0].look == "loss"):
        axes.axhline(
            0.0,
            color="0.4",
            linestyle=":" if base.against == "pretrained" else "--",
            label=AGAINST[base.against],
        )
    tried = [_place(trial.values[across]) for trial in tuning.trials]
    if all(isinstance(value, int | float) for value in tried) and min(tried) < max(tried):
        margin = 0.05 * (max(tried) - min(tried))
        axes.set_xlim(min(tried) - margin, max(tried) + margin)  # the same in both panels
    axes.set_xlabel("λ" if across == "scale" else across)
    axes.set_ylabel(unit(trials[0]))
    axes.set_title(f"Development data, n = {best.n}; bars: 95 % intervals", loc="left", fontsize=10)
    if len(lines) <= 2 * len(_COLOURS):
        axes.legend(frameon=False, fontsize=7)


def _others(values: Mapping[str, Any], across: str) -> str:
    return ", ".join(f"{key} {shown(value)}" for key, value in values.items() if key != across)


def _text(values: Mapping[str, Any]) -> str:
    return " ".join(f"{'λ' if key == 'scale' else key} {shown(value)}" for key, value in values.items())


def _place(value: Any) -> Any:
    return value if isinstance(value, int | float) else str(value)
