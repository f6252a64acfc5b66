"""The two ways a command can fail, and the sentence that goes with each."""

from collections.abc import Iterable
from difflib import get_close_matches


class LorsError(Exception):
    """The work could not be done: a disk is full, a file is damaged, nothing can be reached.

    The message is one sentence for the user: where, what was found, what was expected, what to do.
    The command line prints it and exits with `exit_code`; no traceback is shown.
    """

    exit_code = 1


class UsageError(LorsError):
    """What the user asked for is wrong: a flag, a recipe, a manifest, a model that does not fit."""

    exit_code = 2


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the choice closest to `word`, or "" where none is close.

    Examples:
        >>> did_you_mean("sclae", ["scale", "method"])
        " Did you mean 'scale'?"
        >>> did_you_mean("zzz", ["scale"])
        ''
    """
    close = get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
