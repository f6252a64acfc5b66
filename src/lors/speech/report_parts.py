"""Pieces that all parts of the HTML report are made of: texts, languages, players."""

import os
from html import escape
from pathlib import Path
from urllib.parse import quote

from lors.base.visible import visible
from lors.speech.aligned_words import AlignedWord
from lors.speech.manifest import Utterance

STEPS = {"S": "substituted", "D": "deleted", "I": "inserted"}
_PLAYABLE = {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".webm", ".aac"}
_BCP47 = {"jw": "jv"}  # Whisper's own code of Javanese


def html_text(text: str) -> str:
    """The text as HTML: nothing in it is markup, and what has no look of its own is spelled out."""
    return escape(visible(text))


def html_language(code: str) -> str:
    """Whisper's code as a value of `lang`."""
    return html_text(_BCP47.get(code, code))


def legend() -> str:
    """What the colours mean."""
    return ", ".join(f'<span class="{step}"><b>{step}</b> {name}</span>' for step, name in STEPS.items())


def player(clip: Utterance | None, folder: Path) -> str:
    """A player for a page in `folder`, where the clip is there in a format that browsers play; else ""."""
    if (
        clip is None
        or clip.audio_filepath.suffix.lower() not in _PLAYABLE
        or not clip.audio_filepath.is_file()
    ):
        return ""
    try:
        path = Path(os.path.relpath(clip.audio_filepath.absolute(), folder)).as_posix()
        address = "./" + quote(path)  # "./": a name such as "http:x.wav" must not become an address
    except ValueError:  # on another drive
        return ""
    part = f"#t={clip.offset:.3f},{clip.offset + clip.duration:.3f}" if clip.offset else ""
    return f'<audio controls preload="none" src="{escape(address + part)}"></audio>\n'


def aligned_word(word: AlignedWord) -> str:
    """One place of an alignment: the reference's word above the hypothesis's, coloured by the step."""
    cells = "".join(
        '<span class="gap">*</span>' if text is None else f'<span class="{side}">{html_text(text)}</span>'
        for side, text in (("r", word.reference), ("h", word.hypothesis))
    )
    if word.step == "C":
        return f'<span class="w">{cells}</span>'
    return f'<span class="w {word.step}">{cells}<b title="{STEPS[word.step]}">{word.step}</b></span>'
