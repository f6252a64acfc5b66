"""Where a release of Common Voice has things: the folder of a language, its tables, its clips and their lengths."""

import os
import re
import stat
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lors.base.cores import usable_cores
from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.base.visible import visible
from lors.speech.audio import audio_duration
from lors.speech.corpora.clips import seconds as number_of_seconds
from lors.speech.corpora.inside import inside
from lors.speech.corpora.left_out import LeftOut
from lors.speech.corpora.tsv import read_rows
from lors.speech.languages import language_code

TABLES = ("validated.tsv", "train.tsv", "dev.tsv", "test.tsv")

_OTHER_CODES = {"zh-hk": "yue", "jv": "jw", "nb-no": "no"}  # Hong Kong's is Cantonese that is spoken

_NAME_OF_A_CLIP = re.compile(r"common_voice_(.+)_\d+\.mp3")
_A_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z]+)?")

_BYTES_PER_SECOND_OF_MP3 = 1000  # 8 kbit/s, the least that MPEG allows

_AT_A_TIME, _BATCHES = 64, 4


@dataclass(frozen=True)
class LanguageFolder:
    """One language of a release.

    Attributes:
        path: the folder, with its links resolved.
        locale: Common Voice's name of the language, as `sv-SE`.
        code: Whisper's.
    """

    path: Path
    locale: str
    code: str

    def clip(self, name: str) -> Path:
        """The file of a clip, by the name that a table gives it (early releases leave ".mp3" out).

        Raises:
            OutsideError: the name or a link leads out of the folder `clips`, which may itself be a link.
            LorsError: there is no such file, or it is empty.
        """
        folder = self.path / "clips"
        plain = name and "/" not in name and "\0" not in name and name != ".."
        path = folder / name if plain else inside(folder, name)  # resolving a million paths takes minutes
        status = _status(path)
        if status is None and (status := _status(path.with_name(path.name + ".mp3"))):
            path = path.with_name(path.name + ".mp3")
        if status and stat.S_ISLNK(status.st_mode):
            inside(folder, path.relative_to(folder).as_posix())
            status = path.stat() if path.exists() else None
        if status is None:
            raise LorsError(f"{folder / name}: no such audio file.")
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            raise LorsError(f"{path}: {'is no file' if status.st_size else 'is empty (zero bytes)'}.")
        return path

    def contradiction(self, name: str, locale: str) -> str | None:
        """What is wrong where a clip's name or its column `locale` tells another language."""
        named = _NAME_OF_A_CLIP.fullmatch(name)
        for told in (locale, named[1] if named else ""):
            if told and told.casefold() != self.locale.casefold():
                clip, language = visible(name[:100]), visible(told[:40])
                return f"the clip '{clip}' is of '{language}', and the folder is taken for '{self.locale}'"
        return None


