"""What a search over merges shows: a table of its trials, and in words what won."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lors.study.tuning.trial import AGAINST, DIFFER

if TYPE_CHECKING:
    from lors.study.tuning.trial import Trial
    from lors.study.tuning.tune import Tuning

_LOOKS = {"loss": "loss", "greedy": "beam 1"}


def trials_table(tuning: "Tuning") -> str:
    """Markdown: every trial with its interval, the best at the top of its look, and what each number is."""
    keys = list(tuning.best.values)
    held_out = any(trial.retention is not None for trial in tuning.trials)
    heads = [*keys, "measured by", "value (95 % interval)", "n", "loops", *["held out, %"] * held_out]
    lines = [f"| {' | '.join(heads)} |", f"|{'--:|' * len(heads)}"]
    order = sorted(tuning.trials, key=lambda trial: (-trial.beam_size, -trial.n, trial.cost))
    for trial in [*order, tuning.pretrained]:
        cells = [shown(trial.values.get(key, "")) if trial.values else "pretrained" for key in keys]
        score = with_interval(trial)
        cells += [
            how(trial),
            f"**{score}**" if trial == tuning.best else score,
            str(trial.n),
            str(trial.loops),
        ]
        if held_out:
            cells.append("" if trial.retention is None else _held_out(trial, tuning))
        lines.append(f"| {' | '.join(cells)} |")
    notes = [
        f"As good within its interval: {as_good(tuning)}.",
        f"{in_cells(tuning)}.",
        f"`{tuning.best.signature}`",
    ]
    if any(trial.look == "loss" for trial in tuning.trials):
        notes.insert(0, _LOSS_NOTE.format(against=AGAINST[tuning.best.against]))
    if any(trial.look == DIFFER for trial in tuning.trials):
        notes.insert(0, _DIFFER_NOTE)
    return "\n".join(lines) + "\n\n" + "\n\n".join(notes) + "\n"


_LOSS_NOTE = (
    "loss: change of the teacher-forced negative log-likelihood per token of the text against {against}, in "
    "per cent, mean over languages and tasks, on the first n clips; what looked worse was measured on fewer."
)

_DIFFER_NOTE = (
    "where two differ: decoded on the n clips in which the first two of the short list made different mistakes, and "
    "counted as the first of them on all others."
)


def as_good(tuning: "Tuning") -> str:
    """In words: which of the short list the data cannot tell from the best."""
    return "; ".join(values_in_words(values) for values in tuning.as_good)


def in_cells(tuning: "Tuning") -> str:
    """In words: the best trial and the pretrained model in each language and task."""
    base = tuning.pretrained.cells
    parts = [f"{name} {value:.2f} (pretrained {base[name]:.2f})" for name, value in tuning.best.cells.items()]
    return ", ".join(parts) or "one language"


def values_in_words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {shown(value)}" for key, value in values.items())


def how(trial: "Trial") -> str:
    """What a trial is measured by, as a heading."""
    look = _LOOKS.get(trial.look, f"beam {trial.beam_size}" + f" {DIFFER}" * (trial.look == DIFFER))
    return look if look == "loss" else f"{unit(trial)}, {look}"


def unit(trial: "Trial") -> str:
    """What its value is: "WER, %", "BLEU" or a change in per cent."""
    if trial.look == "loss":
        return f"loss, % against {trial.against}"
    return {"wer": "WER, %", "bleu": "BLEU"}.get(trial.metric, f"% against {trial.against}")


def with_interval(trial: "Trial") -> str:
    """ "10.26 (6.60–14.07)", or of a change "-47.66 (-59.51 to -34.47)"."""
    between = " to " if trial.metric == "relative" else "–"
    return f"{trial.value:.2f} ({trial.low:.2f}{between}{trial.high:.2f})"


def shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _held_out(trial: "Trial", tuning: "Tuning") -> str:
    told = f"{trial.retention:+.2f} ({trial.retention_low:+.2f} to {trial.retention_high:+.2f})"
    return f"{told}, refused" if trial.values in tuning.refused else told
