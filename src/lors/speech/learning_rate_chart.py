"""The picture of a learning-rate race: dev loss against rate, a line for each round."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lors.base.pictures import new_figure, write_picture

# In the order of the rounds, of `lors.base.pictures.COLOURS`.
_COLOURS = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#CC79A7")
_CHOSEN = "#D55E00"

PICTURE = "learning-rate.png"
"""Its name beside the weights."""

_CEILING = 1.5
"""Losses above so many times the untouched model's are drawn at that height, lest they flatten all others."""


def draw_race(race: Mapping[str, Any], path: Path) -> None:
    """Write a PNG of what stands under `learning_rate_race` in a `finetune.json`."""
    figure = new_figure(7, 4.2)
    axes = figure.add_subplot()
    base = race["base_dev_loss"]
    ceiling = _CEILING * base
    off = []
    for number, held in enumerate(race["rounds"], 1):
        mine = [result for result in race["results"] if result["round"] == number]
        inside = [r for r in mine if r["dev_loss"] is not None and r["dev_loss"] <= ceiling]
        off += [result["learning_rate"] for result in mine if result not in inside]
        axes.plot(
            [result["learning_rate"] for result in inside],
            [result["dev_loss"] for result in inside],
            marker="o",
            markersize=5,
            color=_COLOURS[(number - 1) % len(_COLOURS)],
            label=f"round {number}: {held['steps']} steps",
        )
    axes.axhline(base, color="0.45", linestyle=":", linewidth=1.2, label="before training")
    if off:
        axes.plot(off, [ceiling] * len(off), "x", color="0.3", label="diverged, or far worse")
    chosen = race["learning_rate"]
    last = [r["dev_loss"] for r in race["results"] if r["learning_rate"] == chosen][-1]
    axes.plot([chosen], [last], "*", color=_CHOSEN, markersize=16, label=f"chosen: {chosen:g}", zorder=5)
    axes.set_xscale("log")
    axes.set_xticks(sorted({r["learning_rate"] for r in race["results"]}), minor=False)
    axes.set_xticklabels([f"{r:g}" for r in sorted({r["learning_rate"] for r in race["results"]})])
    axes.minorticks_off()
    axes.set_xlabel("learning rate")
    axes.set_ylabel("dev loss, nats a token")
    axes.set_title(
        f"Dev loss of {race['dev_clips']} clips after a short fine-tuning", loc="left", fontsize=11
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    write_picture(figure, path)
