"""The README.md that lies beside the prepared stamps."""

from collections.abc import Mapping
from typing import Any

from lors.speech.corpora.prepared import PreparedCorpus, counts_table, manifests_table
from lors.speech.corpora.stamps_sources import VERSION

CREDITS = {
    "ca": "Catalan: Pere Pujal i Carabantes.",
    "es": "Spanish: Estefanía Ortiz.",
    "fr": (
        "French: PaulK; a second voice says the letters and a third most animals, which Jacques Chion contributed "
        "or which the package names no one for."
    ),
    "ru": "Russian: Edwin Veber.",
    "ro": "Romanian: Tabbytha.",
    "bg": "Bulgarian: Krasimir Petkov.",
    "be": "Belarusian: Kseniya Buraya.",
    "el": "Greek: Kyriaki Serafeim.",
    "da": "Danish: Joe Dalton.",
}
"""Language → who recorded its descriptions, as `changelog.gz` of the package tells."""

_TEXT = """\
# Stamps of Tux Paint: {languages}

What the stamps of Tux Paint (tuxpaint-stamps {version}), a drawing program for children, say of themselves:
{hours:.2f} hours of human speech, one voice a language (French: three), short descriptions of the same pictures
in each. Two tasks on the same clips: transcription, and translation into English with the English descriptions
as references.

| language | task | split | clips | minutes |
|---|---|---|---:|---:|
{manifests}

The split follows from a hash of the stamp's id, so all languages share it; stamps whose descriptions are equal
in English or any of the nine languages are in one split. Audio is 16 kHz mono FLAC. A recording that several
stamps share is there once. Many descriptions were written anew after they had been recorded: a text that would
need more than {letters:g} letters a second is left out, for no one speaks as fast. Whisper writes some numbers
as digits that are words here, and the other way round.

## Left out

{left_out}

## Repaired transcripts, of those kept

{repairs}

## Licence and credits

Tux Paint's stamps are © 2002–2022 by Bill Kendrick and contributors, under the GNU General Public License,
version 2 (https://www.gnu.org/licenses/old-licenses/gpl-2.0.html), recordings and texts included, as the file
`copyright` of Debian's package tuxpaint-stamps-default says. What is made of them and handed on comes under the
same licence. Voices, as `changelog.gz` of the package names them:

{credits}

Changed here: audio decoded to FLAC, transcripts repaired as counted above. http://www.tuxpaint.org/

## Made by

    lors prepare stamps --languages {command_languages} --minimum-words {minimum_words} \\
        --maximum-seconds {maximum_seconds:g} --out DIR
"""


def readme(corpus: PreparedCorpus, settings: Mapping[str, Any], letters_per_second: float) -> str:
    """What the folder holds, what was left out, whose voices these are, and how to make it again."""
    languages = settings["languages"]
    transcribed = [m.seconds for m in corpus.manifests if m.task == "transcribe"]
    return _TEXT.format(
        languages=", ".join(languages),
        command_languages=",".join(languages),
        version=VERSION,
        hours=sum(transcribed) / 3600,
        manifests=manifests_table(corpus.manifests),
        letters=letters_per_second,
        left_out=counts_table("reason", corpus.left_out),
        repairs=counts_table("repair", corpus.repairs),
        credits="\n".join(f"- {CREDITS[code]}" for code in languages),
        minimum_words=settings["minimum_words"],
        maximum_seconds=settings["maximum_seconds"],
    )
