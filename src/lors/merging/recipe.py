"""A merge as it is asked for: the recipe, checked before anything is read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from lors.base.errors import UsageError, did_you_mean
from lors.merging.methods import METHODS, PARAMETERS, Method, Settings, find_method
from lors.merging.recipe_file import Location, line_of, read_yaml

Number = Annotated[float, Field(allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


class _Problem(ValueError):
    """A mistake that no single field shows, and where in the recipe it is."""

    def __init__(self, location: Location, text: str) -> None:
        super().__init__(text)
        self.location = location


class Expert(BaseModel):
    """One fine-tuned copy of the base."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: Text
    """A directory or a Hub id."""
    weight: Number = 1.0
    """wi, multiplies this expert's share."""
    rank_ratio: Ratio | None = None
    """In place of the recipe's."""
    keep_ratio: Ratio | None = None
    """In place of the recipe's."""


class Recipe(BaseModel):
    """What to merge, and how. Every key of a recipe file is a field here."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    base: Text
    """The pretrained model that the experts were fine-tuned from: a directory or a Hub id."""
    method: Text
    """One of `lors methods`."""
    experts: Annotated[list[Expert], Field(min_length=1)]
    scale: Number | None = None
    """λ, multiplies the sum of the task vectors."""
    rank_ratio: Ratio | None = None
    """Kept rank as a share of a matrix's smaller side."""
    keep_ratio: Ratio | None = None
    """Kept share of a tensor's entries."""
    tensors: Annotated[list[Text], Field(min_length=1)] | None = None
    """Patterns of the tensors to prune; Whisper's attention and feed-forward weights where not given."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of the merged weights."""

    _folder: Path | None = PrivateAttr(default=None)

    @field_validator("experts", mode="before")
    @classmethod
    def _plain_names(cls, experts: Any) -> Any:
        """`- experts/es` is short for `- model: experts/es`."""
        if not isinstance(experts, list):
            return experts
        return [{"model": expert} if isinstance(expert, str) else expert for expert in experts]

    @model_validator(mode="after")
    def _fits_the_method(self) -> "Recipe":
        if self.method not in METHODS:
            hint = did_you_mean(self.method, METHODS)
            raise _Problem(("method",), f"unknown method '{self.method}'.{hint} `lors methods` lists all.")
        self._refuse_what_the_method_lacks()
        self._require_what_the_method_needs()
        if self.method == "weight-averaging" and sum(expert.weight for expert in self.experts) <= 0:
            raise _Problem(("experts",), "the weights of the experts must add up to more than 0.")
        return self

    def _refuse_what_the_method_lacks(self) -> None:
        taken = ", ".join(find_method(self.method).parameters)
        for name in ("scale", "rank_ratio", "keep_ratio"):
            for location, owner in [
                ((name,), self),
                *((("experts", i, name), e) for i, e in enumerate(self.experts)),
            ]:
                if getattr(owner, name, None) is not None and not self.takes(name):
                    raise _Problem(
                        location, f"the method {self.method} takes no {name} (it takes {taken}); remove it."
                    )
        if self.tensors is not None and not find_method(self.method).prunes:
            raise _Problem(("tensors",), f"the method {self.method} prunes no tensors; remove the key.")

    def _require_what_the_method_needs(self) -> None:
        for name in ("scale", "rank_ratio", "keep_ratio"):
            if not self.takes(name) or getattr(self, name) is not None:
                continue
            lacking = [i for i, expert in enumerate(self.experts) if getattr(expert, name, None) is None]
            if lacking:
                location: Location = (
                    (name,) if len(lacking) == len(self.experts) else ("experts", lacking[0], name)
                )
                raise _Problem(
                    location, f"is missing; the method {self.method} needs it: {PARAMETERS[name].allowed}."
                )

    def takes(self, parameter: str) -> bool:
        """Whether the method takes this parameter."""
        return find_method(self.method).takes(parameter)

    def method_entry(self) -> Method:
        """The method's entry in the table."""
        return find_method(self.method)

    def settings(self) -> tuple[Settings, ...]:
        """For each expert, its own parameters or else the recipe's."""
        return tuple(
            Settings(
                weight=expert.weight,
                rank_ratio=expert.rank_ratio or self.rank_ratio or 1.0,
                keep_ratio=expert.keep_ratio or self.keep_ratio or 1.0,
            )
            for expert in self.experts
        )

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default and every expert's own parameters filled in, as plain JSON values."""
        whole: dict[str, Any] = {"base": self.base, "method": self.method}
        if self.takes("scale"):
            whole["scale"] = self.scale
        ratios = [name for name in ("rank_ratio", "keep_ratio") if self.takes(name)]
        whole["experts"] = [
            {
                "model": expert.model,
                "weight": setting.weight,
                **{name: getattr(setting, name) for name in ratios},
            }
            for expert, setting in zip(self.experts, self.settings(), strict=True)
        ]
        if self.tensors is not None:
            whole["tensors"] = list(self.tensors)
        whole["dtype"] = self.dtype
        return whole

    def folders(self) -> list[Path]:
        """Where relative names of models are looked for, in order: beside the recipe file, then here."""
        return [folder for folder in (self._folder, Path()) if folder is not None]

    def with_scale(self, scale: float) -> "Recipe":
        """The same recipe at another λ."""
        changed = parse_recipe({**self.model_dump(), "scale": scale})
        changed._folder = self._folder
        return changed


