"""What each kind of job does: one function of the package, told where its inputs are and what to make."""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from lors.base.files import atomic_directory, read_json

Inputs = Mapping[str, Sequence[Path | str]]
"""Role → where its files and models are."""

_BATCH_MEMORY = 2 << 30

MODEL = "model"
"""What an evaluation calls the only model it holds."""

PRETRAINED = "pretrained"
"""What a search calls the base model."""


def do_job(kind: str, parameters: Mapping[str, Any], inputs: Inputs, out: Path) -> None:
    """Make `out`, whole or not at all; what an earlier, interrupted call left is taken up.

    Raises:
        LorsError: it cannot be done.
    """
    _KINDS[kind](parameters, inputs, out)


def _subset(parameters: Mapping[str, Any], inputs: Inputs, out: Path) -> None:
    from lors.speech.corpora.subsets import subset
    from lors.speech.manifest import Utterance, stream_manifest, write_manifest

    def rows() -> "chain[Utterance]":
        return chain.from_iterable(stream_manifest(Path(path)) for path in inputs["source"])

    chosen = subset(((one.id, one.duration) for one in rows()), parameters["hours"], parameters["seed"])
    with atomic_directory(out, overwrite=True) as partial:
        # Written where it will lie: audio paths are relative to the manifest.
        write_manifest(partial / "train.jsonl", (one for one in rows() if one.id in chosen))


def _finetune(parameters: Mapping[str, Any], inputs: Inputs, out: Path) -> None:
    import torch

    from lors.merging.workers import one_core_each
    from lors.speech.finetuning import finetune

    def run() -> None:
        finetune(
            inputs["base"][0],
            [Path(path) for path in inputs["train"]],
            out,
            [Path(path) for path in inputs["dev"]],
            reuse=True,
            **parameters,
        )

    if torch.cuda.is_available():
        run()
        return
    # On several threads sums round differently from run to run, and a repeated study would give other tables.
    with one_core_each():
        run()


def _tune(parameters: Mapping[str, Any], inputs: Inputs, out: Path) -> None:
    from lors.study.tuning.tune import tune

    settings = dict(parameters)
    recipe = _recipe(settings.pop("method"), settings.pop("fixed"), inputs)
    dev, pretrained = [Path(path) for path in inputs["dev"]], Path(inputs["pretrained"][0])
    tune(recipe, dev, out, pretrained=pretrained, **settings)


def _merge(parameters: Mapping[str, Any], inputs: Inputs, out: Path) -> None:
    from lors.merging.engine import merge

    merge(_recipe(parameters["method"], merged_settings(parameters, inputs), inputs), out, overwrite=True)


def _evaluate(parameters: Mapping[str, Any], inputs: Inputs, out: Path) -> None:
    from lors.speech.decoding.available import default_memory
    from lors.speech.evaluation import evaluate

    model, settings = inputs["model"][0], dict(parameters)
    name = settings.pop("name", MODEL)
    # Not by what happens to be free: other batches may round otherwise.
    memory = None if os.environ.get("CUDA_VISIBLE_DEVICES") else min(default_memory(), _BATCH_MEMORY)
    evaluate(
        [model],
        [Path(path) for path in inputs["data"]],
        out,
        names={model: name},
        memory=memory,
        reuse=True,
        **settings,
    )


def merged_settings(parameters: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """The recipe keys of a merge: what was fixed, and what its search chose."""
    from lors.study.tuning.tune import RECORD

    chosen = dict(parameters["fixed"])
    for search in inputs.get("search", ()):
        chosen |= read_json(Path(search) / RECORD)["best"]["values"]
    return chosen


def _recipe(method: str, settings: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    experts = [str(path) for path in inputs["experts"]]
    return {"base": str(inputs["base"][0]), "method": method, "experts": experts, **settings}


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Inputs, Path], None]] = {
    "subset": _subset,
    "finetune": _finetune,
    "tune": _tune,
    "merge": _merge,
    "evaluate": _evaluate,
}
