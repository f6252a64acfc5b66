"""Drawing of a study's figures, by matplotlib."""

from typing import TYPE_CHECKING, Any

from lors.base.pictures import new_figure
from lors.study.figures.parts import Dot, DotFigure, LineFigure, Panel, Scatter, ScatterFigure, Scored, Series
from lors.study.figures.style import look_of, marker_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEGEND = {"loc": "outside lower left", "frameon": False, "fontsize": 8.5}
_WHISKERS = {"fmt": "none", "elinewidth": 1, "capsize": 2, "alpha": 0.6}
_FAINT = {**_WHISKERS, "alpha": 0.3}
_DODGE = 0.045


def draw_lines(figure: LineFigure) -> "Figure":
    """A panel for each pair of axes, one legend below them."""
    rows = -(-len(figure.panels) // figure.columns)
    drawn = new_figure(4.4 * figure.columns + 0.6, 2.9 * rows + 0.8)
    handles: dict[str, Any] = {}
    for place, panel in enumerate(figure.panels, start=1):
        axes = drawn.add_subplot(rows, figure.columns, place)
        for at, series in enumerate(panel.series):
            shift = (at - (len(panel.series) - 1) / 2) * _DODGE if panel.ticks and not series.band else 0.0
            line = _line(axes, series, shift)
            handles.setdefault(series.label, line)
        _finish(axes, panel)
    drawn.legend(handles.values(), handles.keys(), ncols=2 * figure.columns, **_LEGEND)
    return drawn


def _line(axes: Any, series: Series, shift: float) -> Any:
    """Draw one series; the whiskers of several stand a little beside one another."""
    colour, marker, dash = look_of(series.style)
    places = [point.place + shift for point in series.points]
    values = [point.value for point in series.points]
    (line,) = axes.plot(
        places, values, color=colour, marker=marker, linestyle=dash, linewidth=1.6, markersize=5
    )
    lows = [point.value if point.low is None else point.low for point in series.points]
    highs = [point.value if point.high is None else point.high for point in series.points]
    if series.band:
        axes.fill_between(places, lows, highs, color=colour, alpha=0.1, linewidth=0)
    elif lows != highs:
        axes.errorbar(places, values, _distances(values, lows, highs), ecolor=colour, **_WHISKERS)
    return line


def _finish(axes: Any, panel: Panel) -> None:
    from matplotlib.ticker import NullLocator

    places = sorted({point.place for series in panel.series for point in series.points})
    ticks = list(panel.ticks)
    if not ticks and places[0] > 0 and places[-1] >= 20 * places[0]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        ticks = [(place, f"{place:g}") for place in places]
    if ticks:
        axes.set_xticks([place for place, _ in ticks], [label for _, label in ticks])
    if panel.level is not None:
        axes.axhline(panel.level[0], color="0.5", linestyle=":", linewidth=1)
        axes.annotate(
            panel.level[1], (0.01, panel.level[0]), xycoords=("axes fraction", "data"), fontsize=7.5, color="0.4",
            xytext=(0, 2), textcoords="offset points",
        )  # fmt: skip
    axes.set_title(panel.title, loc="left", fontsize=10.5)
    axes.set_xlabel(panel.across)
    axes.set_ylabel(panel.up)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw_dots(figure: DotFigure) -> "Figure":
    """A dot and its interval for each system, settings apart."""
    dots = figure.dots
    places: list[float] = []
    for at, dot in enumerate(dots):
        apart = 0.5 if at and _block(dot) != _block(dots[at - 1]) else 0.0
        places.append(places[-1] + 1 + apart if places else 0.0)
    drawn = new_figure(3.1 * len(figure.metrics) + 3, 1.1 + 0.27 * (places[-1] + 1))
    panels = drawn.subplots(1, len(figure.metrics), sharey=True, squeeze=False)[0]
    for at, (axes, metric) in enumerate(zip(panels, figure.metrics, strict=True)):
        for place, dot in zip(places, dots, strict=True):
            score = dot.scores[at]
            if score is not None:
                colour, marker, _ = look_of(dot.style)
                axes.errorbar(
                    score[0], place, xerr=_ends(score), color=colour, marker=marker, markersize=5.5, elinewidth=1.2,
                    capsize=2,
                )  # fmt: skip
        level = next((dot.scores[at] for dot in dots if dot.group == figure.baseline), None)
        if level is not None:
            axes.axvline(level[0], color="0.5", linestyle=":", linewidth=1)
        axes.set_xlabel(metric)
        axes.grid(axis="x", color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(places, [dot.label for dot in dots])
    panels[0].set_ylim(places[-1] + 0.7, places[0] - 0.7)
    return drawn


def _block(dot: Dot) -> str:
    """What is trained jointly, or by language, or by task, and what is merged from it."""
    return "alone" if dot.group in ("pretrained", "finetuned") else dot.group.partition("-")[0]


def draw_scatter(figure: ScatterFigure) -> "Figure":
    """A cross of intervals for each system; its colour is the method's, its marker the setting's."""
    # Before any import of matplotlib: it says where the list of fonts is kept.
    drawn = new_figure(4.2 * len(figure.panels) + 3.4, 4.4)
    from matplotlib.lines import Line2D

    dots = [dot for panel in figure.panels for dot in panel.dots]
    groups = dict.fromkeys(dot.group_title for dot in dots)
    markers = {group: marker_of(place) for place, group in enumerate(groups)}
    styles = {dot.style: dot.style_title for dot in dots if dot.style_title}
    for at, panel in enumerate(figure.panels, start=1):
        _scatter(drawn.add_subplot(1, len(figure.panels), at), panel, markers)
    handles = [
        Line2D([], [], color="0.35", marker=markers[group], linestyle="none", label=group) for group in groups
    ]
    handles += [
        Line2D([], [], color=look_of(style)[0], linewidth=6, label=title) for style, title in styles.items()
    ]
    drawn.legend(handles=handles, **{**_LEGEND, "loc": "outside right upper"})
    return drawn


def _scatter(axes: Any, panel: Scatter, markers: dict[str, str]) -> None:
    for dot in panel.dots:
        home, away = dot.scores
        if home is None or away is None:
            continue
        colour = look_of(dot.style)[0]
        axes.errorbar(home[0], away[0], yerr=_ends(away), xerr=_ends(home), ecolor=colour, **_FAINT)
        axes.plot(
            home[0], away[0], color=colour, marker=markers[dot.group_title], linestyle="none", markersize=7,
            markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip
        if dot.group == "pretrained":
            axes.axvline(home[0], color="0.5", linestyle=":", linewidth=1)
            axes.axhline(away[0], color="0.5", linestyle=":", linewidth=1)
    axes.set_xlabel(f"own languages, {panel.metric}")
    axes.set_ylabel(f"held-out languages, {panel.metric}")
    axes.grid(color="0.94", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _ends(score: Scored) -> list[list[float]] | None:
    value, low, high = score
    return None if low is None or high is None else _distances([value], [low], [high])


def _distances(values: list[float], lows: list[float], highs: list[float]) -> list[list[float]]:
    """Lengths of the whiskers; an interval of percentiles may leave its value just outside."""
    below = [max(value - low, 0.0) for value, low in zip(values, lows, strict=True)]
    above = [max(high - value, 0.0) for value, high in zip(values, highs, strict=True)]
    return [below, above]
