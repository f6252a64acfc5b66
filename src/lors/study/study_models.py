"""The paper's settings (section 5.3): which model serves a language and task in each of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from lors.study.jobs.job import Job
from lors.study.study_jobs import Cell, StudyJobs

BOTH_TASKS = {
    "multitask-training",
    "joint-training",
    "multitask-merging",
    "joint-merging",
    "multitask-training-multilingual-merging",
    "multilingual-training-multitask-merging",
}
"""Settings that take transcription and translation."""

ANY_LANGUAGE = {
    "multilingual-training",
    "joint-training",
    "multilingual-merging",
    "joint-merging",
    "multitask-training-multilingual-merging",
    "multilingual-training-multitask-merging",
}
"""Settings that take several languages, and whose models serve any."""

Serving = Callable[[Cell], Job | None]
"""(language, task) → the model that serves it; None for the pretrained one."""


@dataclass(frozen=True)
class SetModels:
    """The models of one set of languages.

    Attributes:
        jobs: makes them.
        name: of the set.
        languages: those that are trained and merged together; all of the set, or some.
        whole: whether it is all of them.
        tasks: of the study.
        hours: of training data for each language and task.
        seed: of training.
    """

    jobs: StudyJobs
    name: str
    languages: tuple[str, ...]
    whole: bool
    tasks: tuple[str, ...]
    hours: float | None
    seed: int

    def cells(self) -> list[Cell]:
        """Every language and task."""
        return [(language, task) for task in self.tasks for language in self.languages]

    def expert(self, cell: Cell) -> Job:
        """Fine-tuned on one language and task."""
        return self._trained("-".join(cell), [cell])

    def of_task(self, task: str) -> Job:
        """Multilingual training: all languages of one task."""
        name = task if self.whole else f"{'+'.join(self.languages)}-{task}"
        return self._trained(f"{self.name}-{name}", self._of_task(task))

    def of_language(self, language: str) -> Job:
        """Multitask training: all tasks of one language."""
        return self._trained(language, self._of_language(language))

    def joint(self) -> Job:
        """ML and MT training: everything."""
        return self._trained(self.name, self.cells())

    def serving(self, setting: str, method: str | None) -> Serving:
        """Who serves what in a setting; `method` is that of merging, where it merges."""
        merged = cache(lambda scope: self._merged(setting, str(method), scope))
        return {
            "pretrained": lambda cell: None,
            "finetuned": self.expert,
            "multilingual-training": lambda cell: self.of_task(cell[1]),
            "multitask-training": lambda cell: self.of_language(cell[0]),
            "joint-training": lambda cell: self.joint(),
        }.get(setting, lambda cell: merged(scope_of(setting, cell)))

    def _merged(self, setting: str, method: str, scope: str) -> Job:
        experts, dev = {
            "multilingual-merging": lambda: (map(self.expert, self._of_task(scope)), self._of_task(scope)),
            "multitask-merging": lambda: (
                map(self.expert, self._of_language(scope)),
                self._of_language(scope),
            ),
            "joint-merging": lambda: (map(self.expert, self.cells()), self.cells()),
            "multitask-training-multilingual-merging": lambda: (
                map(self.of_language, self.languages),
                self.cells(),
            ),
            "multilingual-training-multitask-merging": lambda: (map(self.of_task, self.tasks), self.cells()),
        }[setting]()
        of = "" if self.whole else f" of {'+'.join(self.languages)}"
        return self.jobs.merged(f"{setting}{of} {scope}", method, list(experts), dev)

    def _trained(self, name: str, cells: Sequence[Cell]) -> Job:
        return self.jobs.trained(name, cells, self.hours, self.seed)

    def _of_task(self, task: str) -> list[Cell]:
        return [(language, task) for language in self.languages]

    def _of_language(self, language: str) -> list[Cell]:
        return [(language, task) for task in self.tasks]


def scope_of(setting: str, cell: Cell) -> str:
    """What the model of a setting that serves a cell is called: by its language, its task, both, or "all"."""
    language, task = cell
    scopes = {
        "finetuned": f"{language}-{task}",
        "multilingual-training": task,
        "multilingual-merging": task,
        "multitask-training": language,
        "multitask-merging": language,
    }
    return scopes.get(setting, "all")
