"""Search the settings of a merge on development data."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from lors.base.errors import UsageError
from lors.base.files import read_json, sha256_of, write_json, write_text
from lors.base.lock import exclusive
from lors.base.progress import say
from lors.merging.engine import TaskSum, merge, task_sum
from lors.merging.locate import find_local
from lors.merging.plan import make_plan
from lors.merging.recipe import Recipe
from lors.speech.evaluation import Evaluation, evaluate, read_evaluation
from lors.speech.manifest import read_manifest
from lors.study.tuning_space import Candidate, read_candidates

RECORD = "tuning.json"
RECIPE = "recipe.yaml"
_REQUEST = "request.json"
_WHATEVER_ELSE = {"trials", "pretrained", "candidate", RECORD, RECIPE, "trials.md", "curve.png"}


@dataclass(frozen=True)
class Trial:
    """One candidate, decoded and scored.

    Attributes:
        values: key → value, of what is tried; empty for the pretrained model.
        beam_size: of the decoder.
        metric: "wer" (per cent, the lower the better) or "bleu" (0 to 100, the higher the better).
        value: the mean over languages.
        low, high: its 95 % bootstrap interval.
        n: utterances.
        loops: hypotheses that looped.
        signature: metric, normaliser, model, data and decoder.
    """

    values: Mapping[str, Any]
    beam_size: int
    metric: str
    value: float
    low: float
    high: float
    n: int
    loops: int
    signature: str

    @property
    def cost(self) -> float:
        """The lower the better."""
        return self.value if self.metric == "wer" else -self.value


@dataclass(frozen=True)
class Tuning:
    """What a search found; all of it also stands in `tuning.json`.

    Attributes:
        directory: with `recipe.yaml`, `trials.md`, `curve.png` and `tuning.json`.
        best: the trial that won, at the full beam.
        as_good: of the trials at the full beam, the values of those that lie within the best one's interval.
        pretrained: the base model at the full beam.
        trials: all, the greedy look first.
    """

    directory: Path
    best: Trial
    as_good: tuple[Mapping[str, Any], ...]
    pretrained: Trial
    trials: tuple[Trial, ...]


def tune(
    recipe: Path | Mapping[str, Any],
    dev: Sequence[Path],
    out: Path,
    *,
    tried: Mapping[str, Sequence[Any]] | None = None,
    short_list: int = 3,
    beam_size: int = 5,
    window: int = 1500,
    quantization: str | None = None,
    limit: int | None = None,
    overwrite: bool = False,
) -> Tuning:
    """Merge at every combination of the values, decode development data, and keep the best recipe.

    All candidates are decoded greedily; the best few, and the pretrained model, are decoded again with the full
    beam, which decides. Task vectors are pruned once for all λ. Of equal candidates the first wins, so the smaller λ,
    which stays closer to the base. `out` keeps each trial's scores and hypotheses, not its weights: a search that was
    killed goes on where it stood, one that has ended costs nothing.

    Args:
        recipe: a recipe file or a mapping of its keys; keys that are tried may be missing in it.
        dev: manifests, all of transcriptions (WER decides) or all of translations (BLEU decides).
        out: the folder to make.
        tried: key → values; λ alone by default.
        short_list: how many are decoded with the full beam; 1 or more.
        beam_size: 1 (greedy) to 100.
        window, quantization, limit: as in `evaluate`.
        overwrite: replace what is at `out`.

    Raises:
        UsageError: recipe, values, data or a setting are wrong, or `out` holds something else.
        LorsError: a model cannot be merged or decoded.
    """
    out = Path(out)
    candidates = read_candidates(recipe, tried or {})
    if short_list < 1:
        raise UsageError(f"short list {short_list}: expected 1 or more.")
    task = _task(dev, limit)
    plan = make_plan(candidates[0].recipe)
    decoding: dict[str, Any] = {"window": window, "quantization": quantization, "limit": limit}
    request = {
        "recipes": [candidate.recipe.resolved() for candidate in candidates],
        "inputs": plan.digests(),
        "dev": [sha256_of(path) for path in dev],
        "short_list": short_list,
        "beam_size": beam_size,
        **decoding,
    }
    with exclusive(out):
        _claim(out, request, overwrite)
        search = _Search(out, candidates, [Path(path) for path in dev], task, decoding)
        first = [search.trial(candidate, 1) for candidate in candidates]
        ranked = sorted(range(len(first)), key=lambda place: (first[place].cost, place))
        chosen = [candidates[place] for place in sorted(ranked[:short_list])]
        last = [search.trial(candidate, beam_size) for candidate in chosen]
        pretrained = search.pretrained(plan.base.directory, beam_size)
        best = min(last, key=lambda trial: trial.cost)
        as_good = tuple(trial.values for trial in last if _within(trial, best))
        trials = tuple(first if beam_size == 1 else [*first, *last])
        result = Tuning(out, best, as_good, pretrained, trials)
        _write(result, chosen[last.index(best)].recipe)
    return result


class _Search:
    """Candidates of one search, merged, decoded and remembered one by one."""

    def __init__(
        self,
        out: Path,
        candidates: Sequence[Candidate],
        dev: Sequence[Path],
        task: str,
        decoding: Mapping[str, Any],
    ) -> None:
        self._out, self._dev, self._task, self._decoding = out, dev, task, decoding
        self._candidates = candidates
        self._sums: tuple[object, TaskSum] | None = None

    def trial(self, candidate: Candidate, beam_size: int) -> Trial:
        """The candidate's score: what an earlier run has left, or else merged and decoded now."""
        folder = self._out / "trials" / f"beam-{beam_size}" / candidate.name.replace(" ", "_")
        merged = self._out / "candidate"
        if not (folder / "results.json").is_file():
            merge(candidate.recipe, merged, overwrite=True, known_sum=self._sum(candidate))
            evaluation = self._evaluate(merged, folder, beam_size)
            shutil.rmtree(merged)
        else:
            evaluation = read_evaluation(folder)
        return self._told(candidate.values, candidate.name, evaluation, beam_size)

    def pretrained(self, base: Path, beam_size: int) -> Trial:
        """The base model's score."""
        evaluation = self._evaluate(base, self._out / "pretrained", beam_size)
        return self._told({}, "pretrained", evaluation, beam_size)

    def _evaluate(self, model: Path, folder: Path, beam_size: int) -> Evaluation:
        return evaluate(
            [model],
            self._dev,
            folder,
            names={model: "model"},
            beam_size=beam_size,
            reuse=True,
            **self._decoding,
        )

    def _told(self, values: Mapping[str, Any], name: str, evaluation: Evaluation, beam_size: int) -> Trial:
        score = evaluation.score("model", self._task)
        interval = f"{score.low:.2f}–{score.high:.2f}"
        say(f"{name}: {score.metric.upper()} {score.value:.2f} ({interval}), beam {beam_size}")
        return Trial(
            values=dict(values),
            beam_size=beam_size,
            metric=score.metric,
            value=score.value,
            low=score.low,
            high=score.high,
            n=score.n,
            loops=score.loops,
            signature="; ".join([score.signature, *_of_languages(evaluation, self._task)]),
        )

    def _sum(self, candidate: Candidate) -> TaskSum | None:
        """Σ wi·f(τi), kept while it is the same and more than one candidate shares it."""
        key = candidate.without_scale()
        sharing = sum(other.without_scale() == key for other in self._candidates)
        if not candidate.recipe.takes("scale") or sharing < 2:
            return None
        if self._sums is None or self._sums[0] != key:
            self._sums = None  # before the next is made: each takes as much memory as the model
            self._sums = (key, task_sum(candidate.recipe))
        return self._sums[1]


