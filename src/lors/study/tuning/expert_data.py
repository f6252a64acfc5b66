"""Which development data belong to which expert, by what each was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lors.base.errors import UsageError
from lors.base.files import read_json
from lors.speech.manifest import read_manifest


@dataclass(frozen=True)
class Own:
    """An expert's development data: manifests, and the languages and tasks in them, as "es-transcribe"."""

    manifests: tuple[Path, ...]
    groups: frozenset[str]


def own_data(expert: Path, dev: Sequence[Path], option: str) -> Own:
    """The manifests of the languages and tasks that an expert was trained on, one at least.

    Args:
        expert: its directory; `finetune.json` there tells what it was trained on.
        dev: manifests.
        option: that asks for it, for messages.

    Raises:
        UsageError: the expert does not say what it was trained on, has no manifest, or one that holds more.
    """
    record = Path(expert) / "finetune.json"
    if not record.is_file():
        raise UsageError(
            f"{option}: {expert} has no finetune.json that tells what it was trained on; leave {option} out."
        )
    trained = set(read_json(record).get("train_groups", {}))
    own: dict[Path, set[str]] = {}
    for path in dev:
        groups = {f"{u.source_lang}-{u.task}" for u in read_manifest(Path(path), check_audio=False)}
        if groups <= trained:
            own[Path(path)] = groups
        elif groups & trained:
            raise UsageError(
                f"{path}: holds {min(groups & trained)}, which {expert} was trained on, and {min(groups - trained)}; "
                f"{option} wants a manifest for each."
            )
    if not own:
        raise UsageError(
            f"{option}: no manifest of {', '.join(sorted(trained))} for {expert}; add one with --dev."
        )
    return Own(tuple(own), frozenset().union(*own.values()))


def shared_out(experts: Sequence[Path], dev: Sequence[Path], option: str) -> list[Own]:
    """Each expert's own data; each manifest belongs to one expert.

    Raises:
        UsageError: as `own_data`; a manifest belongs to two experts, or to none.
    """
    owns = [own_data(expert, dev, option) for expert in experts]
    for path in map(Path, dev):
        owners = [expert for expert, own in zip(experts, owns, strict=True) if path in own.manifests]
        if not owners:
            raise UsageError(
                f"{option}: no expert was trained on what {path} holds; leave it or {option} out."
            )
        if len(owners) > 1:
            raise UsageError(
                f"{option}: {owners[0]} and {owners[1]} were both trained on what {path} holds, and one is wanted; "
                f"leave {option} out."
            )
    return owns
