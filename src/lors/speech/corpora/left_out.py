"""What a reader of a corpus leaves out: counted by reason, or the end of the work."""

from collections import Counter
from dataclasses import dataclass, field

from lors.base.errors import LorsError, UsageError

LONGEST_SECONDS = 30.0
"""What Whisper hears at once."""


@dataclass(frozen=True)
class LeftOut:
    """Counts of what is left out of one kind of manifest.

    Attributes:
        skip_bad: whether a bad row is counted and left out; else it ends the work.
        maximum_seconds: longer clips are left out.
        counts: reason → number.
    """

    skip_bad: bool = False
    maximum_seconds: float = LONGEST_SECONDS
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if not 0 < self.maximum_seconds <= LONGEST_SECONDS:
            raise UsageError(
                f"maximum seconds: {self.maximum_seconds:g} was given; more than 0 and at most "
                f"{LONGEST_SECONDS:g} (what Whisper hears at once) is expected."
            )

    def bad(self, where: str, reason: str, what: str) -> None:
        """Count a bad row; LorsError, with its place and what is wrong, where none may be left out."""
        if not self.skip_bad:
            raise LorsError(
                f"{where}: {what.rstrip('.')}; mend it, or pass --skip-bad to leave such rows out and count them."
            )
        self.counts[reason] += 1

    def fresh(self) -> "LeftOut":
        """The same rules, and counts of its own."""
        return LeftOut(self.skip_bad, self.maximum_seconds)

    def told(self) -> str:
        """The counts in words, as "3 no text, 1 no audio file"."""
        return ", ".join(f"{number} {reason}" for reason, number in self.counts.items()) or "nothing"
