"""Word errors of two text files, line by line."""

from dataclasses import dataclass
from pathlib import Path

from lors.base.errors import UsageError
from lors.speech.normalisation import DEFAULT_NORMALISER, find_normaliser
from lors.speech.wer import SIGNATURE, WordErrors, total, word_errors


@dataclass(frozen=True)
class FileScore:
    """Summed word errors, and how they were counted."""

    errors: WordErrors
    signature: str


def score_files(reference: Path, hypothesis: Path, normaliser: str = DEFAULT_NORMALISER) -> FileScore:
    """Score a hypothesis file against a reference file: UTF-8, one utterance a line, in the same order.

    An empty line is an utterance without words; a line feed after the last line starts no other.

    Raises:
        UsageError: a file is missing, empty or not UTF-8, the numbers of lines differ, or the
            references hold no word.
    """
    normalise = find_normaliser(normaliser)
    truths, guesses = _read_lines(Path(reference)), _read_lines(Path(hypothesis))
    if len(truths) != len(guesses):
        raise UsageError(
            f"{hypothesis}: {len(guesses)} lines, but {reference} has {len(truths)}: "
            f"line {min(len(truths), len(guesses)) + 1} has no counterpart; give one line to each utterance."
        )
    errors = total(
        word_errors(normalise(truth), normalise(guess)) for truth, guess in zip(truths, guesses, strict=True)
    )
    if not errors.words:
        raise UsageError(f"{reference}: no word is left after normalisation; there is nothing to score.")
    return FileScore(errors, f"{SIGNATURE}|normaliser:{normalise.signature}")


def _read_lines(path: Path) -> list[str]:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise UsageError(f"{path}: {what}; a text file was expected.")
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not content:
        raise UsageError(f"{path}: the file is empty; one utterance a line was expected.")
    lines = content.split(b"\n")  # not splitlines, which also breaks at characters that stand inside a text
    if not lines[-1]:
        lines.pop()
    decoded = []
    for number, line in enumerate(lines, start=1):
        try:
            decoded.append(line.decode("utf-8").removesuffix("\r"))
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{path}:{number}: not UTF-8 (byte {error.start + 1}); save the file as UTF-8."
            ) from None
    return decoded
