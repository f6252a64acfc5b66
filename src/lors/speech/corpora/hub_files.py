"""The parquet files of a data set, in a folder or on the Hugging Face Hub: which are of a split, and their rows."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lors.base.errors import LorsError, UsageError, did_you_mean
from lors.base.visible import visible

_ROWS_AT_A_TIME = 32
_CONVERTED = "refs/convert/parquet"  # where the Hub keeps its own conversion of other formats
_SHARD = re.compile(r"(.+?)[-_]\d+(?:[-_]of[-_]\d+)?(?:-[0-9a-f]{8,})?")


@dataclass(frozen=True)
class ParquetFile:
    """One file of a data set: its name in messages, and how it is opened."""

    name: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True)
class HubDataset:
    """A data set whose rows are in parquet files.

    Attributes:
        name: a folder, or a name on the Hub.
        revision: the commit, on the Hub.
        paths: of the parquet files, relative.
        licence: what the data set says of it, if it does.
        folder: the folder, where it is one.
        opener: opens one of `paths`.
    """

    name: str
    revision: str | None
    paths: Sequence[str]
    licence: str | None
    folder: Path | None
    opener: Callable[[str], AbstractContextManager[IO[bytes]]]

    def files(self, split: str, config: str | None) -> list[ParquetFile]:
        """The files of a split, in the order of their names.

        A file is of the split that its name begins with (`data/train-00000-of-00003.parquet`), else of its folder's
        (`es/train/0000.parquet`); the folder above is the configuration.

        Raises:
            UsageError: none is, or several configurations have the split.
        """
        described = {path: configuration_and_split(path) for path in self.paths}
        configs = sorted({c for c, s in described.values() if s == split and config in (None, c)})
        if not configs:
            there = sorted({f"{s} ({c})" if c else s for c, s in described.values()})
            wanted = f"'{split}' of '{config}'" if config else f"'{split}'"
            raise UsageError(
                f"{self.name}: no parquet file of the split {wanted}; there are: {', '.join(there[:30]) or 'none'}."
                f"{did_you_mean(split, {s for _, s in described.values()})}"
            )
        if len(configs) > 1:
            raise UsageError(
                f"{self.name}: the split '{split}' is in several configurations ({', '.join(configs[:30])}); "
                "choose one with --config."
            )
        mine = [path for path, found in described.items() if found == (configs[0], split)]
        return [ParquetFile(f"{self.name}/{path}", partial(self.opener, path)) for path in sorted(mine)]


def configuration_and_split(path: str) -> tuple[str, str]:
    """What the path of a parquet file says; the configuration is "" where there is but one.

    Examples:
        >>> configuration_and_split("data/train-00000-of-00003.parquet")
        ('', 'train')
        >>> configuration_and_split("es_419/validation/0000.parquet")
        ('es_419', 'validation')
    """
    pure = PurePosixPath(path)
    shard = _SHARD.fullmatch(pure.stem)
    if pure.stem.isdigit() or (shard and shard[1] == "part"):
        split, folder = pure.parent.name, pure.parent.parent
    else:
        split, folder = shard[1] if shard else pure.stem, pure.parent
    return ("" if str(folder) in (".", "data", "default") else str(folder)), split


def open_dataset(name: str, revision: str | None) -> HubDataset:
    """Find a data set: a folder, else a name on the Hub.

    Raises:
        UsageError: there is neither, or it has no parquet files.
        LorsError: the Hub does not answer.
    """
    folder = Path(name)
    dataset = _in_folder(folder) if folder.is_dir() else _on_hub(name, revision)
    if not dataset.paths:
        raise UsageError(
            f"{name}: has no parquet files; a data set in parquet was expected (loading scripts are not run)."
        )
    return dataset


def rows(file: ParquetFile, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number from 1, column → value) for each row of a parquet file; only these columns are read.

    Raises:
        UsageError: it lacks a column, or pyarrow is not installed.
        LorsError: it is no parquet file, or it breaks off.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("reading parquet wants pyarrow: pip install 'lors[hub]'.") from None
    from huggingface_hub.errors import HTTPError

    number = 0
    try:
        with file.open() as stream:
            parquet = pyarrow.parquet.ParquetFile(stream)
            names = parquet.schema_arrow.names
            for column in columns:
                if names.count(column) != 1:
                    found = visible(", ".join(names))[:300]
                    raise UsageError(
                        f"{file.name}: no column '{column}'; the columns are {found}."
                        f"{did_you_mean(column, names)}"
                    )
            for batch in parquet.iter_batches(_ROWS_AT_A_TIME, columns=list(columns), use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, HTTPError, OSError, UnicodeDecodeError) as error:
        after = f" after row {number}" if number else ""
        raise LorsError(
            f"{file.name}: cannot be read as parquet{after} ({_first_line(error)}); fetch it anew."
        ) from None


def _in_folder(folder: Path) -> HubDataset:
    paths = sorted(
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder)
        for name in names
        if name.endswith(".parquet")
    )
    readme = folder / "README.md"
    text = readme.read_text("utf-8", "replace")[:20000] if readme.is_file() else ""
    stated = re.match(r"---\n.*?^licen[sc]e: *(\S[^\n]*)$.*?^---$", text, re.DOTALL | re.MULTILINE)
    licence = stated[1].strip() if stated else None
    return HubDataset(str(folder), None, paths, licence, folder, lambda path: (folder / path).open("rb"))


def _on_hub(name: str, revision: str | None) -> HubDataset:
    from huggingface_hub import HfApi, HfFileSystem
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, RepositoryNotFoundError

    try:
        info = HfApi().dataset_info(name, revision=revision, timeout=30)
        paths = _parquet_of(info)
        if not paths and revision is None:
            info = HfApi().dataset_info(name, revision=_CONVERTED, timeout=30)
            paths = _parquet_of(info)
    except (RepositoryNotFoundError, HFValidationError):
        raise UsageError(
            f"{name}: no such folder, and no such data set on the Hugging Face Hub, or one that asks for a login "
            "(`hf auth login`)."
        ) from None
    except HfHubHTTPError as error:
        raise LorsError(f"{name}: the Hugging Face Hub answered HTTP {error.response.status_code}.") from None
    except (HTTPError, OSError) as error:
        raise LorsError(
            f"{name}: no such folder, and the Hugging Face Hub could not be asked ({_first_line(error)})."
        ) from None
    system = HfFileSystem()
    said = (info.card_data or {}).get("license") if info.card_data else None
    licence = ", ".join(said) if isinstance(said, list) else said
    return HubDataset(
        name,
        info.sha,
        paths,
        licence,
        None,
        lambda path: system.open(f"datasets/{name}@{info.sha}/{path}", "rb"),
    )


def _parquet_of(info: Any) -> list[str]:
    return sorted(f.rfilename for f in info.siblings or [] if f.rfilename.endswith(".parquet"))


def _first_line(error: Exception) -> str:
    return visible(str(error).partition("\n")[0].rstrip(".")[:200]) or type(error).__name__
