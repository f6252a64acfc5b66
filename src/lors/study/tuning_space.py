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
_FIXED = ("base", "experts", "dtype")


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
        """ "scale=0.4 rank_ratio=0.01", for tables and files."""
        return " ".join(f"{key}={_shown(value)}" for key, value in self.values.items())

    def without_scale(self) -> tuple[tuple[str, str], ...]:
        """What candidates share whose task vectors are pruned alike."""
        return tuple((key, repr(value)) for key, value in self.values.items() if key != "scale")


def read_candidates(source: Mapping[str, Any] | Path, tried: Mapping[str, Sequence[Any]]) -> list[Candidate]:
    """Every combination of the values, as a recipe that was checked.

    Args:
        source: a recipe file, or a mapping of its keys; keys that are tried may be missing in it.
        tried: recipe key → values; `scale` is tried at `SCALES` where the method takes it and neither `tried` nor
            the recipe names it.

    Returns:
        With the scales innermost, ascending.

    Raises:
        UsageError: the recipe is wrong at one of the values, a key cannot be tried, a value is given twice, or
            there are more than 1,000 combinations.
    """
    content: Any = source if isinstance(source, Mapping) else read_yaml(source)[0]
    if not isinstance(content, Mapping):
        raise UsageError(f"{source}:1: expected a recipe, a mapping with the keys base, method, experts ….")
    chosen = {key: list(values) for key, values in tried.items()}
    for key, values in chosen.items():
        if key in _FIXED:
            raise UsageError(
                f"--try {key}: every candidate has the same {key}; try a parameter of the method."
            )
        if not values or len({repr(value) for value in values}) < len(values):
            raise UsageError(f"--try {key}: expected different values with commas between, as {key}=0.2,0.4.")
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
    return [_candidate(content, values, source) for values in combinations]


def _candidate(
    content: Mapping[str, Any], values: dict[str, Any], source: Mapping[str, Any] | Path
) -> Candidate:
    if isinstance(source, Mapping):
        return Candidate(values, parse_recipe({**content, **values}))
    return Candidate(values, parse_recipe({**content, **values}, lambda _: f"{source}: ").beside(source))


def _takes_scale(content: Mapping[str, Any], tried: Mapping[str, Sequence[Any]]) -> bool:
    named = tried.get("method", [content.get("method")])
    return all(name in METHODS and METHODS[name].takes("scale") for name in named)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
