"""The systems of a study: the rows that differ in nothing but the seed, and what tables call them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from lors.study.results import SETTINGS, Row, StudyResults
from lors.study.significance import Hypotheses, mean_interval

METHODS = {
    "weight-averaging": "Weight Averaging",
    "task-arithmetic": "Task Arithmetic",
    "mp": "MP-Merging",
    "svp": "SVP-Merging",
    "lors": "LoRS-Merging",
    "ties": "TIES-Merging",
    "karcher": "Karcher Mean",
}
"""Method → what the paper's tables call it."""

TITLES = {
    "pretrained": "Pretrained",
    "finetuned": "Finetuned",
    "multilingual-training": "ML training",
    "multitask-training": "MT training",
    "joint-training": "ML and MT training",
    "multilingual-merging": "ML {}",
    "multitask-merging": "MT {}",
    "joint-merging": "ML and MT {}",
    "multitask-training-multilingual-merging": "MT training + ML {}",
    "multilingual-training-multitask-merging": "ML training + MT {}",
}
"""Setting → what a system is called where several settings stand side by side; {} stands for the method."""

_CAPITALS = {"dare", "della", "iso", "knots", "pcb", "sce", "slerp", "star", "tsv", "wudi", "c", "cts", "m"}


@dataclass(frozen=True)
class System:
    """One line of a table: the rows of all seeds.

    Attributes:
        rows: at least one, by seed.
    """

    setting: str
    method: str | None
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """ "ML training + MT LoRS-Merging"."""
        return TITLES[self.setting].format(method_title(self.method) if self.method else "")


@dataclass(frozen=True)
class Score:
    """A score of a system: of one language, or the plain mean over several; of several seeds the mean.

    Attributes:
        low, high: 95 % bootstrap interval over utterances; None where hypotheses are missing.
        n: utterances.
        deviation: standard deviation over the seeds that have all languages; None where there is one evaluation.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    deviation: float | None


def method_title(name: str) -> str:
    """What a table calls a method.

    Examples:
        >>> method_title("lors"), method_title("iso-cts"), method_title("model-stock")
        ('LoRS-Merging', 'ISO-CTS', 'Model Stock')
    """
    if name in METHODS:
        return METHODS[name]
    parts = name.split("-")
    if all(part in _CAPITALS for part in parts):
        return name.upper()
    return " ".join(part.upper() if part in _CAPITALS else part.capitalize() for part in parts)


def find_systems(rows: Iterable[Row], methods: Sequence[str]) -> dict[tuple[str, str | None], System]:
    """(setting, method) → system: first those without a method, then method by method, as given."""
    found: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        found.setdefault((row.setting, row.method), []).append(row)
    order: dict[str | None, int] = {None: -1, **{method: place for place, method in enumerate(methods)}}
    keys = sorted(
        found, key=lambda key: (order.get(key[1], len(order)), SETTINGS.index(key[0]), key[1] or "")
    )
    return {key: System(*key, tuple(sorted(found[key], key=lambda row: row.seed))) for key in keys}


def main_systems(results: StudyResults, language_set: str) -> dict[tuple[str, str | None], System]:
    """The systems of the tables of one set of languages."""
    rows = [row for row in results.rows if (row.analysis, row.language_set) == ("main", language_set)]
    return find_systems(rows, results.methods)


def held_out_languages(results: StudyResults, systems: Iterable[System], task: str) -> tuple[str, ...]:
    """The held-out languages that were decoded for the task."""
    heard = {cell for system in systems for row in system.rows for cell in row.cells}
    return tuple(language for language in results.held_out if (language, task) in heard)


def score_of(
    system: System, task: str, languages: Sequence[str], hypotheses: Hypotheses | None = None
) -> Score | None:
    """The system's score; None where one of the languages is missing, as other languages make another mean.

    Args:
        hypotheses: for the interval; without, only the score of one language and one seed has one.
    """
    cells = [(language, task) for language in languages]
    scores = [[row.cells[cell] for row in system.rows if cell in row.cells] for cell in cells]
    if not scores or not all(scores):
        return None
    low = high = None
    if len(scores) == len(scores[0]) == 1:
        low, high = scores[0][0].low, scores[0][0].high
    elif hypotheses is not None and (interval := mean_interval(system.rows, cells, hypotheses)):
        low, high = interval.low, interval.high
    whole = [row for row in system.rows if all(cell in row.cells for cell in cells)]
    # What no seed was used for, as the pretrained model, is one evaluation for all of them, and has no spread.
    evaluations = {tuple(row.cells[cell].evaluation for cell in cells) for row in whole}
    means = [fmean(row.cells[cell].value for cell in cells) for row in whole]
    return Score(
        metric=scores[0][0].metric,
        value=fmean(fmean(one.value for one in seeds) for seeds in scores),
        low=low,
        high=high,
        n=sum(seeds[0].n for seeds in scores),
        deviation=stdev(means) if len(evaluations) > 1 else None,
    )


def chosen_values(system: System, key: str, names: Sequence[str] = ()) -> tuple[object, ...]:
    """All different values of a recipe key that the search chose, over seeds and merged models.

    Args:
        names: of merged models; all where none of them is there.
    """
    found: list[object] = []
    for row in system.rows:
        wanted: Mapping[str, Mapping[str, object]] = {n: row.chosen[n] for n in names if n in row.chosen}
        for values in (wanted or row.chosen).values():
            if key in values:
                found.append(values[key])
    return tuple({repr(value): value for value in found}.values())


def shown(value: object) -> str:
    """A value of a recipe as tables print it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def shown_range(values: Sequence[object]) -> str:
    """ "0.3", or "0.2–0.6" of several numbers."""
    numbers = sorted(value for value in values if isinstance(value, int | float))
    if len(numbers) == len(values) and len(numbers) > 1:
        return f"{shown(numbers[0])}–{shown(numbers[-1])}"
    return ", ".join(map(shown, values))
