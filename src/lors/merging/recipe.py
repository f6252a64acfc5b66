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

from lors.base.errors import UsageError
from lors.merging.methods.method import Method, Settings
from lors.merging.methods.parameters import PER_EXPERT, Number, Parameters, Ratio
from lors.merging.methods.table import find_method
from lors.merging.recipe_file import Location, line_of, read_yaml
from lors.merging.recipe_mistakes import check_method, check_step, explain

Text = Annotated[str, Field(min_length=1, pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$")]
"""On one line, as it is told again in messages and in `merge.json`."""


class Expert(BaseModel):
    """One fine-tuned copy of the base."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: Text
    """A directory, an OpenAI `.pt` file or a Hub id; of an expert also the directory of a LoRA adapter."""
    weight: Number = 1.0
    """wi, multiplies this expert's share."""
    rank_ratio: Ratio | None = None
    """In place of the recipe's."""
    keep_ratio: Ratio | None = None
    """In place of the recipe's."""


class Step(Parameters):
    """What is done to each task vector before the method sees it."""

    method: Text
    """One of the methods that add up what they keep of each task vector."""

    @model_validator(mode="after")
    def _fits_the_method(self) -> "Step":
        check_step(self.model_dump())
        return self

    def setting(self) -> Settings:
        """The parameters, with the method's defaults filled in."""
        return _settings(find_method(self.method), self, {})


class LayerScale(BaseModel):
    """A factor that grows in equal steps from the first layer of the encoder, and of the decoder, to the last."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    first: Number
    last: Number


class Recipe(Parameters):
    """What to merge, and how. Every key of a recipe file is a field here, or one of `Parameters`.

    Relative names of models are looked for beside the recipe file, if it came from one, then in the working
    directory; what is found in neither and has the form of a Hub id is asked from the Hub.
    """

    base: Text
    """The pretrained model that the experts were fine-tuned from: a directory, a `.pt` file or a Hub id."""
    method: Text
    """One of `lors methods`."""
    experts: Annotated[list[Expert], Field(min_length=1)]
    align: Literal["weight-matching"] | None = None
    """Put the hidden units and heads of each expert in the base's order first (Git Re-Basin)."""
    prune: Annotated[list[Step], Field(min_length=1)] | None = None
    """Steps before the method, in order."""
    normalise: Literal["mean-norm"] | None = None
    """Bring every task vector to the mean of their norms, before weights and method."""
    layer_scale: LayerScale | None = None
    """LiNeS: what the merge changes, scaled with depth."""
    tensor_scales: Annotated[dict[Text, Number], Field(min_length=1)] | None = None
    """Pattern → factor of what the merge changes in the tensors it matches; the first match counts."""
    tensors: Annotated[list[Text], Field(min_length=1)] | None = None
    """Patterns of the tensors that the method (and `prune`) acts on; see `Method.acts_on` where not given."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of the merged weights."""

    _folder: Path | None = PrivateAttr(default=None)

    @field_validator("prune", mode="before")
    @classmethod
    def _one_step(cls, prune: Any) -> Any:
        """A single step needs no list."""
        return [prune] if isinstance(prune, Mapping) else prune

    @field_validator("experts", mode="before")
    @classmethod
    def _plain_names(cls, experts: Any) -> Any:
        """`- experts/es` is short for `- model: experts/es`."""
        if not isinstance(experts, list):
            return experts
        return [{"model": expert} if isinstance(expert, str) else expert for expert in experts]

    @model_validator(mode="after")
    def _fits_the_method(self) -> "Recipe":
        check_method(self.model_dump())
        return self

    def method_entry(self) -> Method:
        """The method's entry in the table."""
        return find_method(self.method)

    def takes(self, parameter: str) -> bool:
        """Whether the method takes this parameter."""
        return self.method_entry().takes(parameter)

    def settings(self) -> tuple[Settings, ...]:
        """For each expert, its own parameters, or else the recipe's, or else the method's defaults."""
        method = self.method_entry()
        return tuple(
            _settings(
                method,
                self,
                {"weight": expert.weight, "rank_ratio": expert.rank_ratio, "keep_ratio": expert.keep_ratio},
            )
            for expert in self.experts
        )

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default and every expert's own parameters filled in, as plain JSON values."""
        method, settings = self.method_entry(), self.settings()
        own = ["weight", *(name for name in PER_EXPERT if method.takes(name))]
        shared = [name for name in method.parameters if name not in ("scale", *own)]
        modifiers = ("align", "normalise", "layer_scale", "tensor_scales", "tensors")
        given = self.model_dump(include=set(modifiers), exclude_none=True)
        return {
            "base": self.base,
            "method": self.method,
            **({"scale": self.scale} if method.takes("scale") else {}),
            **{name: getattr(settings[0], name) for name in shared},
            "experts": [
                {"model": expert.model, **{name: getattr(setting, name) for name in own}}
                for expert, setting in zip(self.experts, settings, strict=True)
            ],
            **({"prune": [_resolved_step(step) for step in self.prune]} if self.prune is not None else {}),
            **{name: given[name] for name in modifiers if name in given},
            "dtype": self.dtype,
        }

    def folders(self) -> list[Path]:
        """Where relative names of models are looked for, in order: beside the recipe file, then here."""
        return [folder for folder in (self._folder, Path()) if folder is not None]

    def beside(self, path: Path) -> "Recipe":
        """The same recipe, its relative names looked for beside `path` first."""
        changed = self.model_copy()
        changed._folder = path.absolute().parent
        return changed

    def with_scale(self, scale: float) -> "Recipe":
        """The same recipe at another λ."""
        changed = parse_recipe({**self.model_dump(), "scale": scale})
        changed._folder = self._folder
        return changed


def _settings(method: Method, given: Parameters, own: Mapping[str, Any]) -> Settings:
    values: dict[str, Any] = {}
    for name in method.parameters:
        if name != "scale":
            value = own.get(name)
            value = getattr(given, name, None) if value is None else value
            values[name] = method.defaults.get(name) if value is None else value
    return Settings(**{"weight": 1.0, **values})


def _resolved_step(step: Step) -> dict[str, Any]:
    taken = [name for name in find_method(step.method).parameters if name not in ("scale", "weight")]
    return {"method": step.method, **{name: getattr(step.setting(), name) for name in taken}}


def load_recipe(source: Recipe | Path | str | Mapping[str, Any]) -> Recipe:
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
        raise UsageError(f"{path}:1: expected a recipe, a mapping with the keys base, method, experts ….")
    return parse_recipe(content, lambda location: f"{path}:{line_of(nodes, location)}: ").beside(path)


_FIELDS: dict[Any, type[BaseModel]] = {"experts": Expert, "prune": Step, "layer_scale": LayerScale}


def parse_recipe(
    content: Mapping[str, Any],
    place: Callable[[Location], str] = lambda _: "recipe: ",
    spell: Callable[[str], str] = lambda key: f"'{key}'",
) -> Recipe:
    """Check a mapping and make it a recipe.

    Args:
        content: the keys of a recipe.
        place: what an error begins with, for a location in the content: `recipe.yaml:3: `.
        spell: how an error writes a key: `'rank_ratio'`, or `--rank-ratio`.

    Raises:
        UsageError: the first mistake, in one sentence.
    """
    try:
        return Recipe.model_validate(dict(content))
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    # An unknown key explains why another is missing.
    mistakes.sort(key=lambda mistake: mistake["type"] != "extra_forbidden")
    known = _FIELDS.get(
        next((part for part in mistakes[0]["loc"] if part in _FIELDS), ""), Recipe
    ).model_fields
    location, text = explain(mistakes[0], list(known), spell)
    raise UsageError(f"{place(location)}{text}")
