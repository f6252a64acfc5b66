"""The search in two stages, as the paper does it: each expert's own ratios at λ = 1, then λ for all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.base.lock import exclusive
from lors.base.progress import say
from lors.merging.locate import find_local, open_model
from lors.merging.methods.parameters import PER_EXPERT
from lors.study.tuning.expert_data import own_data
from lors.study.tuning.report import values_in_words
from lors.study.tuning.space import Tried, content_of
from lors.study.tuning.tune import STAGES, Tuning, tune


def tune_in_stages(
    recipe: Path | Mapping[str, Any], dev: Sequence[Path], out: Path, *, tried: Tried, **given: Any
) -> Tuning:
    """Choose every expert's rank and keep ratio on its own development data, then the rest for all together.

    arXiv:2502.17380, section 4: an expert alone is pruned and added to the base with λ = 1; with the ratios that
    serve it best, λ is tuned on all data. Each search is one of `tune`, the experts' in `OUT/stages`.

    Args:
        recipe, dev, out: as in `tune`; a manifest belongs to the experts that were trained on its languages and task.
        tried: `rank_ratio` and `keep_ratio` are tried for each expert, all other keys for the merge.
        given: further arguments of `tune`.

    Raises:
        UsageError: no ratio is tried; an expert does not say what it was trained on, or has no manifest.
    """
    ratios = {key: values for key, values in tried.items() if key in PER_EXPERT}
    if not ratios:
        raise UsageError(f"--stages: name ratios for each expert, as --try {PER_EXPERT[0]}=0.01,0.05.")
    content = dict(content_of(recipe))
    folders = [*([Path(recipe).parent] if not isinstance(recipe, Mapping) else []), Path()]
    experts = [dict(e) if isinstance(e, Mapping) else {"model": e} for e in content.get("experts") or []]
    if not experts or any("model" not in expert for expert in experts):
        raise UsageError(f"{recipe}: expected experts, each with its model.")
    base = _place(str(content.get("base")), folders)
    for expert in experts:
        expert["model"] = _place(str(expert["model"]), folders)
    homes = [open_model(expert["model"], [Path()]).directory for expert in experts]
    owns = [own_data(home, dev, "--stages").manifests for home in homes]
    with exclusive(Path(out) / STAGES / "work"):
        for number, (expert, own) in enumerate(zip(experts, owns, strict=True), start=1):
            name = Path(expert["model"]).name
            say(
                f"Stage 1, expert {number} of {len(experts)}: {name}, on {', '.join(path.name for path in own)}"
            )
            alone = {**content, "base": base, "experts": [{"model": expert["model"]}], "scale": 1.0}
            folder = Path(out) / STAGES / f"{number}-{name}"
            own_given = {key: value for key, value in given.items() if key not in _OF_THE_MERGE}
            found = tune(alone, own, folder, tried=ratios, **own_given)
            expert.update(found.best.values)
            say(f"{name}: {values_in_words(found.best.values)}")
    say("Stage 2: all experts")
    rest = {key: values for key, values in tried.items() if key not in ratios}
    return tune({**content, "base": base, "experts": experts}, dev, out, tried=rest, **given)


# What makes no sense for one expert alone, or would have several searches share one folder.
_OF_THE_MERGE = ("pretrained", "weigh", "retain", "retain_within")


def _place(name: str, folders: Sequence[Path]) -> str:
    local = find_local(name, list(folders))
    return name if local is None else str(local)
