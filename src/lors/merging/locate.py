"""From the name of a model in a recipe to its tensors."""

from collections.abc import Sequence
from pathlib import Path
from re import compile as regex
from unicodedata import normalize

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.checkpoints.find import find_checkpoint
from lors.checkpoints.lora import is_adapter, open_adapter
from lors.checkpoints.read import WEIGHTS, Checkpoint, open_checkpoint

_PICKLED = {".pt", ".pth"}
_HUB_ID = regex(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form of a Hub id, `organisation/model`."""
    return _HUB_ID.fullmatch(name) is not None


def find_local(name: str, folders: Sequence[Path]) -> Path | None:
    """What is at the path `name` in the first of `folders` that has it.

    An é may be one character or two (NFC, NFD): where `name` is not there as it is written, the other will do.
    """
    spellings = dict.fromkeys([name, *(normalize(form, name) for form in ("NFC", "NFD"))])
    paths = (path for spelling in spellings for path in _candidates(spelling, folders))
    return next((path for path in paths if path.exists()), None)


def open_model(name: str, folders: Sequence[Path], base: Checkpoint | None = None) -> Checkpoint:
    """Open the model that `name` stands for: a directory, an OpenAI `.pt` file or a Hub id.

    With a `base` it may also be the directory of a LoRA adapter that fits that.

    Raises:
        UsageError, LorsError: as `locate`; and what is there is no model, is damaged, or does not fit.
    """
    local = find_local(name, folders)
    if local is not None and local.is_file() and local.suffix in _PICKLED:
        from lors.checkpoints.openai_pt import open_openai

        return open_openai(local.resolve())
    if local is not None and is_adapter(local) and not (local / WEIGHTS).is_file():
        if base is None:
            raise UsageError(f"{local}: a LoRA adapter, which is no base; name the model it was trained on.")
        return open_adapter(local.resolve(), base)
    return open_checkpoint(locate(name, folders).resolve())


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
            if str(error).startswith(f"{name}: no such directory"):
                raise
            raise type(error)(f"{error} (No directory {looked} either.)") from None
    parents = [candidate.parent for candidate in candidates if candidate.parent.is_dir()]
    siblings = [p.name for parent in parents for p in parent.iterdir() if p.is_dir() or p.suffix in _PICKLED]
    hint = did_you_mean(Path(name).name, siblings) or " A model of the Hub is named organisation/model."
    kind = "file" if Path(name).suffix in _PICKLED else "directory"
    raise UsageError(f"model '{name}': no such {kind}; looked for {looked}.{hint}")


def _candidates(name: str, folders: Sequence[Path]) -> list[Path]:
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # ~someone who is not a user here
        path = Path(name)
    return list(dict.fromkeys((folder / path).absolute() for folder in folders))
