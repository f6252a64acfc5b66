"""What a search over merges tries: a recipe, and for some of its keys several values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.merging.methods.table import METHODS
from lors.merging.recipe import Recipe, parse_recipe
from lors.merging.recipe_file import read_yaml

SCALES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""The λ that are tried where none are named."""

_MOST = 1000

# From here on a range is drawn from on a logarithmic scale.
_LOGARITHMIC = 10.0

_FIXED = ("base", "experts", "dtype")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole ones where both are; logarithmic over a factor of ten."""

    low: float
    high: float

    @property
    def is_logarithmic(self) -> bool:
        return self.low > 0 and self.high / self.low >= _LOGARITHMIC

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


Tried = Mapping[str, Sequence[Any] | Range]
"""Recipe key → its values, or a range of them."""


@dataclass(frozen=True)
class Candidate:
    """One recipe of the search.

    Attributes:
        values: key → value, of the keys that are tried.
        recipe: with these values.
    """

    values: Mapping[str, Any]
    recipe: Recipe

    @property
    def name(self) -> str:
        """ "scale=0.4 rank_ratio=0.01", for tables."""
        return " ".join(f"{key}={_shown(value)}" for key, value in self.values.items())

    @property
    def file_name(self) -> str:
        """The name without spaces."""
        return self.name.replace(" ", "_")

    def without_scale(self) -> tuple[tuple[str, str], ...]:
        """What candidates share whose task vectors are pruned alike."""
        return tuple((key, repr(value)) for key, value in self.values.items() if key != "scale")


def read_candidates(source: Mapping[str, Any] | Path, tried: Tried) -> list[Candidate]:
    """Every combination of the values, as a recipe that was checked.

    Args:
        source: a recipe file, or a mapping of its keys; keys that are tried may be missing in it.
        tried: recipe key → values; `scale` is tried at `SCALES` where the method takes it and neither `tried` nor
            the recipe names it.

    Returns:
        With the scales innermost, ascending.

    Raises:
        UsageError: the recipe is wrong at one of the values, a key cannot be tried, a value is given twice, a range
            stands in place of values, or there are more than 1,000 combinations.
    """
    content = content_of(source)
    chosen: dict[str, list[Any]] = {}
    for key, values in tried.items():
        check_key(key)
        if isinstance(values, Range):
            raise UsageError(
                f"--try {key}={values}: a range needs --trials, the number of trials to draw from it."
            )
        _check_values(key, values)
        chosen[key] = list(values)
    if "scale" not in chosen and "scale" not in content and _takes_scale(content, chosen):
        chosen["scale"] = list(SCALES)
    if not chosen:
        raise UsageError("nothing is tried: name keys and values, as --try scale=0.2,0.4,0.8.")
    if "scale" in chosen:
        scales = chosen.pop("scale")
        numbers = all(isinstance(scale, int | float) for scale in scales)
        chosen["scale"] = sorted(scales) if numbers else scales
    combinations = [dict(zip(chosen, values, strict=True)) for values in product(*chosen.values())]
    if len(combinations) > _MOST:
        raise UsageError(f"{len(combinations)} combinations are more than {_MOST:,}; try fewer values.")
    return [make_candidate(source, values) for values in combinations]


def check_space(source: Mapping[str, Any] | Path, tried: Tried) -> dict[str, list[Any] | Range]:
    """The space that trials are drawn from, its corners checked as recipes.

    Where the method takes `scale` and nothing names it, from the least to the largest of `SCALES`.

    Raises:
        UsageError: as `read_candidates`; a range without end or upside down.
    """
    content = content_of(source)
    space: dict[str, list[Any] | Range] = {}
    for key, values in tried.items():
        check_key(key)
        if isinstance(values, Range):
            if not values.low < values.high < float("inf"):
                raise UsageError(
                    f"--try {key}={values}: expected a smaller number before a larger, as 0.1..1."
                )
            space[key] = values
        else:
            _check_values(key, values)
            space[key] = list(values)
    if "scale" not in space and "scale" not in content and _takes_scale(content, space):
        space["scale"] = Range(SCALES[0], SCALES[-1])
    if not space:
        raise UsageError("nothing is tried: name keys and values, as --try scale=0.1..1.")
    for place in (0, -1):
        make_candidate(source, ends_of(space, place))
    return space


def ends_of(space: Tried, place: int) -> dict[str, Any]:
    """The first (0) or last (-1) of every key's values."""
    return {key: [v.low, v.high][place] if isinstance(v, Range) else v[place] for key, v in space.items()}


def make_candidate(source: Mapping[str, Any] | Path, values: Mapping[str, Any]) -> Candidate:
    """The recipe with these values.

    Raises:
        UsageError: they are wrong in it.
    """
    content = {**content_of(source), **values}
    if isinstance(source, Mapping):
        return Candidate(dict(values), parse_recipe(content))
    return Candidate(dict(values), parse_recipe(content, lambda _: f"{source}: ").beside(source))


def check_key(key: str) -> None:
    """UsageError for what every candidate must have the same."""
    if key in _FIXED:
        raise UsageError(f"--try {key}: every candidate has the same {key}; try a parameter of the method.")


def content_of(source: Mapping[str, Any] | Path) -> Mapping[str, Any]:
    """The keys of a recipe, unchecked; UsageError where it is no mapping."""
    content: Any = source if isinstance(source, Mapping) else read_yaml(source)[0]
    if not isinstance(content, Mapping):
        raise UsageError(f"{source}:1: expected a recipe, a mapping with the keys base, method, experts ….")
    return content


def _check_values(key: str, values: Sequence[Any]) -> None:
    if not values or len({repr(value) for value in values}) < len(values):
        raise UsageError(f"--try {key}: expected different values with commas between, as {key}=0.2,0.4.")


def _takes_scale(content: Mapping[str, Any], tried: Tried) -> bool:
    named = tried.get("method", [content.get("method")])
    return not isinstance(named, Range) and all(
        name in METHODS and METHODS[name].takes("scale") for name in named
    )


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
