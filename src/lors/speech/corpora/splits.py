"""Which clip is for training and which for the test: a fixed hash that never parts equal texts."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Literal

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

_PERCENT_TRAIN, _PERCENT_DEV = 66, 12


def split_of(key: str) -> Split:
    """The split of a key: sha256 modulo 100, of which 66 are train, 12 dev and 22 test."""
    place = int(hashlib.sha256(key.encode("utf-8")).hexdigest(), 16) % 100
    if place < _PERCENT_TRAIN:
        return "train"
    return "dev" if place < _PERCENT_TRAIN + _PERCENT_DEV else "test"


def spelling(text: str) -> str:
    """The text as a listener hears it: no case, no accents, no punctuation, single spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = (c if c.isalnum() else " " for c in decomposed if not unicodedata.combining(c))
    return " ".join("".join(letters).split())


def groups_of_equal_text(transcripts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return for each id the key of its group: the smallest id that it is tied to.

    Two ids are tied if their texts are equal (see `spelling`) in any of the transcripts, or if both are tied
    to a third. Splitting by the key keeps a sentence of one language from being trained on and tested in
    another recording, and lets all languages share one split.

    Args:
        transcripts: id → text, one mapping for each language.
    """
    parent: dict[str, str] = {}

    def root(identifier: str) -> str:
        while parent[identifier] != identifier:
            identifier = parent[identifier]
        return identifier

    for transcript in transcripts:
        first_with: dict[str, str] = {}
        for identifier, text in sorted(transcript.items()):
            parent.setdefault(identifier, identifier)
            heard = spelling(text)
            if heard:
                one, other = root(first_with.setdefault(heard, identifier)), root(identifier)
                parent[max(one, other)] = min(one, other)
    return {identifier: root(identifier) for identifier in parent}
