"""What the readers of published corpora share: which folders and splits are meant, and how the command reads."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError, did_you_mean
from lors.speech.languages import language_code


def existing_folder(path: Path, what: str) -> Path:
    """The folder; UsageError, with what was expected in it, where there is none."""
    if not path.is_dir():
        found = "is a file" if path.is_file() else "no such folder"
        raise UsageError(f"{path}: {found}; {what} was expected.")
    return path


def language_folders(
    corpus: Path, names: Sequence[str], code_of: Callable[[str], str | None]
) -> dict[str, str]:
    """Folder → Whisper's code, for each language that is named, in that order.

    Args:
        corpus: where the folders are.
        names: Whisper's codes, English names, or folders.
        code_of: Whisper's code of a folder; None for a folder that is no language, or none that Whisper knows.

    Raises:
        UsageError: no folder, or several, are of a language.
    """
    folders = {path.name: code_of(path.name) for path in sorted(corpus.iterdir()) if path.is_dir()}
    known = {name: code for name, code in folders.items() if code}
    chosen = {}
    for name in names:
        if name in known:
            chosen[name] = known[name]
            continue
        code = language_code(name)
        fitting = [folder for folder, its in known.items() if its == code]
        if not fitting:
            there = ", ".join(known) or "none"
            raise UsageError(
                f"{corpus}: no folder for the language '{name}'; the languages there are: {there}."
                f"{did_you_mean(name, known)}"
            )
        if len(fitting) > 1:
            raise UsageError(f"{corpus}: '{name}' may be {' or '.join(fitting)}; give the folder's name.")
        chosen[fitting[0]] = code
    if not chosen:
        raise UsageError(f"{corpus}: no language is named; choose of {', '.join(known) or 'none'}.")
    return chosen


def one_folder_each(folders: dict[str, str]) -> dict[str, str]:
    """The same folders; UsageError where two are of one language, whose manifests would have one name."""
    for folder, code in folders.items():
        other = next(name for name, its in folders.items() if its == code)
        if other != folder:
            raise UsageError(f"{other} and {folder} are both '{code}'; prepare them into two outputs.")
    return folders


def code_or_none(name: str) -> str | None:
    """Whisper's code of a language; None where it knows none."""
    try:
        return language_code(name)
    except UsageError:
        return None


def choose_splits(names: Sequence[str], official: Mapping[str, str], usual: Sequence[str]) -> dict[str, str]:
    """Official name → ours, for each split that is named, by either name; without names, the usual ones.

    Raises:
        UsageError: the corpus has no such split.
    """
    ours = {new: old for old, new in official.items()}
    chosen = {}
    for name in names or usual:
        old = name if name in official else ours.get(name)
        if old is None:
            raise UsageError(
                f"'{name}': no split of this corpus; the splits are {', '.join(official)}."
                f"{did_you_mean(name, official)}"
            )
        chosen[old] = official[old]
    return chosen


def typed(words: Sequence[str], settings: Mapping[str, Any]) -> str:
    """The command that was typed: `lors prepare WORDS` with a flag for each setting that says something."""
    words = ["lors", "prepare", *words]
    for key, value in settings.items():
        flag = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value not in (False, None, "", [], ()):
            words += [flag, ",".join(value) if isinstance(value, list | tuple) else str(value)]
    return shlex.join(words)
