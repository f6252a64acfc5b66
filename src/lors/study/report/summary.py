"""The summary of a study in three sentences, none of which says more than its interval supports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lors.study.results import StudyResults
from lors.study.significance import Difference, Hypotheses, compare
from lors.study.tables.systems import System, held_out_languages, main_systems, score_of

_NAMES = {"wer": "WER", "bleu": "BLEU"}
_METRICS = {"transcribe": "wer", "translate": "bleu"}
_CONTESTS = (
    (
        "joint-training",
        (
            "joint-merging",
            "multitask-training-multilingual-merging",
            "multilingual-training-multitask-merging",
        ),
    ),
    ("multilingual-training", ("multilingual-merging",)),
    ("multitask-training", ("multitask-merging",)),
)

_Systems = Mapping[tuple[str, str | None], System]


@dataclass(frozen=True)
class Contest:
    """The best of the merges, and the training that they are compared with.

    Attributes:
        merges: how many were in it.
    """

    baseline: System
    best: System
    merges: int


@dataclass(frozen=True)
class _Scores:
    """What is compared: the study's languages and where hypotheses are read."""

    languages: Mapping[str, tuple[str, ...]]
    """Task → its languages."""
    hypotheses: Hypotheses


def find_contest(results: StudyResults, language_set: str) -> Contest | None:
    """The merge with the best scores, of all merges that do the same as one training.

    The best has the largest gain over the training, in per cent of the training's score and averaged over tasks; a
    merge that misses a score is out. Where joint training is not in the study, multi-lingual or multi-task training
    stands in.

    Returns:
        None where no training and merge are there to compare.
    """
    systems = main_systems(results, language_set)
    for baseline, settings in _CONTESTS:
        first = systems.get((baseline, None))
        gains = [
            (gain, system)
            for system in systems.values()
            if first is not None
            and system.setting in settings
            and (gain := _gain(results, language_set, first, system)) is not None
        ]
        if first is not None and gains:
            best = max(gains, key=lambda pair: pair[0])[1]
            return Contest(first, best, len(gains))
    return None


def summary(results: StudyResults, language_set: str, hypotheses: Hypotheses) -> list[str]:
    """Three sentences: the best merge against training, against task arithmetic, and on held-out languages."""
    systems = main_systems(results, language_set)
    contest = find_contest(results, language_set)
    if contest is None:
        return [
            "No merge and training of the same languages and tasks have both finished: nothing is compared yet."
        ]
    languages = dict.fromkeys(results.tasks, results.language_sets[language_set])
    scores = _Scores(languages, hypotheses)
    best, baseline = contest.best, contest.baseline
    told = _told(baseline, best, results.tasks, scores)
    together = ", both tasks together" if len(results.tasks) > 1 else ""
    first = f"Against {baseline.title}, {best.title}: {told}."
    if contest.merges > 1:
        first = (
            f"Of {contest.merges} merges, {best.title} does best against {baseline.title}{together}: {told}."
        )
    second = _against_task_arithmetic(best, systems, results.tasks, scores)
    return [first, second, _kept(results, systems, contest, hypotheses)]


def _against_task_arithmetic(best: System, systems: _Systems, tasks: Sequence[str], scores: _Scores) -> str:
    arithmetic = systems.get((best.setting, "task-arithmetic"))
    if arithmetic is None:
        return "Task arithmetic was not tried in the same setting, so there is nothing to compare with it."
    if best.method != arithmetic.method:
        told = _told(arithmetic, best, tasks, scores)
        return f"Against task arithmetic in the same setting ({arithmetic.title}), {told}."
    lors = systems.get((best.setting, "lors"))
    if lors is None:
        return "That merge is task arithmetic itself."
    told = _told(arithmetic, lors, tasks, scores)
    return f"That merge is task arithmetic itself; with {lors.title} in its place, {told}."


def _kept(results: StudyResults, systems: _Systems, contest: Contest, hypotheses: Hypotheses) -> str:
    pretrained = systems.get(("pretrained", None))
    languages = {task: held_out_languages(results, systems.values(), task) for task in results.tasks}
    tasks = [task for task in results.tasks if languages[task]]
    names = ", ".join(dict.fromkeys(language for task in tasks for language in languages[task]))
    scores = _Scores(languages, hypotheses)
    known = [task for task in tasks if score_of(contest.best, task, languages[task])]
    if pretrained is None or not known:
        return "No held-out languages were decoded with it: what it forgets is not known."
    told = _told(pretrained, contest.best, known, scores)
    return f"On held-out languages ({names}), which no model was trained on, against the pretrained model {told}."


def _told(first: System, second: System, tasks: Sequence[str], scores: _Scores) -> str:
    return ", and ".join(_difference(first, second, task, scores) for task in tasks)


def _difference(first: System, second: System, task: str, scores: _Scores) -> str:
    """ "its WER is 10.3 % lower (19.86 → 17.82; …)", or that no difference is shown."""
    languages = scores.languages[task]
    name = _NAMES[_METRICS[task]]
    before, after = (score_of(system, task, languages) for system in (first, second))
    if before is None or after is None:
        return f"{name} is not known of both"
    values = f"{before.value:.2f} → {after.value:.2f}"
    found = compare(first.rows, second.rows, [(language, task) for language in languages], scores.hypotheses)
    if found is None:
        return f"its {name} goes {values}, which was not tested, as hypotheses are missing"
    return _tested(found, name, values)


def _tested(found: Difference, name: str, values: str) -> str:
    p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    if found.relative is None:
        change, low, high, unit = found.difference, found.low, found.high, ""
    else:
        (change, low, high), unit = found.relative, " %"
    spread = f"95 % interval {_signed(low)} to {_signed(high)}{unit}, {p}"
    if found.shown:
        direction = "lower" if found.difference < 0 else "higher"
        return f"its {name} is {abs(change):.1f}{unit} {direction} ({values}; {spread})"
    return f"no difference in {name} is shown ({values}, {_signed(change)}{unit}; {spread})"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _gain(results: StudyResults, language_set: str, first: System, second: System) -> float | None:
    """In per cent of the first system's scores, averaged over tasks; above zero where the second is better."""
    gains = []
    for task in results.tasks:
        before, after = (score_of(x, task, results.language_sets[language_set]) for x in (first, second))
        if before is None or after is None:
            return None
        change = after.value - before.value
        gains.append((-change if task == "transcribe" else change) / max(before.value, 1e-9))
    return sum(gains) / len(gains) if gains else None
