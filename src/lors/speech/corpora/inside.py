"""Paths that a corpus names, kept inside the corpus."""

import os
from pathlib import Path

from lors.base.errors import LorsError
from lors.base.visible import visible


class OutsideError(LorsError):
    """A corpus names a path outside itself."""


def inside(folder: Path, name: str) -> Path:
    """The path of `name` below `folder`, which it may not leave: by its parts, absolutely, or by a symbolic link.

    Args:
        folder: where the corpus is; it may itself be a symbolic link.
        name: a relative path that the corpus names; there need be no such file.

    Raises:
        OutsideError: the path leads elsewhere, or is none.
    """
    told = f"'{visible(name[:100])}'"
    if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise OutsideError(f"{told} is no path inside {folder}.")
    path = folder / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise OutsideError(f"{told} is a symbolic link that leads out of {folder}.")
    return path


def there(path: Path) -> bool:
    """Whether there is such a file; a name that is too long for one is none."""
    try:
        return path.exists()
    except OSError:
        return False
