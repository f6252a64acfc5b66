"""The numbers of the figures that compare systems: Table 4 as dots, and home against held-out languages."""

from lors.study.figures.data import of_set, style_of
from lors.study.figures.parts import METRICS, Dot, DotFigure, Scatter, ScatterFigure, Scored
from lors.study.results import StudyResults
from lors.study.significance import Hypotheses
from lors.study.tables.systems import TITLES, System, held_out_languages, main_systems, method_title, score_of

_JOINT = (
    "pretrained",
    "finetuned",
    "joint-training",
    "joint-merging",
    "multitask-training",
    "multitask-training-multilingual-merging",
    "multilingual-training",
    "multilingual-training-multitask-merging",
)


def joint_dots(results: StudyResults, language_set: str, hypotheses: Hypotheses) -> DotFigure | None:
    """The means of Table 4, with their intervals."""
    systems = main_systems(results, language_set)
    languages = results.language_sets[language_set]
    tasks = results.tasks
    dots = [
        _dot(system, tuple(_scored(system, task, languages, hypotheses) for task in tasks))
        for setting in _JOINT
        for (found, _), system in systems.items()
        if found == setting
    ]
    dots = [dot for dot in dots if any(dot.scores)]
    if len(dots) < 2 or not any(dot.group in ("joint-training", *_MERGED) for dot in dots):
        return None
    several = f" Languages: {language_set}." if len(results.language_sets) > 1 else ""
    return DotFigure(
        name=of_set(results, language_set, "joint"),
        title="Joint systems",
        caption="Multi-lingual multi-task systems: means over languages with 95 % bootstrap intervals over utterances. "
        f"Dotted: ML and MT training.{several}",
        metrics=tuple(f"{METRICS[task]}" for task in tasks),
        dots=tuple(dots),
        baseline="joint-training",
    )


_MERGED = tuple(setting for setting in _JOINT if setting.endswith("merging"))


def retention_scatter(
    results: StudyResults, language_set: str, hypotheses: Hypotheses
) -> ScatterFigure | None:
    """What each system does on its own languages, against what it does on held-out ones."""
    systems = main_systems(results, language_set)
    languages = results.language_sets[language_set]
    panels = []
    for task in results.tasks:
        away = held_out_languages(results, systems.values(), task)
        dots = []
        for setting in TITLES:
            for (found, _), system in systems.items():
                if found == setting and away:
                    scores = tuple(_scored(system, task, x, hypotheses) for x in (languages, away))
                    dots.append(_dot(system, scores))
        whole = tuple(dot for dot in dots if all(dot.scores))
        if len(whole) > 1:
            panels.append(Scatter(METRICS[task], whole))
    if not panels:
        return None
    several = f" Models of: {language_set}." if len(results.language_sets) > 1 else ""
    return ScatterFigure(
        name=of_set(results, language_set, "retention"),
        title="Home and held-out languages",
        caption="Each system on the languages that it was trained on, and on languages that no model was trained on: "
        f"means over languages with 95 % bootstrap intervals. Dotted: the pretrained model.{several}",
        panels=tuple(panels),
    )


def _dot(system: System, scores: tuple[Scored | None, ...]) -> Dot:
    return Dot(
        label=system.title,
        style=style_of(system),
        style_title=method_title(system.method) if system.method else "",
        group=system.setting,
        group_title=TITLES[system.setting].format("merging"),
        scores=scores,
    )


def _scored(system: System, task: str, languages: tuple[str, ...], hypotheses: Hypotheses) -> Scored | None:
    score = score_of(system, task, languages, hypotheses)
    return None if score is None else (score.value, score.low, score.high)
