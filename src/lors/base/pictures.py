"""What every picture by matplotlib has in common: the canvas, the colours, and bytes that do not change."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lors.base.cache import cache_directory
from lors.base.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Of Okabe and Ito: told apart by colour-blind readers and in grey."""


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches."""
    # matplotlib keeps a list of the machine's fonts; it belongs in our cache folder, not in the user's home.
    os.environ.setdefault("MPLCONFIGDIR", str(cache_directory() / "matplotlib"))
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def write_picture(figure: "Figure", path: Path) -> None:
    """Write a figure atomically as the PNG or SVG that its name says, without date and program."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kind = path.suffix.removeprefix(".")
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    # Text as paths looks the same everywhere; the salt makes the same names of clips in every run.
    with (
        matplotlib.rc_context({"svg.hashsalt": path.name, "svg.fonttype": "path"}),
        atomic_file(path) as partial,
    ):
        FigureCanvasAgg(figure).print_figure(partial, format=kind, dpi=150, metadata=metadata)
