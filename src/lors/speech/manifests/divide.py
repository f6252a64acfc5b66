"""Parts of a manifest: so many hours of it, or train, dev and test without a speaker in two of them."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lors.base.errors import UsageError
from lors.base.files import atomic_directory, atomic_file, refuse_existing, write_json, write_text
from lors.speech.corpora.subsets import subset
from lors.speech.manifest import Utterance, stream_manifest, write_manifest

SPLITS = ("train", "dev", "test")


@dataclass
class Written:
    """A manifest that was written.

    Attributes:
        path: where.
        utterances, seconds: in it.
        speakers: different names in it.
        ids_sha256: of its ids in their order, each with a line feed after it.
    """

    path: Path
    utterances: int = 0
    seconds: float = 0.0
    speakers: int = 0
    ids_sha256: str = ""


def subset_manifest(
    source: Path, out: Path, hours: float, seed: int = 0, *, overwrite: bool = False
) -> Written:
    """Write so many hours of a manifest, drawn as `lors.speech.corpora.subsets.subset` does, in its order.

    Beside `NAME.jsonl` stand `NAME.ids`, the ids one a line, and `NAME.ids.sha256`, which `sha256sum --check` reads.

    Raises:
        UsageError: `source` is shorter, or has a bad line; `out` or a file beside it exists.
    """
    source, out = Path(source), Path(out)
    ids, digest = out.with_suffix(".ids"), out.with_suffix(".ids.sha256")
    if ids == out:
        raise UsageError(f"{out}: the list of ids would have this name; name the manifest NAME.jsonl.")
    for path in (out, ids, digest):
        refuse_existing(path, overwrite)
    chosen = subset(((one.id, one.duration) for one in stream_manifest(source)), hours, seed)
    with atomic_file(ids) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:

        def kept() -> Iterator[Utterance]:
            for one in stream_manifest(source):
                if one.id in chosen:
                    file.write(f"{one.id}\n")
                    yield one

        written = _write(out, kept())
    write_text(digest, f"{written.ids_sha256}  {ids.name}\n")
    return written


def split_manifest(
    source: Path, out: Path, dev: float, test: float, seed: int = 0, *, overwrite: bool = False
) -> list[Written]:
    """Write `train.jsonl`, `dev.jsonl` and `test.jsonl` into the folder `out`, no speaker in two of them.

    Speakers are put in the order of the sha256 of seed and name. One after another goes into test if it still fits
    into its share of the seconds, else into dev, else into train; where test or dev would stay empty, the shortest
    speaker of the split that has most goes there.

    Args:
        source: a manifest in which every utterance has a speaker.
        out: the folder to make; `split.json` in it says what was done.
        dev, test: shares of the seconds, 0 or more and below 1 together; 0 for no such file.
        seed: any integer.

    Raises:
        UsageError: shares out of range, an utterance without a speaker, too few speakers, `out` exists.
    """
    source, out = Path(source), Path(out)
    if not (dev >= 0 and test >= 0 and dev + test < 1):
        raise UsageError(
            f"--dev {dev:g} --test {test:g}: shares of 0 or more, below 1 together, were expected."
        )
    refuse_existing(out, overwrite)
    home = _homes(_seconds_by_speaker(source), {"test": test, "dev": dev}, seed, source)
    written = []
    with atomic_directory(out, overwrite) as partial:  # beside `out`: relative paths stay right
        for name in SPLITS:
            if name in home.values():
                members = (one for one in stream_manifest(source) if home[one.speaker or ""] == name)
                found = _write(partial / f"{name}.jsonl", members)
                written.append(replace(found, path=out / f"{name}.jsonl"))
        settings = {"source": str(source), "by": "speaker", "dev": dev, "test": test, "seed": seed}
        parts = [asdict(one) | {"path": one.path.name} for one in written]
        write_json(partial / "split.json", {"settings": settings, "manifests": parts})
    return written


def _write(path: Path, utterances: Iterable[Utterance]) -> Written:
    written, speakers, ids = Written(path), set(), hashlib.sha256()

    def counted() -> Iterator[Utterance]:
        for one in utterances:
            written.utterances += 1
            written.seconds += one.duration
            speakers.add(one.speaker)
            ids.update(f"{one.id}\n".encode())
            yield one

    write_manifest(path, counted())
    written.speakers = len(speakers - {None})
    written.ids_sha256 = ids.hexdigest()
    return written


def _seconds_by_speaker(source: Path) -> dict[str, float]:
    seconds: defaultdict[str, float] = defaultdict(float)
    without, first = 0, ""
    for one in stream_manifest(source):
        if one.speaker is None:
            without += 1
            first = first or one.id
        else:
            seconds[one.speaker] += one.duration
    if without:
        raise UsageError(
            f"{source}: {without:,} utterances name no speaker, '{first}' the first; a split by speaker needs one in "
            "each."
        )
    return dict(seconds)


def _homes(seconds: dict[str, float], shares: dict[str, float], seed: int, source: Path) -> dict[str, str]:
    """Speaker → split."""
    total = sum(seconds.values())
    room = {name: share * total for name, share in shares.items() if share > 0}
    if len(seconds) <= len(room):
        raise UsageError(
            f"{source}: {len(seconds)} speakers cannot be divided into {len(room) + 1} manifests; name fewer, or "
            "more data."
        )
    home = {}
    for speaker in sorted(seconds, key=lambda name: _place(name, seed)):
        name = next((name for name in room if room[name] >= seconds[speaker]), "train")
        home[speaker] = name
        if name in room:
            room[name] -= seconds[speaker]
    for name in room:
        if name not in home.values():
            donor, speakers = Counter(home.values()).most_common(1)[0]
            assert speakers > 1  # for there are more speakers than manifests
            home[min((one for one in home if home[one] == donor), key=lambda one: seconds[one])] = name
    return home


def _place(speaker: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{speaker}".encode()).digest()
