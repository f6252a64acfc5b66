"""What a study's jobs are asked for: data, models, merges and evaluations, each as a job of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lors.base.errors import UsageError
from lors.merging.methods.parameters import Parameters
from lors.merging.methods.table import find_method
from lors.merging.recipe import parse_recipe
from lors.study.jobs.job import Given, Job
from lors.study.jobs.kinds import PRETRAINED
from lors.study.study_data import Split, StudyData
from lors.study.study_file import Study, StudyFileError, Training
from lors.study.tuning.space import SCALES, read_candidates

Cell = tuple[str, str]
"""(language, task)."""

_EPOCHS = 10.0


class StudyJobs:
    """Makes the jobs of one study; asked twice for the same, it gives the same job.

    Attributes:
        names: of the models that are trained.
    """

    def __init__(self, study: Study, data: StudyData, base: Given, precision: str) -> None:
        """`precision` is what "fastest" stands for on the machine that plans."""
        self.names: set[str] = set()
        self._jobs: dict[str, Job] = {}
        self._grids: dict[tuple[str, int], Grid] = {}
        self._study, self._data, self._base, self._precision = study, data, base, precision

    def trained(self, name: str, cells: Sequence[Cell], hours: float | None, seed: int) -> Job:
        """A model that was fine-tuned on these languages and tasks together."""
        self.names.add(name)
        settings = {
            **self._study.train.model_dump(exclude_none=True),
            **self._study.models.get(name, Training()).model_dump(exclude_none=True),
            "window": self._study.window,
            "seed": seed,
        }
        if settings.get("precision") == "fastest":
            settings["precision"] = self._precision
        train = [self._data.split(*cell, "train") for cell in cells]
        dev = [self._data.split(*cell, "dev") for cell in cells]
        clips = sum(self._clips(split, hours) for split in train)
        sources = [
            one for cell, split in zip(cells, train, strict=True) for one in self._subset(cell, split, hours)
        ]
        passes = float(settings.get("epochs", _EPOCHS))
        if "max_steps" in settings:
            per_step = settings.get("batch_size", 8) * settings.get("gradient_accumulation", 1)
            passes = settings["max_steps"] * per_step / max(1, clips)
        return self._add(
            Job(
                "finetune",
                _named(name, hours, self._study, seed),
                settings,
                {
                    "base": (self._base,),
                    "train": tuple(sources),
                    "dev": tuple(one for split in dev for one in split.manifests),
                },
                amount=clips * passes,
            )
        )

    def merged(self, name: str, method: str, experts: Sequence[Job], dev: Sequence[Cell]) -> Job:
        """A merge of experts, its settings chosen on the development data of `dev` where there is a choice."""
        grid = self.grid(method, len(experts))
        inputs: dict[str, tuple[Job | Given, ...]] = {"base": (self._base,), "experts": tuple(experts)}
        if grid.tried:
            splits = [self._data.split(*cell, "dev") for cell in dev]
            search = self._study.search.model_dump()
            if search["relative_to"] is None:  # as before there was this key, so that results are found again
                del search["relative_to"]
            limit = search["limit"]
            clips = sum(split.clips if limit is None else min(limit, split.clips) for split in splits)
            dev_files = tuple(one for split in splits for one in split.manifests)
            base = Job(
                "evaluate",
                f"pretrained on dev of {_cells_named(dev)}",
                {
                    "name": PRETRAINED,
                    "beam_size": search["beam_size"],
                    "quantization": None,
                    "limit": limit,
                    "window": self._study.window,
                },
                {"model": (self._base,), "data": dev_files},
                amount=clips,
            )
            job = Job(
                "tune",
                f"{method} {name}",
                {
                    "method": method,
                    "fixed": grid.fixed,
                    "tried": grid.tried,
                    **search,
                    "window": self._study.window,
                },
                {**inputs, "dev": dev_files, "pretrained": (self._add(base),)},
                amount=clips * grid.candidates,
            )
            inputs["search"] = (self._add(job),)
        return self._add(
            Job(
                "merge",
                f"{method} {name}",
                {"method": method, "fixed": grid.fixed},
                inputs,
                amount=len(experts),
                temporary=True,
            )
        )

    def pruned(self, name: str, method: str, ratio: float, expert: Job) -> Job:
        """The base with one expert's task vector, pruned to a rank ratio ("svp") or keep ratio ("mp"), λ = 1."""
        key = "rank_ratio" if method == "svp" else "keep_ratio"
        return self._add(
            Job(
                "merge",
                f"{method} {ratio:g} {name}",
                {"method": method, "fixed": {"scale": 1.0, key: ratio}},
                {"base": (self._base,), "experts": (expert,)},
                amount=1,
                temporary=True,
            )
        )

    def evaluated(self, model: Job | None, name: str, cell: Cell) -> Job:
        """Test data of one language and task, decoded with a model (None: the base) and scored."""
        split = self._data.split(*cell, "test")
        decode = self._study.decode.model_dump()
        limit = decode["limit"]
        clips = split.clips if limit is None else min(limit, split.clips)
        return self._add(
            Job(
                "evaluate",
                f"{name} on {'-'.join(cell)}",
                {**decode, "window": self._study.window},
                {"model": (model or self._base,), "data": split.manifests},
                amount=clips,
            )
        )

    def grid(self, method: str, experts: int) -> "Grid":
        """What the study file fixes of a method, and what it leaves to a search.

        Raises:
            UsageError: a key or value is wrong.
        """
        if (method, experts) not in self._grids:
            self._grids[method, experts] = _grid(method, self._study.methods[method], experts)
        return self._grids[method, experts]

    def _add(self, job: Job) -> Job:
        """The job of this key: this one, or the one that was made before."""
        return self._jobs.setdefault(job.key, job)

    def _subset(self, cell: Cell, split: Split, hours: float | None) -> tuple[Job | Given, ...]:
        if hours is None:
            return split.manifests
        if 0 < split.seconds < hours * 3600:
            raise UsageError(
                f"{split.manifests[0].path}: {split.seconds / 3600:.2f} hours, and {hours:g} are asked for; ask for "
                "less, or leave 'hours' out to take all."
            )
        name = f"{'-'.join(cell)} {hours:g} h"
        return (self._add(Job("subset", name, {"hours": hours, "seed": 0}, {"source": split.manifests})),)

    @staticmethod
    def _clips(split: Split, hours: float | None) -> float:
        share = 1.0 if hours is None or not split.seconds else min(1.0, hours * 3600 / split.seconds)
        return split.clips * share


