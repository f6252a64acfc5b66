"""Write what a quickstart found as a short Markdown report, with the chart beside it."""

from collections.abc import Mapping
from pathlib import Path

from lors.base.files import write_text
from lors.speech.evaluation import Evaluation
from lors.speech.evaluation_table import markdown_table
from lors.study.quickstart.chart import Bar, draw_bars
from lors.study.quickstart.scale_search import ScaleSearch

REPORT, CHART = "report.md", "chart.png"


def write_report(directory: Path, evaluation: Evaluation, searches: Mapping[str, ScaleSearch]) -> None:
    """Write `report.md` and `chart.png` into `directory`.

    Args:
        directory: the results folder.
        evaluation: of the first model, the pretrained one, and of all others.
        searches: method → how its λ was chosen.
    """
    bars = [
        Bar(score.model, str(score.source_lang), score.value, score.low, score.high, score.n)
        for score in evaluation.scores
        if score.source_lang is not None
    ]
    draw_bars(
        bars,
        directory / CHART,
        title="Word error rate on telephone prompts, test split",
        axis="WER (%) with 95 % bootstrap interval; lower is better",
    )
    scales = sorted({scale for search in searches.values() for scale in search.trials})
    rows = [
        ["method", *(f"λ = {scale:g}" for scale in scales), "chosen λ"],
        ["---", *("--:" for _ in scales), "--:"],
        *(
            [method, *(f"{search.trials[scale]:.1f}" for scale in scales), f"{search.scale:g}"]
            for method, search in searches.items()
        ),
    ]
    trials = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    recipes = "\n".join(
        f"- {model['name']}: `{model['signature']}`"
        for model in evaluation.request["models"]
        if model["signature"]
    )
    scores = "\n".join(
        f"- {score.model}, {score.source_lang}: `{score.signature}`"
        for score in evaluation.scores
        if score.source_lang is not None
    )
    write_text(
        directory / REPORT,
        f"""# What the quickstart found

One expert was trained on each language; both were merged in five ways. Each model decoded the same test clips.

![WER of every model]({CHART})

{markdown_table(evaluation)}
## How each λ was chosen

WER on the development clips, averaged over the languages; every method had the same values to choose from. Weight
averaging takes no λ.

{trials}

## Signatures

The merges:

{recipes}

The scores:

{scores}

`evaluation/hypotheses/` holds what each model wrote, clip by clip; `merged/` holds the models, ready to load.
""",
    )