def find_language(root: Path, locale: str) -> LanguageFolder:
    """The folder of a language in `root`: `root/LOCALE`, `root/cv-corpus-…/LOCALE`, or `root` itself.

    Raises:
        UsageError: there is none, there are several, it is of another language, or Whisper lacks the language.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; that of a Common Voice release was expected.")
    code = whisper_code(locale)
    found = [
        folder
        for folder in (root / locale, *sorted(root.glob(f"cv-corpus-*/{locale}")))
        if _is_language(folder)
    ]
    if len(found) > 1:
        raise UsageError(
            f"{root}: has '{locale}' more than once ({found[0]}, {found[1]}); give the folder of one release."
        )
    if found:
        return LanguageFolder(found[0].resolve(), locale, code)
    if not _is_language(root):
        there = locales(root)
        listed = (
            f"it has {', '.join(there)}" if there else f"a folder with {' or '.join(TABLES[:2])} was expected"
        )
        raise UsageError(f"{root}: has no folder '{locale}'; {listed}.{did_you_mean(locale, there)}")
    name = root.resolve().name
    if _A_LOCALE.fullmatch(name) and (its_code := code_or_none(name)):
        if name != locale and (its_code != code or "-" in locale):
            raise UsageError(f"{root}: is the folder of '{name}', and '{locale}' was asked for.")
        locale = name
    return LanguageFolder(root.resolve(), locale, code)


def locales(root: Path) -> list[str]:
    """The languages that a folder has, or those of the releases in it."""
    folders = [*root.iterdir(), *root.glob("cv-corpus-*/*")]
    return sorted({folder.name for folder in folders if _is_language(folder)})


def language_names(root: Path, names: Sequence[str]) -> list[str]:
    """Common Voice's names, each once, of languages that are given so, as Whisper's codes, or in English.

    Raises:
        UsageError: none is given, one may be several, or two have the same code of Whisper's.
    """
    there = locales(root) if Path(root).is_dir() else []
    chosen: dict[str, str] = {}  # Whisper's code → Common Voice's name
    for name in (name.strip() for name in names if name.strip()):
        its_code = None if "-" in name else code_or_none(name)  # sv-FI is not sv-SE
        fitting = [locale for locale in there if its_code and code_or_none(locale) == its_code]
        locale = name if name in there or not fitting else fitting[0]
        if locale != name and len(fitting) > 1:
            raise UsageError(f"'{name}' may be {' or '.join(fitting)}; give one of them.")
        code = whisper_code(locale)
        if chosen.setdefault(code, locale) != locale:
            raise UsageError(
                f"'{chosen[code]}' and '{locale}' are both '{code}' to Whisper; prepare each in a folder of its own."
            )
    if not chosen:
        raise UsageError(f"no language is named; {root} has {', '.join(there) or 'none'}.")
    return list(chosen.values())


def code_or_none(locale: str) -> str | None:
    """Whisper's code for one of Common Voice's locales; None where Whisper lacks the language."""
    try:
        return whisper_code(locale)
    except UsageError:
        return None


def whisper_code(locale: str) -> str:
    """Whisper's code for one of Common Voice's locales.

    Examples:
        >>> whisper_code("sv-SE"), whisper_code("zh-TW"), whisper_code("zh-HK")
        ('sv', 'zh', 'yue')

    Raises:
        UsageError: Whisper lacks the language.
    """
    try:
        return _OTHER_CODES.get(locale.casefold()) or language_code(locale)
    except UsageError:
        raise UsageError(f"'{locale}': a language that Whisper does not know; leave it out.") from None


def stated_lengths(
    folder: LanguageFolder, wanted: Container[str], left_out: LeftOut
) -> Iterator[tuple[str, float]]:
    """Yield (clip, seconds) from `clip_durations.tsv` for the clips that are wanted; nothing where it is not there."""
    path = folder.path / "clip_durations.tsv"
    if not path.exists():
        return
    for line, (name, milliseconds) in read_rows(path, ("clip", "duration[ms]"), left_out):
        if name in wanted:
            length = number_of_seconds(milliseconds)
            if length:
                yield name, length / 1000
            else:
                what = (
                    f"'{visible(milliseconds[:40])}' is no length; milliseconds, more than 0, were expected"
                )
                left_out.bad(f"{path}:{line}", "malformed row", what)


def measured(
    folder: LanguageFolder, names: Iterable[str], stated: Mapping[str, float]
) -> Iterator[tuple[str, float] | LorsError]:
    """Yield for each clip, in order, its file, from `clips/`, and its seconds; or what is wrong.

    Seconds are those that are stated, else those that the header tells.

    Files are looked at several at a time, and at most some hundred ahead of what is asked for.
    """

    def one(name: str) -> tuple[str, float] | LorsError:
        try:
            path = folder.clip(name)
            seconds = _plausible(path, stated[name]) if name in stated else audio_duration(path)
            return path.relative_to(folder.path / "clips").as_posix() if "/" in name else path.name, seconds
        except LorsError as error:
            return error

    remaining = iter(names)
    with ThreadPoolExecutor(min(4, usable_cores())) as threads:
        waiting: deque[Future[list[tuple[str, float] | LorsError]]] = deque()
        while True:
            while len(waiting) < _BATCHES and (some := list(islice(remaining, _AT_A_TIME))):
                waiting.append(threads.submit(lambda batch: [one(name) for name in batch], some))
            if not waiting:
                return
            yield from waiting.popleft().result()


def _plausible(path: Path, seconds: float) -> float:
    size = path.stat().st_size
    if path.suffix.lower() == ".mp3" and size < seconds * _BYTES_PER_SECOND_OF_MP3:
        raise LorsError(
            f"{path}: clip_durations.tsv says {seconds:.2f} s, and {size} bytes of mp3 cannot hold that: "
            "the file is truncated, or the table is wrong."
        )
    return seconds


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LorsError(f"{visible(str(path)[:300])}: {(error.strerror or str(error)).lower()}.") from None


def _is_language(folder: Path) -> bool:
    return any((folder / table).is_file() for table in TABLES)
