"""CoVoST-2: Common Voice's clips with translations, into English from 21 languages and from English into 15."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lors.base.errors import LorsError, UsageError
from lors.base.files import refuse_existing, sha256_of
from lors.speech.corpora.common_voice_layout import (
    LanguageFolder,
    find_language,
    stated_lengths,
    whisper_code,
)
from lors.speech.corpora.common_voice_rows import UsableRow, counting, utterance
from lors.speech.corpora.covost_join import Join, joins, matched_rows, split_of_clips, without_leaks
from lors.speech.corpora.covost_languages import Direction, choose_languages
from lors.speech.corpora.covost_subsets import Drawing, drawn
from lors.speech.corpora.covost_tables import Table, find_tables, our_splits, translations
from lors.speech.corpora.left_out import LONGEST_SECONDS, LeftOut
from lors.speech.corpora.prepared import Card, Part, PreparedCorpus, counts_table, write_corpus
from lors.speech.corpora.releases import typed
from lors.speech.corpora.splits import SPLITS
from lors.speech.corpora.subsets import Hours, hours_of
from lors.speech.manifest import Utterance

_SOURCE = (
    "CoVoST-2 (Wang et al., 2020, https://github.com/facebookresearch/covost), "
    "on Common Voice (Ardila et al., 2020, https://commonvoice.mozilla.org)"
)
_LICENCE = (
    "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/, for the translations and for Common Voice, "
    "whose users agree not to identify speakers"
)


@dataclass(frozen=True)
class CovostCorpus(PreparedCorpus):
    """What `prepare_covost` wrote, and how many of CoVoST-2's clips Common Voice has."""

    joins: list[Join] = field(default_factory=list)


@dataclass(frozen=True)
class _Language:
    """One language that is spoken: its clips, and for each target (Whisper's code) its tables."""

    folder: LanguageFolder
    tables: dict[str, list[Table]]

    @property
    def validated(self) -> Path:
        return self.folder.path / "validated.tsv"


@dataclass
class _Preparation:
    """How it is done, and what became of what."""

    hours: Hours
    seed: int
    train_covost: bool
    keep_shared_speakers: bool
    rules: LeftOut
    notes: list[str]
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    joins: list[Join] = field(default_factory=list)

    def counts(self, language: str, split: str) -> LeftOut:
        """Where to count what is left out of a split, or "rows" of the tables."""
        return counting(self.rules, self.left_out, f"{language}-{split}")


