"""Draw scores as bars with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lors.base.pictures import COLOURS, new_figure, write_picture

_COLOURS = (*COLOURS, "#F0E442", "#000000")


@dataclass(frozen=True)
class Bar:
    """One score: its system (a group of bars), its series (a colour), value and interval, in percent."""

    system: str
    series: str
    value: float
    low: float
    high: float
    n: int


def draw_bars(bars: Sequence[Bar], path: Path, title: str, axis: str, note: str = "") -> None:
    """Write a PNG of horizontal bars grouped by system, one colour per series, with interval whiskers.

    Systems and series stand in the order of their first bar. The first system of each series is drawn on
    as a dotted line, so that every other can be read against it.
    """
    systems = list(dict.fromkeys(bar.system for bar in bars))
    series = list(dict.fromkeys(bar.series for bar in bars))
    thickness = 0.8 / len(series)
    figure = new_figure(8, 1.2 + 0.34 * len(systems) * max(len(series), 2))
    axes = figure.add_subplot()
    for index, name in enumerate(series):
        mine = [bar for bar in bars if bar.series == name]
        places = [systems.index(bar.system) + (index - (len(series) - 1) / 2) * thickness for bar in mine]
        colour = _COLOURS[index % len(_COLOURS)]
        axes.barh(
            places,
            [bar.value for bar in mine],
            height=thickness * 0.92,
            color=colour,
            label=f"{name} (n = {mine[0].n})",
            xerr=[[bar.value - bar.low for bar in mine], [bar.high - bar.value for bar in mine]],
            error_kw={"ecolor": "0.25", "elinewidth": 1, "capsize": 2},
        )
        for place, bar in zip(places, mine, strict=True):
            axes.annotate(
                f"{bar.value:.1f}",
                (bar.high, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.axvline(mine[0].value, color=colour, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(systems)), systems)
    axes.invert_yaxis()
    axes.set_xlabel(axis)
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    figure.legend(loc="outside lower left", ncols=len(series), frameon=False, fontsize=9)
    if note:
        figure.supxlabel(note, fontsize=8, color="0.35", x=0.99, ha="right")
    write_picture(figure, path)
