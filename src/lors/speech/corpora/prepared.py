"""What every prepared corpus is: a folder of manifests, a record of how they came about, and a card."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lors.base.files import atomic_directory, read_json, sha256_of, write_json, write_text
from lors.speech.manifest import Utterance, write_manifest

RECORD = "prepare.json"
"""Where a prepared folder says how it was made."""


@dataclass(frozen=True)
class PreparedManifest:
    """One manifest: its file name, what it holds, and the digests of its bytes and of its ids, one a line."""

    name: str
    language: str
    task: str
    split: str
    clips: int
    seconds: float
    sha256: str
    ids_sha256: str


@dataclass(frozen=True)
class PreparedCorpus:
    """What a `prepare_…` function wrote.

    Attributes:
        directory: the folder, with `LANGUAGE-TASK-SPLIT.jsonl`, `prepare.json` and `README.md`.
        manifests: in the order of languages, tasks and splits.
        left_out: language (or manifest) → reason → number of clips.
        repairs: language → kind of repair → number of texts changed, of the clips that are kept.
    """

    directory: Path
    manifests: list[PreparedManifest]
    left_out: dict[str, dict[str, int]]
    repairs: dict[str, dict[str, int]] = field(default_factory=dict)

    def manifest(self, language: str, task: str, split: str) -> Path:
        """Path of the manifest of a language, a task ("transcribe", "translate") and a split."""
        return self.directory / f"{language}-{task}-{split}.jsonl"


@dataclass(frozen=True)
class Part:
    """The utterances of one manifest, all from one language into one.

    Attributes:
        source_lang, target_lang: Whisper's codes.
        split: "train", "dev", "test", or another name in lower case.
        utterances: read once, in the order of the manifest.
    """

    source_lang: str
    target_lang: str
    split: str
    utterances: Iterable[Utterance]

    @property
    def task(self) -> str:
        """ "transcribe", "translate" (into English), or "translate-XX"."""
        if self.source_lang == self.target_lang:
            return "transcribe"
        return "translate" if self.target_lang == "en" else f"translate-{self.target_lang}"


@dataclass(frozen=True)
class Card:
    """What the README of a prepared folder says beside its counts.

    Attributes:
        title: the corpus and its release.
        source: where it comes from, with an address.
        licence: under which it may be used, with an address.
        command: what made the folder, as one would type it.
        notes: paragraphs on splits, on what was changed, on credits.
    """

    title: str
    source: str
    licence: str
    command: str
    notes: Sequence[str] = ()


def write_corpus(
    out: Path,
    parts: Iterable[Part] | Callable[[Path], Iterable[Part]],
    left_out: Mapping[str, Mapping[str, int]],
    card: Card,
    settings: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> PreparedCorpus:
    """Write a prepared folder, whole or not at all; the audio stays where it is.

    Args:
        out: the folder to make.
        parts: for each manifest, its utterances; parts without any are left out. A function gets the folder as long
            as it is not whole, for readers that write audio into it.
        left_out: language → reason → number; read after all parts, so that readers may count as they go.
        card: for `README.md`.
        settings: what determined the result, for `prepare.json` and for `prepared_before`.
        overwrite: replace `out`.

    Raises:
        UsageError: `out` exists.
        LorsError: the disk is full; and what the parts raise.
    """
    with atomic_directory(out, overwrite) as partial:
        read = parts(partial) if callable(parts) else parts
        manifests = [made for part in read if (made := write_part(partial, part)) is not None]
        corpus = PreparedCorpus(out, manifests, {name: dict(counts) for name, counts in left_out.items()})
        write_json(partial / RECORD, record(corpus, card.title, settings))
        write_text(partial / "README.md", _readme(corpus, card))
    return corpus


def write_part(folder: Path, part: Part) -> PreparedManifest | None:
    """Write one manifest into `folder`, as it is read; None, and no file, where there is no utterance."""
    path = folder / f"{part.source_lang}-{part.task}-{part.split}.jsonl"
    clips, seconds, ids = 0, 0.0, hashlib.sha256()

    def counted() -> Iterator[Utterance]:
        nonlocal clips, seconds
        for utterance in part.utterances:
            clips += 1
            seconds += utterance.duration
            ids.update(f"{utterance.id}\n".encode())
            yield utterance

    write_manifest(path, counted())
    if not clips:
        path.unlink()
        return None
    return PreparedManifest(
        path.name,
        part.source_lang,
        part.task,
        part.split,
        clips,
        round(seconds, 3),
        sha256_of(path),
        ids.hexdigest(),
    )


def prepared_before(out: Path, settings: Mapping[str, Any]) -> PreparedCorpus | None:
    """What an earlier run with these settings and versions left at `out`, if it did."""
    path = out / RECORD
    found = read_json(path) if path.is_file() else {}
    if {key: found.get(key) for key in ("settings", "versions")} != {
        "settings": dict(settings),
        "versions": _versions(),
    }:
        return None
    manifests = [PreparedManifest(**manifest) for manifest in found["manifests"]]
    return PreparedCorpus(out, manifests, found["left_out"], found.get("repairs", {}))


def record(corpus: PreparedCorpus, title: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `prepare.json` says."""
    return {
        "corpus": title,
        "settings": dict(settings),
        "manifests": [asdict(manifest) for manifest in corpus.manifests],
        "left_out": corpus.left_out,
        "repairs": corpus.repairs,
        "versions": _versions(),
    }


def counts_table(name: str, counts: Mapping[str, Mapping[str, int]]) -> str:
    """A Markdown table: a row for each name that any language has, a column for each language."""
    rows = sorted(set().union(*counts.values()))
    return "\n".join(
        [
            f"| {name} | {' | '.join(counts)} |",
            f"|---|{'---:|' * len(counts)}",
            *(f"| {row} | {' | '.join(str(c.get(row, 0)) for c in counts.values())} |" for row in rows),
        ]
    )


def manifests_table(manifests: Iterable[PreparedManifest]) -> str:
    """The Markdown rows of what each manifest holds."""
    return "\n".join(
        f"| {m.language} | {m.task} | {m.split} | {m.clips} | {m.seconds / 60:.1f} |" for m in manifests
    )


def _readme(corpus: PreparedCorpus, card: Card) -> str:
    hours = sum(m.seconds for m in corpus.manifests if m.task == "transcribe") / 3600
    sections = [
        f"# {card.title}",
        f"Source: {card.source}. Licence: {card.licence}. {hours:.2f} hours transcribed.",
        f"| language | task | split | clips | minutes |\n|---|---|---|---:|---:|\n{manifests_table(corpus.manifests)}",
        *card.notes,
    ]
    if any(corpus.left_out.values()):
        sections += ["## Left out", counts_table("reason", corpus.left_out)]
    digests = "\n".join(f"{m.ids_sha256}  {m.name}" for m in corpus.manifests)
    sections += [
        "## Digests of the lists of ids",
        f"sha256 of the ids, one a line:\n\n```\n{digests}\n```",
        "## Made by",
        f"```sh\n{card.command}\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("lors", "av", "soundfile")}