def _of_languages(evaluation: Evaluation, task: str) -> list[str]:
    """The signatures behind a mean over languages; none where the score is one language's own."""
    found = [score.signature for score in evaluation.scores if score.task == task and score.source_lang]
    return found if len(found) > 1 else []


def _task(dev: Sequence[Path], limit: int | None) -> str:
    if not dev:
        raise UsageError("no development data: name a manifest with --dev.")
    tasks = {
        utterance.task: path for path in dev for utterance in read_manifest(Path(path), check_audio=False)
    }
    if len(tasks) > 1:
        raise UsageError(
            f"{tasks['translate']}: holds translations, and {tasks['transcribe']} transcriptions; WER and BLEU are no "
            "common measure: tune on the one or the other."
        )
    return next(iter(tasks))


def _claim(out: Path, request: Mapping[str, Any], overwrite: bool) -> None:
    """Make `out` the folder of this search, or find that it is."""
    record = out / _REQUEST
    if record.is_file() and read_json(record) == request:
        say(f"Going on in {out}")
        return
    if out.exists() and any(out.iterdir()):
        if not overwrite:
            held = "a search with other settings, models or data" if record.is_file() else "something else"
            raise UsageError(f"{out}: holds {held}; name another folder, or pass --overwrite to replace it.")
        foreign = [path for path in out.iterdir() if path.name not in _WHATEVER_ELSE | {_REQUEST}]
        if not record.is_file() or foreign:
            raise UsageError(f"{out}: is no folder of `lors tune`; remove it yourself, or name another.")
        shutil.rmtree(out)
    write_json(record, request)


def _within(trial: Trial, best: Trial) -> bool:
    return trial.value <= best.high if best.metric == "wer" else trial.value >= best.low


def _write(result: Tuning, recipe: Recipe) -> None:
    from lors.study.tuning_report import draw_curve, trials_table

    write_text(
        result.directory / RECIPE, yaml.safe_dump(_portable(recipe), sort_keys=False, allow_unicode=True)
    )
    write_text(result.directory / "trials.md", trials_table(result))
    draw_curve(result, result.directory / "curve.png")
    write_json(result.directory / RECORD, {**asdict(result), "directory": None})


def _portable(recipe: Recipe) -> dict[str, Any]:
    """The recipe as resolved, its models named so that they are found from anywhere."""

    def place(name: str) -> str:
        local = find_local(name, recipe.folders())
        return name if local is None else str(local)

    content = recipe.resolved()
    content["base"] = place(content["base"])
    content["experts"] = [{**expert, "model": place(expert["model"])} for expert in content["experts"]]
    return content
