"""MuST-C: English TED talks with translations into many languages."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from lors.base.files import refuse_existing
from lors.speech.corpora.left_out import LONGEST_SECONDS, LeftOut
from lors.speech.corpora.must_c_yaml import read_segments
from lors.speech.corpora.pairs import Listing, Pairs, Segment, note_on
from lors.speech.corpora.prepared import Card, PreparedCorpus, write_corpus
from lors.speech.corpora.releases import (
    choose_splits,
    code_or_none,
    existing_folder,
    language_folders,
    one_folder_each,
    typed,
)

_SPLITS = {"train": "train", "dev": "dev", "tst-COMMON": "test", "tst-HE": "test-he"}


def prepare_must_c(
    corpus: Path,
    out: Path,
    *,
    targets: Sequence[str],
    splits: Sequence[str] = (),
    maximum_seconds: float = LONGEST_SECONDS,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> PreparedCorpus:
    """Write manifests of MuST-C: English transcription, and translation into the languages of `targets`.

    The layout is that of the release, as fairseq's `prep_mustc_data.py` and Lhotse's `recipes/must_c.py` read
    it: `en-de/data/SPLIT/` with `txt/SPLIT.yaml` (a list of segments with duration, offset, speaker_id and wav),
    `txt/SPLIT.en` and `txt/SPLIT.de`, a line a segment, and `wav/*.wav`. The splits are train, dev, tst-COMMON
    (our "test") and tst-HE ("test-he"). The transcriptions are those of the pair with the first target.

    Args:
        corpus: the folder of `en-de` and its like.
        out: the folder to write; the audio stays where it is.
        targets: Whisper's codes, English names, or folders (`en-de`).
        splits: of the four, by either name; by default all.
        maximum_seconds: longer segments are left out; at most 30.
        skip_bad: leave bad rows out and count them.
        overwrite: replace `out`.

    Raises:
        UsageError: a folder, a list or a split is missing, a language is none of the corpus, or `out` exists.
        LorsError: lists and texts differ in length, or a list is no such YAML; a row is bad and `skip_bad` is false;
            no clip is left; the disk is full.
    """
    corpus, out = Path(corpus), Path(out)
    existing_folder(corpus, "the folder of MuST-C's pairs, as en-de")
    written = one_folder_each(language_folders(corpus, targets, _target))
    chosen = choose_splits(splits, _SPLITS, list(_SPLITS))
    rules = LeftOut(skip_bad, maximum_seconds)
    refuse_existing(out, overwrite)
    pairs = Pairs(corpus, "MuST-C", rules, lambda _, pair, split: _listing(corpus, pair, split))
    settings = {
        "corpus": str(corpus),
        "targets": list(written),
        "splits": list(chosen),
        "maximum_seconds": maximum_seconds,
        "skip_bad": skip_bad,
    }
    card = Card(
        "MuST-C",
        "https://mt.fbk.eu/must-c/ (Di Gangi et al., NAACL 2019); TED talks",
        "CC BY-NC-ND 4.0, https://creativecommons.org/licenses/by-nc-nd/4.0/",
        typed(["must-c"], {**settings, "out": str(out)}),
        [
            "The splits are the corpus's own: tst-COMMON is test, tst-HE is test-he.",
            note_on(list(written)[:1]),
        ],
    )
    parts = pairs.parts(("en", "en"), written, chosen)
    return write_corpus(out, parts, pairs.left_out, card, settings, overwrite=overwrite)


def _target(folder: str) -> str | None:
    return code_or_none(folder.removeprefix("en-")) if folder.startswith("en-") else None


def _listing(corpus: Path, pair: str, split: str) -> Listing:
    folder = existing_folder(corpus / pair / "data" / split, "a split of MuST-C with txt and wav")
    texts = folder / "txt"
    path = texts / f"{split}.yaml"
    return Listing(
        path,
        lambda left_out: _segments(path, f"{pair}/data/{split}/wav", left_out),
        texts / f"{split}.en",
        texts / f"{split}.{pair.removeprefix('en-')}",
    )


def _segments(path: Path, wav: str, left_out: LeftOut) -> Iterator[tuple[int, Segment | None]]:
    """A segment an entry; None for an entry that is bad, so that the texts stay beside their entries."""
    for number, entry in read_segments(path):
        missing = [key for key in ("duration", "offset", "wav") if key not in entry]
        if missing:
            left_out.bad(f"{path}:{number}", "malformed row", f"the entry has no '{missing[0]}'")
            yield number, None
            continue
        name = entry["wav"]
        yield (
            number,
            Segment(
                audio=str(PurePosixPath(wav, name)),
                recording=PurePosixPath(name).stem,
                offset=entry["offset"],
                duration=entry["duration"],
                speaker=entry.get("speaker_id"),
            ),
        )
