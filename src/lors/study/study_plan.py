"""The plan of a study: the paper's settings and analyses as rows of tables, and the jobs that each row takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from lors.base.errors import UsageError, did_you_mean
from lors.study.jobs.job import Job, in_order
from lors.study.results import SETTINGS
from lors.study.study_file import Study
from lors.study.study_jobs import Cell, StudyJobs

_BOTH_TASKS = {
    "multitask-training",
    "joint-training",
    "multitask-merging",
    "joint-merging",
    "multitask-training-multilingual-merging",
    "multilingual-training-multitask-merging",
}
_MANY_LANGUAGES = {
    "multilingual-training",
    "joint-training",
    "multilingual-merging",
    "joint-merging",
    "multitask-training-multilingual-merging",
    "multilingual-training-multitask-merging",
}


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """A row as `lors.study.results.Row`, with jobs in place of scores.

    Attributes:
        cells: (language, task) → the evaluation that gives its score.
        models: name → the training or merge whose settings the row tells.
    """

    language_set: str
    setting: str
    method: str | None = None
    languages: tuple[str, ...]
    hours: float | None = None
    seed: int = 0
    ratio: float | None = None
    analysis: str = "main"
    cells: Mapping[Cell, Job]
    models: Mapping[str, Job] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyPlan:
    """All rows, and all jobs, what is needed first."""

    rows: tuple[PlannedRow, ...]

    def jobs(self) -> list[Job]:
        """Every job of every row, each once, what is needed first."""
        return in_order(self.targets())

    def targets(self) -> list[Job]:
        """The jobs whose results are told: all evaluations, and what the merges' settings are read from."""
        found: dict[str, Job] = {}
        for row in self.rows:
            for job in (
                *row.cells.values(),
                *(one for model in row.models.values() for one in searches(model)),
            ):
                found[job.key] = job
        return list(found.values())


def searches(merge: Job) -> list[Job]:
    """The search that a merge takes its settings from, in a list; none where there was no choice."""
    return [job for job in merge.inputs.get("search", ()) if isinstance(job, Job)]


def make_study_plan(study: Study, jobs: StudyJobs) -> StudyPlan:
    """Plan everything that the study asks for.

    Raises:
        UsageError: a setting does not fit the study's languages or tasks, a method's keys are wrong, a manifest
            is bad or too short.
    """
    rows: list[PlannedRow] = []
    for name, group in study.language_sets().items():
        settings = _settings(study, name, group.languages)
        for seed in study.seeds:
            one = _Planner(study, jobs, name, group.hours, seed)
            rows += one.rows(settings, tuple(group.languages), tuple(study.methods), held_out=True)
            rows += one.number_of_languages(tuple(group.languages))
            rows += one.training_hours(tuple(group.languages))
            rows += one.redundancy(tuple(group.languages))
    if unknown := study.models.keys() - jobs.names:
        name = min(unknown)
        raise UsageError(
            f"models: no model of this study is called '{name}'.{did_you_mean(name, jobs.names)}"
        )
    return StudyPlan(tuple(rows))


def _settings(study: Study, name: str, languages: Sequence[str]) -> list[str]:
    """The settings of a set: those asked for, or all that its languages and tasks allow."""
    impossible: dict[str, str] = {}
    if len(study.tasks) < 2:
        impossible |= dict.fromkeys(_BOTH_TASKS, "both tasks, and the study has one")
    if len(languages) < 2:
        impossible |= dict.fromkeys(_MANY_LANGUAGES, f"two or more languages, and the set '{name}' has one")
    for setting in study.settings or []:
        if setting in impossible:
            raise UsageError(f"settings: {setting} takes {impossible[setting]}.")
    return [one for one in study.settings or SETTINGS if one not in impossible]