def prepare_covost(
    common_voice: Path,
    covost: Sequence[Path],
    languages: Sequence[str],
    out: Path,
    *,
    direction: Direction = "into-english",
    subset: str | None = None,
    evaluation_hours: float | None = None,
    seed: int = 0,
    train_covost: bool = True,
    keep_shared_speakers: bool = False,
    maximum_seconds: float = LONGEST_SECONDS,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> CovostCorpus:
    """Write manifests of CoVoST-2, for transcription and for translation of the same clips.

    The rows are those of get_covost_splits.py (facebookresearch/covost): the tables of translations and
    `validated.tsv` joined by `path`, in the latter's order. Left out of them are rows without text, all but
    the first of a clip, and from train the clips and speakers of dev and test. The audio stays where it is.

    Args:
        common_voice: release 4 of Common Voice, or a later one, which lacks some clips; or a language's folder.
        covost: folders with, or paths of, `covost_v2.SOURCE_TARGET.tsv`.
        languages: other than English, by Common Voice's names (`sv-SE`), Whisper's codes or English names; for
            a subset of the paper none are all of it.
        out: the folder to write.
        direction: "into-english", or "from-english" with one set of English clips for all targets: those that
            are translated into each.
        subset: "paper-high", "paper-low", or hours of training data as "5" or "1,2,5,10", each within the next.
        evaluation_hours: of development and of test data each; all by default.
        seed: of the subsets.
        train_covost: train has CoVoST-2's split `train_covost` too, as in the published script.
        keep_shared_speakers: leave speakers of dev and test in train, as the published script does.
        maximum_seconds: longer clips are left out; at most 30.
        skip_bad: leave out rows that cannot be used and count them.
        overwrite: replace `out`.

    Raises:
        UsageError: a folder, a table or a language is missing, there are too few hours, or `out` exists.
        LorsError: a row is bad and `skip_bad` is false; a split has no clip; the disk is full.
    """
    common_voice, out = Path(common_voice), Path(out)
    rules = LeftOut(skip_bad, maximum_seconds)
    hours = hours_of(subset, evaluation_hours)
    locales = choose_languages(languages or hours.languages, direction)
    _require_languages_of(subset, hours, locales)
    found = [_find(common_voice, covost, spoken, targets) for spoken, targets in _pairs(locales, direction)]
    refuse_existing(out, overwrite)
    settings = {
        "common_voice": str(common_voice),
        "covost": [str(path) for path in covost],
        "languages": locales,
        "direction": direction,
        "subset": subset,
        "evaluation_hours": evaluation_hours,
        "seed": seed,
        "no_train_covost": not train_covost,
        "keep_shared_speakers": keep_shared_speakers,
        "maximum_seconds": maximum_seconds,
        "skip_bad": skip_bad,
    }
    notes = [_about_splits(keep_shared_speakers)]
    preparation = _Preparation(hours, seed, train_covost, keep_shared_speakers, rules, notes)
    card = Card("CoVoST-2", _SOURCE, _LICENCE, _typed(settings, covost, out), notes)
    parts = (part for language in found for part in _parts(language, preparation))
    corpus = write_corpus(
        out, parts, preparation.left_out, card, {**settings, "tables": _digests(found)}, overwrite=overwrite
    )
    return CovostCorpus(**vars(corpus), joins=preparation.joins)


def _typed(settings: Mapping[str, Any], covost: Sequence[Path], out: Path) -> str:
    flags = {key: value for key, value in settings.items() if key != "covost"}
    tables = "".join(f" --covost {shlex.quote(str(path))}" for path in covost)
    return typed(("covost",), {**flags, "out": str(out)}) + tables


def _pairs(locales: Sequence[str], direction: Direction) -> list[tuple[str, list[str]]]:
    """Spoken language and target languages, by Common Voice's names."""
    if direction == "from-english":
        return [("en", list(locales))]
    return [(locale, ["en"]) for locale in locales]


def _find(common_voice: Path, covost: Sequence[Path], spoken: str, targets: Sequence[str]) -> _Language:
    folder = find_language(common_voice, spoken)
    tables = {whisper_code(target): find_tables(covost, spoken, target) for target in targets}
    language = _Language(folder, tables)
    if not language.validated.is_file():
        raise UsageError(f"{language.validated}: no such file; CoVoST-2 is joined with it.")
    return language


def _require_languages_of(subset: str | None, hours: Hours, locales: Sequence[str]) -> None:
    for locale in locales:
        if hours.languages and whisper_code(locale) not in hours.languages:
            raise UsageError(
                f"{subset}: '{locale}' is none of its languages ({', '.join(hours.languages)}); give hours instead."
            )


def _digests(languages: Iterable[_Language]) -> dict[str, str]:
    paths = {table.path for language in languages for tables in language.tables.values() for table in tables}
    paths |= {language.validated for language in languages}
    return {str(path): sha256_of(path) for path in sorted(paths)}


def _parts(language: _Language, preparation: _Preparation) -> Iterator[Part]:
    code = language.folder.code

    def counts_of(split: str) -> LeftOut:
        return preparation.counts(code, split)

    splits = split_of_clips(language.tables, our_splits(preparation.train_covost), counts_of)
    rows = matched_rows(language.folder, language.validated, splits, counts_of)
    preparation.joins += joins(code, splits, rows)
    preparation.notes.append(_about_joins(code, preparation.joins))
    if not preparation.keep_shared_speakers:
        rows = without_leaks(rows, counts_of("train"))
    clips = {row.clip for of_split in rows.values() for row in of_split}
    stated = dict(stated_lengths(language.folder, clips, counts_of("rows")))
    del splits, clips
    for split in SPLITS:
        wanted = preparation.hours.train if split == "train" else preparation.hours.evaluation
        drawing = Drawing(
            language.folder, language.validated, stated, split, preparation.seed, preparation.hours.or_all
        )
        hours = wanted if isinstance(wanted, tuple) else (wanted,) if wanted else ()
        chosen = drawn(drawing, rows.pop(split), hours, counts_of(split), preparation.notes)
        for name, of_name in chosen.items():
            if not of_name:
                raise LorsError(f"{code}-{name}: no clip is left (left out: {counts_of(split).told()}).")
            yield Part(code, code, name, (utterance(language.folder, found) for found in of_name))
            for target in language.tables:
                yield Part(
                    code,
                    target,
                    name,
                    _translated(language, target, split, of_name, preparation.train_covost),
                )


def _translated(
    language: _Language, target: str, split: str, chosen: Sequence[UsableRow], train_covost: bool
) -> Iterator[Utterance]:
    """The chosen clips with their translations, which are read again: fifteen of each would fill the memory."""
    ours = our_splits(train_covost)
    wanted = {found.row.clip for found in chosen}
    texts: dict[str, str] = {}
    for row in translations(language.tables[target], LeftOut(skip_bad=True)):  # bad rows were told of before
        if row.clip in wanted and ours.get(row.split) == split and row.text.strip():
            texts.setdefault(row.clip, row.text)
    for found in chosen:
        yield utterance(language.folder, found, texts[found.row.clip], target)


def _about_splits(keep_shared_speakers: bool) -> str:
    shared = "Speakers of dev and test may be" if keep_shared_speakers else "No speaker of dev or test is"
    return (
        "The splits are CoVoST-2's. Transcription and translation have the same clips, in the order of "
        f"`validated.tsv`. {shared} in train; no clip is in two splits. Texts are in NFC, otherwise as published."
    )


def _about_joins(code: str, found: Iterable[Join]) -> str:
    counts = {
        join.split: {"in CoVoST-2": join.listed, "of them in Common Voice": join.matched}
        for join in found
        if join.language == code
    }
    return counts_table(f"{code}: clips", counts)
