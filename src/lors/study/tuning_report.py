"""What a search over merges shows: a table of its trials, and the curve."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lors.base.cache import cache_directory
from lors.base.files import atomic_file

if TYPE_CHECKING:
    from lors.study.tuning import Trial, Tuning

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")


def trials_table(tuning: "Tuning") -> str:
    """Markdown: every trial with its interval, the best at the top of its beam, and what each number is."""
    keys = list(tuning.best.values)
    lines = [
        f"| {' | '.join(keys)} | beam | {tuning.best.metric.upper()} (95 % interval) | loops |",
        f"|{'--:|' * (len(keys) + 3)}",
    ]
    order = sorted(tuning.trials, key=lambda trial: (-trial.beam_size, trial.cost))
    for trial in [*order, tuning.pretrained]:
        cells = [_shown(trial.values[key]) if trial.values else "pretrained" for key in keys]
        score = f"{trial.value:.2f} ({trial.low:.2f}–{trial.high:.2f})"
        bold = f"**{score}**" if trial == tuning.best else score
        lines.append(f"| {' | '.join(cells)} | {trial.beam_size} | {bold} | {trial.loops} |")
    notes = (
        f"n = {tuning.best.n}. As good within its interval: {as_good(tuning)}.\n\n`{tuning.best.signature}`"
    )
    return "\n".join(lines) + f"\n\n{notes}\n"


def as_good(tuning: "Tuning") -> str:
    """In words: which of the short list the data cannot tell from the best."""
    return "; ".join(
        ", ".join(f"{key} {_shown(value)}" for key, value in values.items()) for values in tuning.as_good
    )


def draw_curve(tuning: "Tuning", path: Path) -> None:
    """Write a PNG: the score against λ (else the first key), a line for each combination of the other values."""
    os.environ.setdefault("MPLCONFIGDIR", str(cache_directory() / "matplotlib"))
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(tuning.best.values)
    across = "scale" if "scale" in keys else keys[0]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    lines: dict[tuple[str, int], list[Trial]] = {}
    for trial in tuning.trials:
        lines.setdefault((_others(trial.values, across), trial.beam_size), []).append(trial)
    names = list(dict.fromkeys(name for name, _ in lines))
    beams = sorted({beam for _, beam in lines})
    for (name, beam), trials in lines.items():
        decided = beam == beams[-1]
        axes.errorbar(
            [_place(trial.values[across]) for trial in trials],
            [trial.value for trial in trials],
            [[trial.value - trial.low for trial in trials], [trial.high - trial.value for trial in trials]],
            color=_COLOURS[names.index(name) % len(_COLOURS)],
            alpha=1 if decided else 0.45,
            marker="o" if decided else ".",
            linestyle="none" if decided and len(beams) > 1 else "-",
            linewidth=1.2,
            elinewidth=0.8,
            capsize=2,
            label=", ".join(part for part in (name, "greedy" if beam == 1 else f"beam {beam}") if part),
        )
    base = tuning.pretrained
    axes.axhline(base.value, color="0.4", linestyle=":", label=f"pretrained, beam {base.beam_size}")
    axes.set_xlabel("λ" if across == "scale" else across)
    axes.set_ylabel("WER, %" if base.metric == "wer" else "BLEU")
    axes.set_title(f"Development data, n = {base.n}; bars: 95 % intervals", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    with atomic_file(path) as partial:
        FigureCanvasAgg(figure).print_figure(partial, format="png", dpi=150, metadata={"Software": None})


def _others(values: Mapping[str, Any], across: str) -> str:
    return ", ".join(f"{key} {_shown(value)}" for key, value in values.items() if key != across)


def _place(value: Any) -> Any:
    return value if isinstance(value, int | float) else str(value)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
