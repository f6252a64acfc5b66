"""Europarl-ST: debates of the European Parliament, from and into nine languages."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from lors.base.files import refuse_existing
from lors.base.visible import visible
from lors.speech.corpora.left_out import LONGEST_SECONDS, LeftOut
from lors.speech.corpora.pairs import Listing, Pairs, Segment, note_on
from lors.speech.corpora.prepared import Card, Part, PreparedCorpus, write_corpus
from lors.speech.corpora.releases import (
    choose_splits,
    code_or_none,
    existing_folder,
    language_folders,
    one_folder_each,
    typed,
)
from lors.speech.corpora.text_files import numbered_lines

_USUAL = ("train", "dev", "test")
_SPLITS = {name: name for name in (*_USUAL, "train-noisy")}


def prepare_europarl_st(
    corpus: Path,
    languages: Sequence[str],
    out: Path,
    *,
    targets: Sequence[str],
    splits: Sequence[str] = (),
    maximum_seconds: float = LONGEST_SECONDS,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> PreparedCorpus:
    """Write manifests of Europarl-ST: transcription, and translation into the languages of `targets`.

    The layout is that of the release (mllp.upv.es/europarl-st), as the fairseq recipes for it read it:
    `LANG/audios/SPEECH.m4a`, and for each target `LANG/TARGET/{train,dev,test}/` with `segments.lst` (a line
    `SPEECH BEGIN END`, in seconds), `segments.LANG` and `segments.TARGET`, a line a segment. The transcriptions of a
    language are those of its pair with the first target.

    Args:
        corpus: the folder of the language folders (`v1.1`).
        languages: that are spoken: Whisper's codes or English names.
        out: the folder to write; the audio stays where it is.
        targets: of the translations, one at least besides the language that is spoken.
        splits: of train, dev, test (the default) and train-noisy.
        maximum_seconds: longer segments are left out; at most 30.
        skip_bad: leave bad rows out and count them.
        overwrite: replace `out`.

    Raises:
        UsageError: a folder, a list or a split is missing, a language is none of the corpus, or `out` exists.
        LorsError: lists and texts differ in length; a row is bad and `skip_bad` is false; no clip is left; the disk
            is full.
    """
    corpus, out = Path(corpus), Path(out)
    existing_folder(corpus, "the folder of Europarl-ST's languages, as en")
    spoken = one_folder_each(language_folders(corpus, languages, code_or_none))
    written = one_folder_each(language_folders(corpus, targets, code_or_none))
    chosen = choose_splits(splits, _SPLITS, _USUAL)
    rules = LeftOut(skip_bad, maximum_seconds)
    refuse_existing(out, overwrite)
    pairs = Pairs(corpus, "Europarl-ST", rules, lambda *names: _listing(corpus, *names))
    settings = {
        "corpus": str(corpus),
        "languages": list(spoken),
        "targets": list(written),
        "splits": list(chosen),
        "maximum_seconds": maximum_seconds,
        "skip_bad": skip_bad,
    }
    first_of = [f"{s}-{t}" for s in spoken for t in [t for t in written if t != s][:1]]
    card = Card(
        "Europarl-ST",
        "https://www.mllp.upv.es/europarl-st/ (Iranzo-Sánchez et al., ICASSP 2020, arXiv:1911.03167)",
        "CC BY-NC 4.0, https://creativecommons.org/licenses/by-nc/4.0/",
        typed(["europarl-st"], {**settings, "out": str(out)}),
        ["The splits are the corpus's own.", note_on(first_of)],
    )

    def parts() -> Iterator[Part]:
        for source in spoken.items():
            yield from pairs.parts(source, written, chosen)

    return write_corpus(out, parts(), pairs.left_out, card, settings, overwrite=overwrite)


def _listing(corpus: Path, source: str, target: str, split: str) -> Listing:
    folder = existing_folder(corpus / source / target / split, "a split of Europarl-ST with segments.lst")
    path = folder / "segments.lst"
    return Listing(
        path,
        lambda left_out: _segments(path, source, left_out),
        folder / f"segments.{source}",
        folder / f"segments.{target}",
    )


def _segments(path: Path, source: str, left_out: LeftOut) -> Iterator[tuple[int, Segment | None]]:
    """A segment a line; None for a line that is bad, so that the texts stay beside their lines."""
    for number, line in numbered_lines(path):
        fields = line.split()
        if len(fields) != 3:
            what = f"'{visible(line[:60])}' was found; SPEECH BEGIN END was expected"
            left_out.bad(f"{path}:{number}", "malformed row", what)
            yield number, None
            continue
        speech, begin, end = fields
        yield number, Segment(str(PurePosixPath(source, "audios", f"{speech}.m4a")), speech, begin, end=end)
