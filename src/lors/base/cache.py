"""The one folder outside a user's own that LoRS writes to."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """`$LORS_CACHE`, or `lors` in the user's cache folder (`$XDG_CACHE_HOME`, `~/.cache`)."""
    if named := os.environ.get("LORS_CACHE"):
        return Path(named).expanduser().absolute()
    parent = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(parent).expanduser().absolute() / "lors"
