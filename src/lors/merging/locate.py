"""From the name of a model in a recipe to a directory."""

from collections.abc import Sequence
from pathlib import Path
from re import compile as regex

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.checkpoints.find import find_checkpoint

_HUB_ID = regex(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form of a Hub id, `organisation/model`."""
    return _HUB_ID.fullmatch(name) is not None


def find_local(name: str, folders: Sequence[Path]) -> Path | None:
    """What is at the path `name` in the first of `folders` that has it."""
    return next((path for path in _candidates(name, folders) if path.exists()), None)


def locate(name: str, folders: Sequence[Path]) -> Path:
    """The checkpoint directory that `name` stands for.

    A path is looked for in each of `folders`. What has the form of a Hub id is then asked from the cache and
    the Hub; but where its first part is a directory (`experts/fr` beside `experts/es`) it is taken for a
    mistyped path, and no network is touched.

    Raises:
        UsageError: nothing is there; the message says where it was looked for.
        LorsError: a Hub model that cannot be had.
    """
    if (local := find_local(name, folders)) is not None:
        return find_checkpoint(local)
    candidates = _candidates(name, folders)
    looked = " or ".join(str(candidate) for candidate in candidates)
    beside_others = any(candidate.parent.is_dir() for candidate in candidates)
    if is_hub_id(name) and (name.startswith("openai/whisper-") or not beside_others):
        try:
            return find_checkpoint(name)
        except LorsError as error:
            raise type(error)(f"{error} (No directory {looked} either.)") from None
    siblings = [p.name for c in candidates if c.parent.is_dir() for p in c.parent.iterdir() if p.is_dir()]
    hint = did_you_mean(Path(name).name, siblings) or " A model of the Hub is named organisation/model."
    raise UsageError(f"model '{name}': no such directory; looked for {looked}.{hint}")


def _candidates(name: str, folders: Sequence[Path]) -> list[Path]:
    path = Path(name).expanduser()
    return list(dict.fromkeys((folder / path).absolute() for folder in folders))