@dataclass(frozen=True)
class Grid:
    """The settings of a method.

    Attributes:
        fixed: recipe key → value.
        tried: recipe key → the values that are searched.
        candidates: how many combinations that makes; 1 where nothing is searched.
    """

    fixed: Mapping[str, Any]
    tried: Mapping[str, list[Any]]
    candidates: int


def _grid(method: str, keys: Mapping[str, Any], experts: int) -> Grid:
    tried = {
        key: list(value)
        for key, value in keys.items()
        if isinstance(value, list) and key in Parameters.model_fields
    }
    fixed = {key: value for key, value in keys.items() if key not in tried}
    if find_method(method).takes("scale") and "scale" not in keys:
        tried["scale"] = list(SCALES)
    # Checked before there are models.
    recipe = {
        "base": "base",
        "method": method,
        "experts": [f"expert-{number}" for number in range(experts)],
        **fixed,
    }
    try:
        if tried:
            return Grid(fixed, tried, len(read_candidates(recipe, tried)))
        parse_recipe(recipe)
    except UsageError as error:
        raise StudyFileError(f"methods: {method}: {str(error).removeprefix('recipe: ')}") from None
    return Grid(fixed, tried, 1)


def _cells_named(cells: Sequence[Cell]) -> str:
    """ "es-transcribe", or "es, fr" of several."""
    return "-".join(cells[0]) if len(cells) == 1 else ", ".join(map("-".join, cells))


def _named(name: str, hours: float | None, study: Study, seed: int) -> str:
    usual = {group.hours for group in study.language_sets().values()}
    parts = [name]
    if hours is not None and usual != {hours}:
        parts.append(f"{hours:g} h")
    if len(study.seeds) > 1:
        parts.append(f"seed {seed}")
    return " ".join(parts)
