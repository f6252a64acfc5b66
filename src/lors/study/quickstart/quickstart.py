"""The whole way once, on real weights and real voices: experts trained, merged, decoded and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.base.files import read_json, write_json
from lors.base.progress import say
from lors.merging.engine import merge
from lors.merging.methods.table import find_method
from lors.merging.workers import one_core_each
from lors.speech.corpora.prepared import PreparedCorpus
from lors.speech.corpora.prompts import prepare_prompts
from lors.speech.evaluation import Evaluation, evaluate
from lors.speech.finetuning import finetune
from lors.speech.finetuning_settings import has_fast_bfloat16
from lors.study.quickstart.report import write_report
from lors.study.quickstart.scale_search import ScaleSearch, choose_scale

_SETTINGS = "quickstart.json"

TITLES = {
    "weight-averaging": "weight averaging",
    "task-arithmetic": "task arithmetic",
    "svp": "SVP",
    "mp": "MP",
    "lors": "LoRS",
}
"""Method → what tables call it."""


@dataclass(frozen=True, kw_only=True)
class QuickstartSettings:
    """What is trained, merged and decoded; the defaults serve a person who waits at a machine of two cores.

    Attributes:
        base: the pretrained model.
        languages: one expert is trained on the transcription of each.
        epochs, learning_rate, batch_size, precision: of every expert's fine-tuning.
        window: encoder positions, for training and decoding alike.
        max_steps: steps of every fine-tuning, in place of `epochs`.
        scales: the λ that are tried for every method that takes one.
        rank_ratio, keep_ratio: of the methods that take them.
        beam_size: of the test; development data are decoded greedily.
        limit: clips of each language that are decoded, of the development and of the test data; None for all.
    """

    base: str = "openai/whisper-base"
    languages: tuple[str, ...] = ("es", "fr")
    epochs: float = 1.0
    learning_rate: float = 2e-5
    batch_size: int = 8
    precision: str = field(default_factory=lambda: "bfloat16" if has_fast_bfloat16() else "float32")
    window: int = 400
    max_steps: int | None = None
    scales: tuple[float, ...] = (0.4, 0.6, 0.8, 1.0)
    rank_ratio: float = 0.01
    keep_ratio: float = 0.2
    beam_size: int = 5
    limit: int | None = None


@dataclass(frozen=True)
class Quickstart:
    """What came out.

    Attributes:
        directory: the results folder.
        evaluation: every model on the test data.
        searches: method → how its λ was chosen.
    """

    directory: Path
    evaluation: Evaluation
    searches: Mapping[str, ScaleSearch]


def quickstart(out: Path, settings: QuickstartSettings | None = None) -> Quickstart:
    """Prepare telephone prompts, train one expert per language, merge in five ways, decode, score, report.

    Each step is the function behind the command of its name and keeps its result in `out`; the same call again
    goes on where it stood, and costs next to nothing once all is done.

    Raises:
        UsageError: `out` holds something else, or a run of other settings.
        LorsError: a step failed.
    """
    settings = settings or QuickstartSettings()
    _claim(out, settings)
    corpus = prepare_prompts(settings.languages, out / "data", reuse=True)
    experts = {language: _train(corpus, language, out, settings) for language in settings.languages}
    decoding: dict[str, Any] = {"window": settings.window, "limit": settings.limit}
    dev = [corpus.manifest(language, "transcribe", "dev") for language in settings.languages]
    test = [corpus.manifest(language, "transcribe", "test") for language in settings.languages]
    models = {settings.base: "pretrained"}
    models |= {str(path): f"expert {language}" for language, path in experts.items()}
    searches = {}
    for method, title in TITLES.items():
        recipe = _recipe(method, list(experts.values()), settings)
        if find_method(method).takes("scale"):
            searches[method] = choose_scale(
                recipe, settings.scales, dev, out / "search" / method, {**decoding, "beam_size": 1}
            )
            recipe["scale"] = searches[method].scale
        merged = out / "merged" / method
        merge(recipe, merged, reuse=True)
        models[str(merged)] = title
    evaluation = evaluate(
        list(models),
        test,
        out / "evaluation",
        names=models,
        beam_size=settings.beam_size,
        reuse=True,
        **decoding,
    )
    write_report(out, evaluation, searches)
    return Quickstart(out, evaluation, searches)


def _claim(out: Path, settings: QuickstartSettings) -> None:
    """Make `out` the folder of a run with these settings, or find that it is."""
    record, wanted = out / _SETTINGS, asdict(settings)
    wanted = {key: list(value) if isinstance(value, tuple) else value for key, value in wanted.items()}
    if record.is_file():
        found = read_json(record)
        for key, value in wanted.items():
            if found.get(key) != value:
                raise UsageError(
                    f"{record}: this folder holds a run with {key} = {found.get(key)}, and {value} is asked for; "
                    "name another folder with --out, or remove this one."
                )
        say(f"Going on in {out}")
    elif out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: the output exists already and is no quickstart; name another with --out.")
    else:
        write_json(record, wanted)


def _train(corpus: PreparedCorpus, language: str, out: Path, settings: QuickstartSettings) -> Path:
    expert = out / "experts" / f"{language}-transcribe"
    # On several threads sums round differently from run to run, and a repeated run would give another table.
    with one_core_each():
        finetune(
            settings.base,
            [corpus.manifest(language, "transcribe", "train")],
            expert,
            [corpus.manifest(language, "transcribe", "dev")],
            epochs=settings.epochs,
            max_steps=settings.max_steps,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            precision=settings.precision,
            window=settings.window,
            reuse=True,
        )
    return expert


def _recipe(method: str, experts: Sequence[Path], settings: QuickstartSettings) -> dict[str, Any]:
    ratios = {"rank_ratio": settings.rank_ratio, "keep_ratio": settings.keep_ratio}
    return {
        "base": settings.base,
        "method": method,
        "experts": [{"model": str(path)} for path in experts],
        **{name: value for name, value in ratios.items() if find_method(method).takes(name)},
    }
