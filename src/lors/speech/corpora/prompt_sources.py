"""Where the telephone prompts come from: the cache, Debian's archive, or the Asterisk project's releases."""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from lors.base.cache import cache_directory
from lors.base.download import DownloadError, download
from lors.base.errors import LorsError
from lors.base.files import atomic_directory, sha256_of_text
from lors.base.lock import exclusive
from lors.speech.corpora.archives import read_deb, read_tar

VERSION = "1.6.1"
VOICES = {
    "en": "en_US_f_Allison",
    "es": "es_MX_f_Allison",
    "fr": "fr_CA_f_June",
    "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}
"""The voice that reads each language, by the name of its folder in Debian's packages."""

_DEBIAN = ("http://deb.debian.org/debian", "https://snapshot.debian.org/archive/debian/20240601T000000Z")
_UPSTREAM = ("https://downloads.asterisk.org/pub/telephony/sounds/releases",)

_DEB_SHA256 = {
    "asterisk-core-sounds-en": "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
    "asterisk-core-sounds-es": "9afdab7f559f036649fb406e625899306ca1004df8ebe39c30bfbd5912d66f74",
    "asterisk-core-sounds-fr": "04c82c78c570c43a7136cbc5e2488d0c470b775468dff9fbce4a131b18cf1056",
    "asterisk-core-sounds-it": "3884d9457e12f21caa018c18f0d587df5d53ebea14b673d8453a134c5941ab3b",
    "asterisk-core-sounds-ru": "28a61616bb0cd3345a7ea532dec4df9f071e5d0fa9f8c1a563ea9669002f39ab",
    "asterisk-core-sounds-en-g722": "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
    "asterisk-core-sounds-es-g722": "e4e3b4281057d3b81b779298fd6be705f57411513955c518eed1bcaabbd615b8",
    "asterisk-core-sounds-fr-g722": "7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0",
    "asterisk-core-sounds-it-g722": "46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016",
    "asterisk-core-sounds-ru-g722": "673b4238a6b8269960f055d868c6a11083f7a0d00979167cb01554046b48ed9b",
}

_TRANSCRIPT_SHA256 = {
    "en": "5ad113657c0dcae2f6914b201e91cfda6de7341a877fc3c705bb611822046c5c",
    "es": "abd1adc0b3f469a1987d1c8195cf76b453b6fe52030926edb80f35e60cc34273",
    "fr": "a072156ba9ec7dec74a5d83a84f274fb9a545a4ed866dc966b749316c7d6136c",
    "it": "e45f65a696709ab5b930736e6d864bf7438664ada8684f247290b998b2e26e65",
    "ru": "15d505db4006ec5252e0df25ee0bc1fc9ef63dce8f4d53173efe89d3b3ad0874",
}
_AUDIO_SHA256 = {
    "en": "fd73419e9104c31f1a11aaf59465bcd9c5dae6c24aedbb42a308524783e21960",
    "es": "7bc106afd362c2f1048755531efddb27b74de709c79f9c01373256fc50bba2e6",
    "fr": "02d6b0a64fbd5e07fb182d65db449c02e94b44707165aeb7dd55437e21718f71",
    "it": "daeba5bbe5532e957100b99044ad559573b3450621bba51defd5d16d977183e0",
    "ru": "31ff01871a032f429b0fc7f311add298e1922f4c038ce1731799d06e29db324a",
}
"""Digest of the lines `NAME SHA256` of all g722 files, by name: the same whichever archive brought them."""


def transcript(language: str) -> str:
    """The text of `core-sounds-XX.txt`, fetched into the cache on first use.

    Raises:
        LorsError: no source could be reached, or what came is not release 1.6.1.
    """
    folder = _unpacked(
        f"asterisk-core-sounds-{language}", language, _TRANSCRIPT_SHA256[language], _transcript_of
    )
    return (folder / f"core-sounds-{language}.txt").read_text(encoding="utf-8-sig")


def audio_folder(language: str) -> Path:
    """The folder with `ID.g722` (16 kHz) of every prompt, fetched into the cache on first use; read only.

    Raises:
        LorsError: no source could be reached, or what came is not release 1.6.1.
    """
    return _unpacked(f"asterisk-core-sounds-{language}-g722", language, _AUDIO_SHA256[language], _audio_of)


def _unpacked(
    package: str,
    language: str,
    expected: str,
    select: Callable[[Mapping[str, bytes], str], dict[str, bytes]],
) -> Path:
    """The folder in the cache with a package's files; fetched if it is not there or was changed."""
    folder = cache_directory() / "corpora" / f"{package}-{VERSION}"
    with exclusive(folder):
        if folder.is_dir() and _digest(_files_in(folder)) == expected:
            return folder
        archive, content = _fetch(package, language)
        files = select(content, language)
        if (found := _digest(files)) != expected:
            raise LorsError(
                f"{archive}: not the files of asterisk-core-sounds {VERSION} (digest {found}, expected "
                f"{expected}); remove it, to have it fetched anew."
            )
        with atomic_directory(folder, overwrite=True) as partial:
            for name, data in files.items():
                path = partial / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    return folder


def _files_in(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _fetch(package: str, language: str) -> tuple[Path, dict[str, bytes]]:
    """An archive with a package's files, and its content; what lies in the downloads folder goes first."""
    downloads = cache_directory() / "downloads"
    deb = downloads / f"{package}_{VERSION}-1_all.deb"
    tar = downloads / f"asterisk-core-sounds-{language}-g722-{VERSION}.tar.gz"
    if tar.exists() and not deb.exists():
        return tar, read_tar(tar)
    pool = f"pool/main/a/asterisk-core-sounds/{deb.name}"
    try:
        download([f"{root}/{pool}" for root in _DEBIAN], deb, _DEB_SHA256[package])
        return deb, read_deb(deb)
    except DownloadError as debian:
        try:
            download([f"{root}/{tar.name}" for root in _UPSTREAM], tar)
            return tar, read_tar(tar)
        except DownloadError as upstream:
            raise LorsError(
                f"{str(debian).rstrip('.')}; {str(upstream).rstrip('.')}; connect to the network, or place "
                f"either file in {downloads}."
            ) from None


def _transcript_of(content: Mapping[str, bytes], language: str) -> dict[str, bytes]:
    name = f"core-sounds-{language}.txt"
    for path, data in content.items():
        if PurePosixPath(path).name == f"{name}.gz":
            return {name: gzip.decompress(data)}
        if PurePosixPath(path).name == name:
            return {name: data}
    return {}


def _audio_of(content: Mapping[str, bytes], language: str) -> dict[str, bytes]:
    root = f"usr/share/asterisk/sounds/{VOICES[language]}/"  # in Debian's package; a release begins at once
    return {name.removeprefix(root): data for name, data in content.items() if name.endswith(".g722")}


def _digest(files: Mapping[str, bytes]) -> str:
    return sha256_of_text(
        "".join(f"{name} {hashlib.sha256(data).hexdigest()}\n" for name, data in sorted(files.items()))
    )