class _Planner:
    """The rows of one set of languages, one amount of training data and one seed."""

    def __init__(self, study: Study, jobs: StudyJobs, name: str, hours: float | None, seed: int) -> None:
        self._study, self._jobs, self._set, self._hours, self._seed = study, jobs, name, hours, seed

    def rows(
        self,
        settings: Sequence[str],
        languages: tuple[str, ...],
        methods: Sequence[str],
        *,
        held_out: bool = False,
        analysis: str = "main",
    ) -> Iterator[PlannedRow]:
        """A row for each setting, and for each method where the setting merges.

        Args:
            held_out: whether models that serve any language are decoded on the held-out ones too.
        """
        tasks: list[str] = list(self._study.tasks)
        cells = [(language, task) for task in tasks for language in languages]
        abroad = self._held_out() if held_out else []

        def row(setting: str, models: Mapping[Cell, Job | None], method: str | None = None) -> PlannedRow:
            label = f"{setting} {method}" if method else setting
            chosen = {_scope(setting, cell): model for cell, model in models.items() if model is not None}
            evaluated = {cell: self._jobs.evaluated(model, label, cell) for cell, model in models.items()}
            return PlannedRow(
                language_set=self._set,
                setting=setting,
                method=method,
                languages=languages,
                hours=self._hours,
                seed=self._seed,
                analysis=analysis,
                cells=evaluated,
                models=chosen,
            )

        def expert(cell: Cell) -> Job:
            return self._trained("-".join(cell), [cell])

        def of_task(task: str) -> Job:
            name = task if languages == self._all() else f"{'+'.join(languages)}-{task}"
            return self._trained(self._prefixed(name), [(one, task) for one in languages])

        def of_language(language: str) -> Job:
            return self._trained(language, [(language, task) for task in tasks])

        for setting in settings:
            if setting == "pretrained":
                yield row(setting, dict.fromkeys([*cells, *abroad]))
            elif setting == "finetuned":
                yield row(setting, {cell: expert(cell) for cell in cells})
            elif setting == "multilingual-training":
                yield row(setting, {cell: of_task(cell[1]) for cell in [*cells, *abroad]})
            elif setting == "multitask-training":
                yield row(setting, {cell: of_language(cell[0]) for cell in cells})
            elif setting == "joint-training":
                joint = self._trained(self._prefixed(""), cells)
                yield row(setting, {cell: joint for cell in [*cells, *abroad]})
            for method in methods if "merging" in setting else ():
                if setting == "multilingual-merging":
                    by_task = {
                        task: self._merged(
                            setting,
                            task,
                            method,
                            [expert((one, task)) for one in languages],
                            [(one, task) for one in languages],
                            languages,
                        )
                        for task in tasks
                    }
                    yield row(setting, {cell: by_task[cell[1]] for cell in [*cells, *abroad]}, method)
                elif setting == "multitask-merging":
                    by_language = {
                        language: self._merged(
                            setting,
                            language,
                            method,
                            [expert((language, one)) for one in tasks],
                            [(language, one) for one in tasks],
                            languages,
                        )
                        for language in languages
                    }
                    yield row(setting, {cell: by_language[cell[0]] for cell in cells}, method)
                else:
                    experts = {
                        "joint-merging": lambda: [expert(cell) for cell in cells],
                        "multitask-training-multilingual-merging": lambda: [
                            of_language(one) for one in languages
                        ],
                        "multilingual-training-multitask-merging": lambda: [of_task(one) for one in tasks],
                    }[setting]()
                    merged = self._merged(setting, "all", method, experts, cells, languages)
                    yield row(setting, {cell: merged for cell in [*cells, *abroad]}, method)

    def number_of_languages(self, languages: tuple[str, ...]) -> Iterator[PlannedRow]:
        """Figure 3: every combination of two or more of the set's languages."""
        chosen = self._study.analyses.number_of_languages
        if chosen is None or self._set not in (chosen.sets or [self._set]):
            return
        settings = [
            "finetuned",
            "multilingual-merging",
            *(["multilingual-training"] if chosen.training else []),
        ]
        for count in range(2, len(languages) + 1):
            for some in combinations(languages, count):
                yield from self.rows(settings, some, chosen.methods, analysis="number-of-languages")

    def training_hours(self, languages: tuple[str, ...]) -> Iterator[PlannedRow]:
        """Figure 4: the same with other amounts of training data."""
        chosen = self._study.analyses.training_hours
        if chosen is None or self._set not in (chosen.sets or [self._set]):
            return
        settings = ["pretrained", "finetuned"]
        if len(languages) > 1:
            settings += ["multilingual-merging", *(["multilingual-training"] if chosen.training else [])]
        for hours in chosen.hours:
            other = _Planner(self._study, self._jobs, self._set, hours, self._seed)
            yield from other.rows(settings, languages, chosen.methods, analysis="training-hours")

    def redundancy(self, languages: tuple[str, ...]) -> Iterator[PlannedRow]:
        """Figure 5: each expert's own task vector, pruned to several ratios."""
        chosen = self._study.analyses.redundancy
        if chosen is None or self._set not in (chosen.sets or [self._set]):
            return
        for hours in dict.fromkeys([self._hours, *chosen.hours]):
            other = _Planner(self._study, self._jobs, self._set, hours, self._seed)
            cells = [(language, task) for task in chosen.tasks for language in languages]
            experts = {cell: other._trained("-".join(cell), [cell]) for cell in cells}
            for method in ("svp", "mp"):
                for ratio in chosen.ratios:
                    models = {
                        cell: self._jobs.pruned("-".join(cell), method, ratio, expert)
                        for cell, expert in experts.items()
                    }
                    yield PlannedRow(
                        language_set=self._set,
                        setting="finetuned",
                        method=method,
                        languages=languages,
                        hours=hours,
                        seed=self._seed,
                        ratio=ratio,
                        analysis="redundancy",
                        cells={
                            cell: self._jobs.evaluated(model, f"{method} {ratio:g}", cell)
                            for cell, model in models.items()
                        },
                    )

    def _trained(self, name: str, cells: Sequence[Cell]) -> Job:
        return self._jobs.trained(name, cells, self._hours, self._seed)

    def _merged(
        self,
        setting: str,
        scope: str,
        method: str,
        experts: Sequence[Job],
        dev: Sequence[Cell],
        languages: tuple[str, ...],
    ) -> Job:
        of = "" if languages == self._all() else f" of {'+'.join(languages)}"
        return self._jobs.merged(f"{setting}{of} {scope}", method, experts, dev)

    def _all(self) -> tuple[str, ...]:
        return tuple(self._study.language_sets()[self._set].languages)

    def _prefixed(self, name: str) -> str:
        """The name of a model for several languages: that of its set, and what it was trained on."""
        return "-".join(part for part in (self._set, name) if part)

    def _held_out(self) -> list[Cell]:
        found: list[Cell] = []
        for one in self._study.held_out:
            language, _, task = one.partition("-")
            tasks = (
                [task]
                if task
                else [each for each in self._study.tasks if language != "en" or each != "translate"]
            )
            found += [(language, each) for each in tasks if each in self._study.tasks]
        return found


def _scope(setting: str, cell: Cell) -> str:
    """What one model of a row is called: by its language, its task, both, or "all"."""
    language, task = cell
    scopes = {
        "finetuned": f"{language}-{task}",
        "multilingual-training": task,
        "multilingual-merging": task,
        "multitask-training": language,
        "multitask-merging": language,
    }
    return scopes.get(setting, "all")
