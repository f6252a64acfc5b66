"""The look of a study's figures: colours, markers and lines that mean the same in all of them."""

from lors.base.pictures import COLOURS

_BLACK, _GREY = "#000000", "#7F7F7F"
_LOOKS = {
    "pretrained": (_GREY, "X", ":"),
    "finetuned": (_BLACK, "s", "--"),
    "training": ("#D55E00", "^", "-."),
    "weight-averaging": ("#56B4E9", "v", "-"),
    "task-arithmetic": ("#0072B2", "o", "-"),
    "mp": ("#E69F00", "P", "-"),
    "svp": ("#CC79A7", "d", "-"),
    "lors": ("#009E73", "D", "-"),
}
# Each line has its own marker, too.
_COLOURS = (*COLOURS, _BLACK)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "d", "<", ">", "p", "h")


def look_of(style: str) -> tuple[str, str, str]:
    """Colour, marker and dashes; a style without its own has those of its name's letters."""
    if style in _LOOKS:
        return _LOOKS[style]
    name, _, number = style.rpartition("-")
    place = int(number) if name == "hours" else sum(map(ord, style))
    return _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)], "-"


def marker_of(place: int) -> str:
    """The marker of the place-th group."""
    return _MARKERS[place % len(_MARKERS)]
