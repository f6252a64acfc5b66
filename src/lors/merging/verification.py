"""Whether a merged model is what it says it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from lors.base.cache import cache_directory
from lors.base.digests import computing_afresh
from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json
from lors.checkpoints.read import Checkpoint
from lors.merging.locate import find_local, is_hub_id, open_model
from lors.merging.recipe import parse_recipe
from lors.merging.record import CARD, RECORD, file_digests
from lors.merging.signature import format_signature


@dataclass(frozen=True)
class Check:
    """One thing that a merged model claims.

    Attributes:
        claim: what should hold.
        holds: whether it does; None where it cannot be told here.
        found: what was found, where it does not hold or cannot be told.
    """

    claim: str
    holds: bool | None
    found: str = ""


@dataclass(frozen=True)
class Verification:
    """What was checked of a merged model."""

    signature: str
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing that could be checked is wrong."""
        return all(check.holds is not False for check in self.checks)


@dataclass(frozen=True)
class _Input:
    """A model that was merged."""

    role: str
    model: str
    sha256: str


def verify(directory: Path | str) -> Verification:
    """Recompute the digests of a merged model, and of its inputs where they are still here.

    Checked: every file against the sha256 in `merge.json`; the signature in the header of the weights and in
    the card; that the signature follows from the recipe and the inputs' digests; each input's digest, if a
    model of that name is found in the working directory, at its absolute path or in LoRS's cache folder. No
    network is touched.

    Raises:
        UsageError: `directory` is no merged model of LoRS.
        LorsError: `merge.json` is damaged.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; expected a merged model.")
    if not (directory / RECORD).is_file():
        raise UsageError(f"{directory}: holds no {RECORD}, so it was not merged by LoRS.")
    record = read_json(directory / RECORD)
    try:
        signature, recipe = str(record["signature"]), parse_recipe(record["recipe"])
        inputs = [
            _Input(*(str(entry[key]) for key in ("role", "model", "sha256"))) for entry in record["inputs"]
        ]
        version = str(record["versions"]["lors"])
        files = {str(name): str(digest) for name, digest in record["files"].items()}
    except (AttributeError, KeyError, TypeError, ValueError, LorsError):
        raise UsageError(
            f"{directory / RECORD}: is not the record of a merge, or of another version; merge again."
        ) from None
    with computing_afresh():
        checks, inputs_checked = _files(directory, files), _inputs(inputs)
    expected = format_signature(recipe, [entry.sha256 for entry in inputs], version)
    wrong = "" if expected == signature else f"from the recipe and the inputs it would be {expected}"
    checks.append(Check("the signature follows from recipe and inputs", not wrong, wrong))
    named = [recipe.base, *(expert.model for expert in recipe.experts)]
    same = named == [entry.model for entry in inputs]
    checks.append(Check("the inputs are those of the recipe", same, "" if same else ", ".join(named)))
    checks += _signatures(directory, signature)
    checks += inputs_checked
    return Verification(signature, tuple(checks))


def _files(directory: Path, recorded: Mapping[str, str]) -> list[Check]:
    found = file_digests(directory)
    checks = []
    for name, digest in recorded.items():
        state = (
            "" if found.get(name) == digest else "it is missing" if name not in found else "it was changed"
        )
        checks.append(Check(f"{name} is as it was written", not state, state))
    checks += [
        Check("there are no other files", False, f"{name} was added")
        for name in found.keys() - recorded.keys()
    ]
    return checks


def _signatures(directory: Path, signature: str) -> list[Check]:
    checks = []
    for path in sorted(directory.glob("*.safetensors")):
        claim = f"{path.name} has the signature in its header"
        try:
            with safe_open(path, framework="np") as weights:
                found = (weights.metadata() or {}).get("lors")
        except (SafetensorError, OSError) as error:
            checks.append(Check(claim, False, f"it cannot be read ({error})"))
            continue
        state = "" if found == signature else f"it has {found or 'none'}"
        checks.append(Check(claim, not state, state))
    card = directory / CARD
    has = card.is_file() and signature in card.read_text(encoding="utf-8", errors="replace")
    checks.append(Check(f"{CARD} has the signature", has, "" if has else "it has not"))
    return checks


def _inputs(inputs: Sequence[_Input]) -> list[Check]:
    checks = []
    base: Checkpoint | None = None
    for entry in inputs:
        claim = f"{entry.role} {entry.model} is the one that was merged"
        try:
            found = open_model(entry.model, [Path()], base) if _is_here(entry.model) else None
            if found is None:
                checks.append(Check(claim, None, "it is not here"))
                continue
            same = found.sha256() == entry.sha256
        except LorsError as error:
            checks.append(Check(claim, None, str(error)))
            continue
        checks.append(Check(claim, same, "" if same else "it was changed"))
        # What adapters are opened on; a base comes before its experts.
        base = found if entry.role == "base" else base
    return checks


def _is_here(name: str) -> bool:
    """Whether a model can be opened without the network."""
    cached = cache_directory() / "models" / name.replace("/", "--")
    return find_local(name, [Path()]) is not None or (is_hub_id(name) and cached.is_dir())
