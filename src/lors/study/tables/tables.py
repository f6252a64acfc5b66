"""The paper's tables, and one of what is left on held-out languages, from the results of a study."""

from dataclasses import replace

from lors.study.results import StudyResults
from lors.study.significance import Hypotheses
from lors.study.tables.layouts import RECIPE_TABLES, Entry, layouts_of
from lors.study.tables.parts import Column, Table
from lors.study.tables.recipes import recipe_table
from lors.study.tables.scores import METRICS, fill_table, layout_table
from lors.study.tables.systems import TITLES, held_out_languages, main_systems


def study_tables(results: StudyResults, hypotheses: Hypotheses | None = None) -> list[Table]:
    """Every table that the study has rows for, in the order of their numbers; the held-out languages' last.

    The first set of languages fills Tables 1 to 6 and 11 of the paper, the second 7 to 10, any further one four from
    12 on.

    Args:
        hypotheses: those that were read already.

    Raises:
        LorsError: the hypotheses of a score are damaged.
    """
    hypotheses = hypotheses or Hypotheses()
    found: list[tuple[int, Table | None]] = []
    for place, language_set in enumerate(results.language_sets):
        for number, layout in layouts_of(place):
            found.append((number, layout_table(results, language_set, number, layout, hypotheses)))
    if results.language_sets:
        first = next(iter(results.language_sets))
        for task in results.tasks:
            number = RECIPE_TABLES[task]
            found.append((number, recipe_table(results, first, number, task)))
    found.sort(key=lambda pair: pair[0])
    tables = [table for _, table in found if table is not None]
    retained = [retention_table(results, name, hypotheses) for name in results.language_sets]
    return [*tables, *(table for table in retained if table is not None)]


def retention_table(results: StudyResults, language_set: str, hypotheses: Hypotheses) -> Table | None:
    """What the systems do on languages that no model was trained on; None where none was decoded."""
    systems = main_systems(results, language_set)
    languages = {task: held_out_languages(results, systems.values(), task) for task in results.tasks}
    columns = [
        Column(group=METRICS[task], heading=language, task=task, language=language)
        for task in results.tasks
        for language in [*languages[task], "mean"]
        if languages[task]
    ]
    columns = [replace(column, heading="Avg.") if column.language == "mean" else column for column in columns]
    wanted = [(language, task) for task in results.tasks for language in languages[task]]
    lines = [
        (Entry(setting, system.title, competes=setting != "pretrained"), system.title, system)
        for setting in TITLES
        for (found, _), system in systems.items()
        if found == setting and any(cell in row.cells for row in system.rows for cell in wanted)
    ]
    if not lines:
        return None
    several = len(results.language_sets) > 1
    return fill_table(
        name=f"retention-{language_set}" if several else "retention",
        title="Held-out languages",
        caption=(f"Models of {language_set}: scores" if several else "Scores")
        + " on languages that no model was trained on: what training and merging leave of the pretrained model's.",
        lines=lines,
        columns=columns,
        languages=languages,
        systems=systems,
        baseline="pretrained",
        baseline_title="the pretrained model",
        hypotheses=hypotheses,
    )