def load_recipe(source: "Recipe | Path | str | Mapping[str, Any]") -> Recipe:
    """A recipe from a YAML file, or from a mapping of the same keys.

    Raises:
        UsageError: what is wrong and where: `FILE:LINE: …`; unknown keys and methods with the closest known.
    """
    if isinstance(source, Recipe):
        return source
    if isinstance(source, Mapping):
        return parse_recipe(source)
    path = Path(source)
    content, nodes = read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}:1: a recipe is a mapping with the keys base, method, experts …")
    recipe = parse_recipe(content, lambda location: f"{path}:{line_of(nodes, location)}")
    recipe._folder = path.absolute().parent
    return recipe


def parse_recipe(
    content: Mapping[str, Any],
    place: Callable[[Location], str] = lambda _: "recipe",
    spell: Callable[[str], str] = lambda key: f"'{key}'",
) -> Recipe:
    """Check a mapping and make it a recipe.

    Args:
        content: the keys of a recipe.
        place: names in an error where a location of the content stands, as `recipe.yaml:3`.
        spell: names a key in an error, as `'rank_ratio'` or `--rank-ratio`.

    Raises:
        UsageError: the first mistake, one sentence; unknown keys come first, for they explain what is missing.
    """
    try:
        return Recipe.model_validate(dict(content))
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    mistakes.sort(key=lambda mistake: mistake["type"] != "extra_forbidden")
    location, text = _explain(mistakes[0], spell)
    more = f" ({len(mistakes) - 1} more to mend.)" if len(mistakes) > 1 else ""
    raise UsageError(f"{place(location)}: {text}{more}")


def _explain(mistake: ErrorDetails, spell: Callable[[str], str]) -> tuple[Location, str]:
    """Where a mistake is, and a sentence for it."""
    location: Location = tuple(mistake["loc"])
    found = mistake.get("input")
    problem = mistake.get("ctx", {}).get("error")
    if isinstance(problem, _Problem):
        text = str(problem)
        return problem.location, f"{spell(str(problem.location[-1]))} {text}" if text.startswith(
            "is "
        ) else text
    key = next((part for part in reversed(location) if isinstance(part, str)), "")
    name = spell(key)
    if mistake["type"] == "extra_forbidden":
        known = list((Expert if "experts" in location else Recipe).model_fields)
        return location, f"unknown key {name}.{did_you_mean(key, known)} Known here: {', '.join(known)}."
    if mistake["type"] == "missing":
        return location, f"{name} is missing."
    if key in PARAMETERS:
        return location, f"{name} is {found!r}, expected a number: {PARAMETERS[key].allowed}."
    if mistake["type"] == "literal_error":
        return (
            location,
            f"{name} is {found!r}, expected {mistake['ctx']['expected']}.{did_you_mean(str(found), _DTYPES)}",
        )
    if mistake["type"] in ("list_type", "too_short"):
        what = "patterns" if key == "tensors" else "experts"
        return location, f"{name} is {found!r}, expected a list of one or more {what}."
    return location, f"{name} is {found!r}, expected {_EXPECTED.get(mistake['type'], 'something else')}."


_DTYPES = ("float32", "float16", "bfloat16")
_EXPECTED = {
    "string_type": "text (put it in quotes)",
    "string_too_short": "text",
    "model_type": "a mapping with the key model",
    "model_attributes_type": "a mapping with the key model",
}
