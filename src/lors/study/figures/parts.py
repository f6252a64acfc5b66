"""What a figure of a study is, before it is drawn."""

from dataclasses import dataclass

METRICS = {"transcribe": "WER (%) ↓", "translate": "BLEU ↑"}


@dataclass(frozen=True)
class Point:
    """A score at a place of the horizontal axis, with an interval where one is known."""

    place: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points that one line connects, from left to right.

    Attributes:
        style: what its colour and marker stand for; the same in every figure of a study.
        band: whether its intervals are drawn as a band, and not as whiskers.
    """

    label: str
    style: str
    points: tuple[Point, ...]
    band: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes.

    Attributes:
        ticks: (place, label) of the horizontal axis; numbers as they come where it is empty.
        level: a value that is drawn across, with its label.
    """

    title: str
    across: str
    up: str
    series: tuple[Series, ...]
    ticks: tuple[tuple[float, str], ...] = ()
    level: tuple[float, str] | None = None


@dataclass(frozen=True, kw_only=True)
class LineFigure:
    """Panels side by side, or one below the other.

    Attributes:
        name: of its files: "figure-3".
        title: "Figure 3".
        caption: what it shows.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    columns: int


Scored = tuple[float, float | None, float | None]
"""A value with the two ends of its interval, where that is known."""


@dataclass(frozen=True)
class Dot:
    """One system of a figure that compares systems.

    Attributes:
        style: of its colour; with the title of its method, "" where it has none.
        group: its setting, with its title; systems of one share a marker.
        scores: one for each panel (dots), or at home and on held-out languages (scatter); None where one is missing.
    """

    label: str
    style: str
    style_title: str
    group: str
    group_title: str
    scores: tuple[Scored | None, ...]


@dataclass(frozen=True, kw_only=True)
class DotFigure:
    """Systems down, a panel for each metric, with the baseline's value drawn across."""

    name: str
    title: str
    caption: str
    metrics: tuple[str, ...]
    dots: tuple[Dot, ...]
    baseline: str


@dataclass(frozen=True)
class Scatter:
    """One pair of axes: scores at home from left to right, on held-out languages upwards."""

    metric: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, kw_only=True)
class ScatterFigure:
    """A panel for each metric."""

    name: str
    title: str
    caption: str
    panels: tuple[Scatter, ...]


AnyFigure = LineFigure | DotFigure | ScatterFigure
