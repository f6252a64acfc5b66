"""Where the stamps of Tux Paint come from: the cache, or Debian's archive."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lors.base.cache import cache_directory
from lors.base.download import DownloadError, download
from lors.base.errors import LorsError
from lors.base.files import atomic_directory, sha256_of_text
from lors.base.lock import exclusive
from lors.speech.corpora.archives import read_deb

VERSION = "2022.06.04"
LANGUAGES = ("ca", "es", "fr", "ru", "ro", "bg", "be", "el", "da")
"""What the descriptions are spoken in, by the ends of the recordings' names: `NAME_desc_ca.ogg`."""

_DEB = f"tuxpaint-stamps-default_{VERSION}-1_all.deb"
_DEB_SHA256 = "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34"
_DEBIAN = ("http://deb.debian.org/debian", "https://snapshot.debian.org/archive/debian/20240601T000000Z")
_STAMPS = "usr/share/tuxpaint/stamps/"

_SHA256 = "232b4b06b9a3f6cf0b669c004e44c8dda89b86952dbb23c6b97ebca8cfc6bd42"
"""Digest of the lines `NAME SHA256` of all texts and recordings that are used, by name."""

_VOICES = {
    "ca": "ca_PerePujal",
    "es": "es_EstefaniaOrtiz",
    "ru": "ru_EdwinVeber",
    "ro": "ro_Tabbytha",
    "bg": "bg_KrasimirPetkov",
    "be": "be_KseniyaBuraya",
    "el": "el_KyriakiSerafeim",
    "da": "da_JoeDalton",
}
# In French the encoder that a file names parts three voices, which differ in pitch too: their medians are
# 133, 166 and 231 Hz.
_FRENCH_VOICES = {
    b"libVorbis I 20101101": "fr_PaulK",
    b"libVorbis I 20050304": "fr_letters",
    b"libVorbis I 20070622": "fr_animals",
}
_HEADERS = 4096


def stamps_folder() -> Path:
    """The folder with `ID.txt` and `ID_desc_XX.ogg` of every stamp, fetched on first use (161 MB); read only.

    Raises:
        LorsError: no source could be reached, or what came is not this version.
    """
    folder = cache_directory() / "corpora" / f"tuxpaint-stamps-{VERSION}"
    with exclusive(folder):
        if folder.is_dir() and _digest(_digests_in(folder)) == _SHA256:
            return folder
        archive = cache_directory() / "downloads" / _DEB
        pool = f"pool/main/t/tuxpaint-stamps/{_DEB}"
        try:
            download([f"{root}/{pool}" for root in _DEBIAN], archive, _DEB_SHA256)
        except DownloadError as error:
            raise LorsError(
                f"{str(error).rstrip('.')}; connect to the network, or place the file in {archive.parent}."
            ) from None
        files = _used(read_deb(archive))
        if (found := _digest({name: _sha256(data) for name, data in files.items()})) != _SHA256:
            raise LorsError(
                f"{archive}: not the files of tuxpaint-stamps {VERSION} (digest {found}, expected {_SHA256}); "
                "remove it, to have it fetched anew."
            )
        with atomic_directory(folder, overwrite=True) as partial:
            for name, data in files.items():
                path = partial / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    return folder


def recordings(folder: Path, language: str) -> dict[str, Path]:
    """id of the stamp → its description in a language, of every recording that is there."""
    ending = f"_desc_{language}.ogg"
    return {
        path.relative_to(folder).as_posix().removesuffix(ending): path
        for path in sorted(folder.rglob(f"*{ending}"))
    }


def voice(language: str, recording: Path) -> str:
    """Who speaks, as far as the package tells."""
    if language in _VOICES:
        return _VOICES[language]
    with recording.open("rb") as file:
        headers = file.read(_HEADERS)
    return next(
        (name for encoder, name in _FRENCH_VOICES.items() if encoder in headers), f"{language}_unknown"
    )


def _used(content: Mapping[str, bytes]) -> dict[str, bytes]:
    endings = (".txt", *(f"_desc_{language}.ogg" for language in LANGUAGES))
    return {
        name.removeprefix(_STAMPS): data
        for name, data in content.items()
        if name.startswith(_STAMPS) and name.endswith(endings)
    }


def _digests_in(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): _sha256(p.read_bytes()) for p in folder.rglob("*") if p.is_file()
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest(digests: Mapping[str, str]) -> str:
    return sha256_of_text("".join(f"{name} {digest}\n" for name, digest in sorted(digests.items())))
