"""The utterances in which training and the best merge differ most, and those that the merge spoils most."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lors.speech.evaluation_report import read_report
from lors.speech.evaluation_results import RESULTS
from lors.speech.side_by_side import Comparison, most_different
from lors.study.report.summary import Contest
from lors.study.results import StudyResults
from lors.study.significance import Hypotheses
from lors.study.tables.systems import System

_DIFFERENT, _WORST = 3, 2


def compared_utterances(
    results: StudyResults, language_set: str, contest: Contest, hypotheses: Hypotheses
) -> list[Comparison]:
    """Of each language, three in which the two systems' errors differ most and the merge's two worst.

    Both systems are those of their first seed. Languages whose hypotheses are missing are left out.

    Raises:
        LorsError: the hypotheses are damaged.
    """
    found: list[Comparison] = []
    for language in results.language_sets[language_set]:
        folders = [_folder(system, language) for system in (contest.baseline, contest.best)]
        if None not in folders:
            found += _of_language(language, contest, [x for x in folders if x is not None], hypotheses)
    return found


def _folder(system: System, language: str) -> Path | None:
    score = system.rows[0].cells.get((language, "transcribe"))
    if score is None or not (score.evaluation / RESULTS).is_file():
        return None
    return score.evaluation


def _of_language(
    language: str, contest: Contest, folders: Sequence[Path], hypotheses: Hypotheses
) -> list[Comparison]:
    names = (contest.baseline.title, contest.best.title)
    lines = [hypotheses.word_errors(folder, language) for folder in folders]
    if [one[0] for one in lines[0]] != [one[0] for one in lines[1]]:
        return []
    errors = {
        name: [(wrong, words) for _, wrong, words in one] for name, one in zip(names, lines, strict=True)
    }
    places = most_different(errors, _DIFFERENT)
    best = errors[contest.best.title]
    worst = sorted(range(len(best)), key=lambda place: (-best[place][0], best[place][1]))
    places += [place for place in worst if best[place][0] and place not in places][:_WORST]
    if not places:
        return []
    ids = [lines[0][place][0] for place in places]
    clips = [_clips(folder, language, ids) for folder in folders]
    return [
        Comparison({name: one[id_].first for name, one in zip(names, clips, strict=True)})
        for id_ in ids
        if all(id_ in one for one in clips)
    ]


def _clips(folder: Path, language: str, ids: Sequence[str]) -> Mapping[str, Comparison]:
    report = read_report(folder, utterances=ids)
    return {one.first.id: one for one in report.compared if one.first.language == language}
