"""The plan of a study: its settings and analyses as rows of tables, and the jobs that each row takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from lors.base.errors import did_you_mean
from lors.study.planned_rows import PlannedRow, StudyPlan
from lors.study.results import SETTINGS
from lors.study.study_file import Study, StudyFileError
from lors.study.study_jobs import Cell, StudyJobs
from lors.study.study_models import ANY_LANGUAGE, BOTH_TASKS, SetModels, scope_of


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
            tasks, languages = tuple(study.tasks), tuple(group.languages)
            models = SetModels(jobs, name, languages, True, tasks, group.hours, seed)
            planner = _Planner(study, models)
            rows += planner.rows(settings, list(study.methods), abroad=_held_out(study))
            rows += planner.number_of_languages()
            rows += planner.training_hours()
            rows += planner.redundancy()
    if unknown := study.models.keys() - jobs.names:
        name = min(unknown)
        raise StudyFileError(
            f"models: no model of this study is called '{name}'.{did_you_mean(name, jobs.names)}"
        )
    return StudyPlan(tuple(rows))


def _settings(study: Study, name: str, languages: Sequence[str]) -> list[str]:
    """The settings of a set: those asked for, or all that its languages and tasks allow."""
    impossible: dict[str, str] = {}
    if len(study.tasks) < 2:
        impossible |= dict.fromkeys(BOTH_TASKS, "both tasks, and the study has one")
    if len(languages) < 2:
        impossible |= dict.fromkeys(ANY_LANGUAGE, f"two or more languages, and the set '{name}' has one")
    for setting in study.settings or []:
        if setting in impossible:
            raise StudyFileError(f"settings: {setting} takes {impossible[setting]}.")
    return [one for one in study.settings or SETTINGS if one not in impossible]


def _held_out(study: Study) -> list[Cell]:
    """The held-out languages with their tasks: all of the study, but English is not translated into English."""
    found: list[Cell] = []
    for one in study.held_out:
        language, _, named = one.partition("-")
        tasks = [task for task in study.tasks if named in ("", task)]
        found += [(language, task) for task in tasks if named or (language, task) != ("en", "translate")]
    return found


@dataclass(frozen=True)
class _Planner:
    """The rows of one set of languages, one amount of training data and one seed."""

    study: Study
    models: SetModels

    def rows(
        self,
        settings: Sequence[str],
        methods: Sequence[str],
        *,
        abroad: Sequence[Cell] = (),
        analysis: str = "main",
    ) -> Iterator[PlannedRow]:
        """A row for each setting, and for each method where the setting merges.

        Args:
            abroad: held-out languages and tasks, for models that serve any language.
        """
        for setting in settings:
            for method in methods if "merging" in setting else (None,):
                cells = self.models.cells()
                if setting in ANY_LANGUAGE or setting == "pretrained":
                    cells += abroad
                yield self._row(setting, method, cells, analysis)

    def number_of_languages(self) -> Iterator[PlannedRow]:
        """Figure 3: every combination of two or more of the set's languages."""
        chosen = self.study.analyses.number_of_languages
        if chosen is None or not self._is_in(chosen.sets):
            return
        settings = ["finetuned", "multilingual-merging"]
        settings += ["multilingual-training"] if chosen.training else []
        everyone = self.models.languages
        for count in range(2, len(everyone) + 1):
            for some in combinations(everyone, count):
                tasks = self.models.tasks if chosen.tasks is None else tuple(chosen.tasks)
                fewer = replace(self.models, languages=some, whole=some == everyone, tasks=tasks)
                yield from _Planner(self.study, fewer).rows(
                    settings, chosen.methods, analysis="number-of-languages"
                )

    def training_hours(self) -> Iterator[PlannedRow]:
        """Figure 4: the same with other amounts of training data."""
        chosen = self.study.analyses.training_hours
        if chosen is None or not self._is_in(chosen.sets):
            return
        settings = ["pretrained", "finetuned"]
        if len(self.models.languages) > 1:
            settings += ["multilingual-merging", *(["multilingual-training"] if chosen.training else [])]
        for hours in chosen.hours:
            other = _Planner(self.study, replace(self.models, hours=hours))
            yield from other.rows(settings, chosen.methods, analysis="training-hours")

    def redundancy(self) -> Iterator[PlannedRow]:
        """Figure 5: each expert's own task vector, pruned to several ratios."""
        chosen = self.study.analyses.redundancy
        if chosen is None or not self._is_in(chosen.sets):
            return
        for hours in dict.fromkeys([self.models.hours, *chosen.hours]):
            models = replace(self.models, hours=hours, tasks=tuple(chosen.tasks))
            for method in ("svp", "mp"):
                for ratio in chosen.ratios:
                    yield _pruned_row(models, method, ratio)

    def _row(self, setting: str, method: str | None, cells: Sequence[Cell], analysis: str) -> PlannedRow:
        serving, label = self.models.serving(setting, method), f"{setting} {method or ''}".strip()
        models = {cell: serving(cell) for cell in cells}
        return PlannedRow(
            language_set=self.models.name,
            setting=setting,
            method=method,
            languages=self.models.languages,
            hours=self.models.hours,
            seed=self.models.seed,
            analysis=analysis,
            cells={cell: self.models.jobs.evaluated(model, label, cell) for cell, model in models.items()},
            models={scope_of(setting, cell): model for cell, model in models.items() if model is not None},
        )

    def _is_in(self, sets: Sequence[str] | None) -> bool:
        return not sets or self.models.name in sets


def _pruned_row(models: SetModels, method: str, ratio: float) -> PlannedRow:
    cells = {}
    for cell in models.cells():
        pruned = models.jobs.pruned("-".join(cell), method, ratio, models.expert(cell))
        cells[cell] = models.jobs.evaluated(pruned, f"{method} {ratio:g}", cell)
    return PlannedRow(
        language_set=models.name,
        setting="finetuned",
        method=method,
        languages=models.languages,
        hours=models.hours,
        seed=models.seed,
        ratio=ratio,
        analysis="redundancy",
        cells=cells,
    )
