"""From the name of a model to a directory on this machine."""

from pathlib import Path

from lors.base.cache import cache_directory
from lors.base.errors import UsageError
from lors.checkpoints.whisper_base import fetch_whisper_base


def find_checkpoint(name: str | Path) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    local = cache_directory() / "models" / str(name).replace("/", "--")
    if (local / "config.json").is_file():
        return local
    if str(name) == "openai/whisper-base":
        return fetch_whisper_base(local)
    raise UsageError(f"{name}: no such directory.")
