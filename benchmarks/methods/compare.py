"""Every method of merging on the quickstart's experts: tuned alike on dev, decoded on test, one table.

    make quickstart && .venv/bin/python benchmarks/methods/compare.py

Each method that takes λ has the same number of values to choose from on the development clips, decoded greedily:
those that add up task vectors the first row of SCALES, those whose task vector is a mean, or leaves the rest of the
model to one, the second, which moves the rest of a model of two experts just as far. All other parameters are those
below, or the method's defaults. The test clips are decoded once, with beam 5. A run that was cut off goes on.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from lors.base.files import read_json, write_text
from lors.merging.engine import merge
from lors.merging.methods.method import Method
from lors.merging.methods.table import METHODS
from lors.speech.evaluation import evaluate
from lors.speech.evaluation_table import markdown_table
from lors.study.quickstart.scale_search import choose_scale

SCALES = {"sum": (0.2, 0.4, 0.6, 0.8, 1.0), "mean": (0.4, 0.8, 1.2, 1.6, 2.0)}

MEANS = {"ties", "della", "pcb", "sce", "localize-and-stitch"}
"""Whose T is a mean over experts."""

PARAMETERS: dict[str, dict[str, Any]] = {
    "svp": {"rank_ratio": 0.01},
    "mp": {"keep_ratio": 0.2},
    "lors": {"rank_ratio": 0.01, "keep_ratio": 0.2},
    "ties": {"keep_ratio": 0.2},
    "dare": {"keep_ratio": 0.5},
    "della": {"keep_ratio": 0.5},
    "breadcrumbs": {"keep_ratio": 0.2},
    "pcb": {"keep_ratio": 0.2},
    "sce": {"keep_ratio": 0.2},
    "localize-and-stitch": {"keep_ratio": 0.2},
    "knots": {"keep_ratio": 0.2},
}


def recipe_of(method: Method, base: str, experts: list[str]) -> dict[str, Any]:
    """What is merged how, but for λ."""
    return {"base": base, "method": method.name, "experts": experts, **PARAMETERS.get(method.name, {})}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quickstart", type=Path, default=Path("quickstart"), help="a finished quickstart")
    parser.add_argument("--out", type=Path, default=Path("methods"), help="folder for trials and hypotheses")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/methods.md"))
    arguments = parser.parse_args()
    settings = read_json(arguments.quickstart / "quickstart.json")
    languages, base, window = settings["languages"], settings["base"], settings["window"]
    experts = [str((arguments.quickstart / "experts" / f"{lang}-transcribe").resolve()) for lang in languages]
    data = arguments.quickstart / "data"
    dev, test = (
        [data / f"{lang}-transcribe-{split}.jsonl" for lang in languages] for split in ("dev", "test")
    )
    models = {base: "pretrained"}
    models |= {expert: f"expert {lang}" for lang, expert in zip(languages, experts, strict=True)}
    chosen: dict[str, dict[str, Any]] = {}
    for method in METHODS.values():
        recipe = recipe_of(method, base, experts)
        trials: dict[float, float] = {}
        if method.takes("scale"):
            scales = SCALES["mean" if method.name in MEANS or method.rest == "mean" else "sum"]
            search = choose_scale(
                recipe,
                scales,
                dev,
                arguments.out / "search" / method.name,
                {"window": window, "beam_size": 1},
            )
            recipe["scale"], trials = search.scale, search.trials
        merged = arguments.out / "merged" / method.name
        result = merge(recipe, merged, reuse=True)
        models[str(merged)] = method.name
        chosen[method.name] = {
            "signature": result.signature,
            "trials": {str(k): v for k, v in trials.items()},
        }
    evaluation = evaluate(
        list(models), test, arguments.out / "evaluation", names=models, beam_size=5, window=window, reuse=True
    )
    lines = [
        f"- {name}: `{entry['signature']}`"
        + (", dev WER " + ", ".join(f"{wer:.1f} at λ = {scale}" for scale, wer in entry["trials"].items()))
        * bool(entry["trials"])
        for name, entry in chosen.items()
    ]
    write_text(
        arguments.results,
        f"{markdown_table(evaluation)}\n## Recipes and trials\n\n" + "\n".join(lines) + "\n",
    )
    arguments.results.with_suffix(".json").write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
