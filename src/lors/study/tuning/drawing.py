"""Trials drawn one after another by Optuna's tree-structured Parzen estimator, kept in an SQLite file."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lors.base.errors import UsageError
from lors.study.tuning.space import Range

if TYPE_CHECKING:
    import optuna

STORAGE = "optuna.sqlite3"
_STUDY = "lors tune"

# Of a number that is drawn: what lies closer together no development data tell apart.
_DIGITS = 3


def draw_trials(
    folder: Path,
    space: Mapping[str, Sequence[Any] | Range],
    trials: int,
    seed: int,
    measure: Callable[[Mapping[str, Any]], float],
) -> list[dict[str, Any]]:
    """The values of so many finished trials, in order; those of an earlier run are taken from the file.

    Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"; Akiba et al. 2019, "Optuna",
    arXiv:1907.10902. Every trial's random numbers follow from the seed and its number, so that a search that was
    interrupted goes on as if it had not been.

    Args:
        folder: holds the file.
        space: key → values to choose among, or a range.
        trials: how many in all.
        seed: of the draws.
        measure: values → cost, the lower the better.

    Raises:
        UsageError: Optuna is not installed, or `trials` is below 1.
    """
    if trials < 1:
        raise UsageError(f"trials {trials}: expected 1 or more.")
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{(folder / STORAGE).absolute()}", study_name=_STUDY, load_if_exists=True
    )
    finished = optuna.trial.TrialState.COMPLETE
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # of a run that was killed
    while (number := len(study.get_trials(deepcopy=False, states=(finished,)))) < trials:
        study.sampler = optuna.samplers.TPESampler(seed=seed * 1_000_003 + number)
        trial = study.ask()
        values = {key: _draw(trial, key, choices) for key, choices in space.items()}
        trial.set_user_attr("values", values)
        study.tell(trial, measure(values))
    done = study.get_trials(deepcopy=False, states=(finished,))
    return [dict(trial.user_attrs["values"]) for trial in done[:trials]]


def _draw(trial: "optuna.Trial", key: str, choices: Sequence[Any] | Range) -> Any:
    if not isinstance(choices, Range):
        # Optuna keeps plain values only; a place in the list stands for any.
        place = trial.suggest_categorical(key, list(range(len(choices))))
        return choices[place]
    if choices.is_whole:
        return trial.suggest_int(key, int(choices.low), int(choices.high), log=choices.is_logarithmic)
    drawn = trial.suggest_float(key, choices.low, choices.high, log=choices.is_logarithmic)
    return min(choices.high, max(choices.low, float(f"{drawn:.{_DIGITS}g}")))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError(
            "--trials needs Optuna, which is not installed: pip install 'lors[tune]'; or name values and leave "
            "--trials out, and all their combinations are tried."
        ) from None
    return optuna
