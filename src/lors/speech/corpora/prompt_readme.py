"""The README.md that lies beside the prepared telephone prompts."""

from collections.abc import Mapping
from typing import Any

from lors.speech.corpora.prepared import PreparedCorpus, counts_table, manifests_table
from lors.speech.corpora.prompt_sources import VERSION

_ALLISON = "recorded by Allison Smith (http://www.theivrvoice.com), © 2003–2010 Allison Smith, CC BY-SA 3.0."
_CREDITS = {
    "en": _ALLISON,
    "es": _ALLISON,
    "fr": (
        "recorded by June Wallack (http://www.junewallack.com), translated by Clod Patry, Kristopher Lalletti"
        " and June Wallack, © 2006–2008 June Wallack, CC BY-SA 3.0."
    ),
    "it": (
        "recorded by Carlo Flora (http://www.carloflora.com, http://www.segreterietelefoniche.it), translated"
        " by Silvia Petrin, © 2012 Carlo Flora, CC BY 3.0."
    ),
    "ru": "provided by Maxim Topal (http://www.ivrvoice.ru), © 2010 Maxim, CC BY 3.0.",
}

_TEXT = """\
# Telephone prompts: {languages}

The prompts of the Asterisk telephone exchange (asterisk-core-sounds {version}): {hours:.2f} hours of human
speech, one voice a language, the same sentences in each. Two tasks on the same clips: transcription, and
translation into English with the English prompts as references.

| language | task | split | clips | minutes |
|---|---|---|---:|---:|
{manifests}

The split follows from a hash of the prompt's id, so all languages share it; prompts whose texts are equal in
any of the five languages are in one split. Audio is 16 kHz mono FLAC. Transcriptions ask to be scored with
the profile `{normaliser}`, because the transcripts do not write accents reliably. The ellipses at the ends of
texts, which mark where prompts are joined, are taken off. Most numbers are written as digits, where Whisper
often writes words: a small part of any gain of fine-tuning is this habit.

## Left out

{left_out}

## Repaired transcripts, of those kept

{repairs}

## Licence and credits

{credits}

CC BY-SA 3.0 is Creative Commons Attribution-ShareAlike (https://creativecommons.org/licenses/by-sa/3.0/),
CC BY 3.0 Attribution (https://creativecommons.org/licenses/by/3.0/). Financial contributions by Digium, Inc.
(http://www.digium.com), and for French by Unlimitel and BGM Informatique. Changed here: audio decoded to
FLAC, transcripts repaired as counted above.

## Made by

    lors prepare prompts --languages {command_languages} --minimum-words {minimum_words} \\
        --maximum-seconds {maximum_seconds:g} --out DIR
"""


def readme(corpus: PreparedCorpus, settings: Mapping[str, Any], normaliser: str) -> str:
    """What the folder holds, what was left out, whose voices these are, and how to make it again."""
    languages = settings["languages"]
    transcribed = [m.seconds for m in corpus.manifests if m.task == "transcribe"]
    return _TEXT.format(
        languages=", ".join(languages),
        command_languages=",".join(languages),
        version=VERSION,
        hours=sum(transcribed) / 3600,
        manifests=manifests_table(corpus.manifests),
        normaliser=normaliser,
        left_out=counts_table("reason", corpus.left_out),
        repairs=counts_table("repair", corpus.repairs),
        credits="\n".join(f"- {code}: {_CREDITS[code]}" for code in dict.fromkeys([*languages, "en"])),
        minimum_words=settings["minimum_words"],
        maximum_seconds=settings["maximum_seconds"],
    )
