"""Parts of the study's report that are neither tables of scores nor figures: recipes, costs, failures, signatures."""

from collections.abc import Iterable, Sequence

from lors.speech.report_parts import html_text
from lors.study.results import JobCost, StudyResults
from lors.study.tables.recipes import KEYS
from lors.study.tables.systems import System, main_systems, shown

_LONGEST = 5


def html_recipes(results: StudyResults) -> str:
    """What the search chose, and what training took, for every system of the tables."""
    systems = [system for name in results.language_sets for system in main_systems(results, name).values()]
    chosen = [(system, _chosen(system)) for system in systems]
    keys = {key for _, values in chosen for key in values}
    if not keys:
        return ""
    ordered = [*(key for key in KEYS if key in keys), *sorted(keys - KEYS.keys())]
    rows = [[system.title, *(values.get(key, "") for key in ordered)] for system, values in chosen if values]
    headings = ["system", *(KEYS.get(key, key.replace("_", " ")) for key in ordered)]
    return (
        '<h2 id="recipes">Chosen recipes</h2>\n<p>What development data chose for each model, as recipes have it; '
        "seeds that chose differently are told apart by a stroke.</p>\n"
        + html_grid(headings, rows, texts=len(headings))
    )


def _chosen(system: System) -> dict[str, str]:
    """Recipe key → its value, or "es 0.1, fr 0.2" where a system's models have different ones."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in system.rows:
        for name, values in row.chosen.items():
            for key, value in values.items():
                texts = found.setdefault(key, {}).setdefault(name, [])
                texts += [shown(value)] if shown(value) not in texts else []
    told = {}
    for key, by_name in found.items():
        each = {name: " / ".join(texts) for name, texts in by_name.items()}
        alike = len(set(each.values())) == 1
        told[key] = (
            next(iter(each.values())) if alike else ", ".join(f"{n} {text}" for n, text in each.items())
        )
    return told


def html_costs(costs: Sequence[JobCost]) -> str:
    """Time and energy by kind of job, the longest jobs, and the machines."""
    if not costs:
        return ""
    kinds = dict.fromkeys(cost.kind for cost in costs)
    rows = [_cost(kind, [cost for cost in costs if cost.kind == kind]) for kind in kinds]
    rows.append(_cost("all", costs))
    longest = sorted(costs, key=lambda cost: -cost.seconds)[:_LONGEST]
    jobs = [[cost.name, _time(cost.seconds), cost.machine] for cost in longest]
    known = sum(cost.energy is not None for cost in costs)
    told = {0: "No machine told the energy that it used.", len(costs): ""}.get(
        known, f"Energy is known of {known} of {len(costs)} jobs; what stands here is theirs alone."
    )
    machines = ", ".join(dict.fromkeys(cost.machine for cost in costs))
    return (
        f'<h2 id="costs">Costs</h2>\n<p>{html_text(f"Machines: {machines}. {told}")}</p>\n'
        + html_grid(["kind of job", "jobs", "time", "processor time", "energy"], rows, texts=1)
        + "<p>The longest:</p>\n"
        + html_grid(["job", "time", "machine"], jobs, texts=1)
    )


def html_failures(results: StudyResults) -> str:
    """Every job that failed, and why."""
    if not results.failures:
        return ""
    jobs = "".join(
        f"<li><b>{html_text(name)}</b>: {html_text(why)}</li>\n" for name, why in results.failures.items()
    )
    return f'<h2 id="failures">Failures</h2>\n<ul>\n{jobs}</ul>\n'


def html_signatures(results: StudyResults) -> str:
    """The study's signature, and that of every score of the tables."""
    lines: dict[str, list[str]] = {}
    for language_set in results.language_sets:
        for system in main_systems(results, language_set).values():
            for row in system.rows:
                for (language, task), score in row.cells.items():
                    seed = f", seed {row.seed}" if len(system.rows) > 1 else ""
                    name = f"{system.title}, {language} {task}{seed}"
                    lines.setdefault(score.signature, []).append(name)
    scores = "".join(
        f"<li>{html_text('; '.join(names))}: <code>{html_text(signature)}</code></li>\n"
        for signature, names in lines.items()
    )
    return (
        f'<h2 id="signatures">Signatures</h2>\n<p><code>{html_text(results.signature)}</code></p>\n'
        f"<details><summary>of each score ({len(lines)})</summary>\n<ul>\n{scores}</ul>\n</details>\n"
    )


def html_grid(headings: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    """A plain table; the first `texts` columns hold words, the others numbers; the first one names its line."""
    kinds = [' class="text"' if at < texts else "" for at in range(len(headings))]
    head = "".join(f'<th scope="col"{k}>{html_text(x)}</th>' for k, x in zip(kinds, headings, strict=True))
    body = "".join(
        f'<tr><th scope="row">{html_text(row[0])}</th>'
        + "".join(f"<td{k}>{html_text(x)}</td>" for k, x in zip(kinds[1:], row[1:], strict=True))
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'
    )


def _cost(kind: str, costs: Sequence[JobCost]) -> list[str]:
    energy = [cost.energy for cost in costs if cost.energy is not None]
    return [
        kind,
        str(len(costs)),
        _time(sum(cost.seconds for cost in costs)),
        _time(sum(cost.processor_seconds for cost in costs)),
        f"{sum(energy) / 3600:.2f} Wh" if energy else "–",
    ]


def _time(seconds: float) -> str:
    """ "2 h 05 min", "3 min 20 s" or "4.2 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
