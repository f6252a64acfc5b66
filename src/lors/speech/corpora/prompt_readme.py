"""The README.md that lies beside the prepared telephone prompts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lors.speech.corpora.prompt_sources import VERSION

if TYPE_CHECKING:
    from lors.speech.corpora.prompts import PreparedCorpus

_CREDITS = {
    "en": "Recorded by Allison Smith (http://www.theivrvoice.com). © 2003–2010 Allison Smith. CC BY-SA 3.0.",
    "es": "Recorded by Allison Smith (http://www.theivrvoice.com). © 2003–2010 Allison Smith. CC BY-SA 3.0.",
    "fr": (
        "Recorded by June Wallack (http://www.junewallack.com), translated by Clod Patry, Kristopher Lalletti "
        "and June Wallack. © 2006–2008 June Wallack. CC BY-SA 3.0."
    ),
    "it": (
        "Recorded by Carlo Flora (http://www.carloflora.com), translated by Silvia Petrin. © 2012 Carlo Flora. "
        "CC BY 3.0."
    ),
    "ru": "Provided by Maxim Topal (http://www.ivrvoice.ru). © 2010 Maxim. CC BY 3.0.",
}


def readme(corpus: "PreparedCorpus", settings: Mapping[str, Any]) -> str:
    """What the folder holds, what was left out, whose voices these are, and how to make it again."""
    languages = settings["languages"]
    hours = sum(c.seconds for c in corpus.counts if c.task == "transcribe") / 3600
    held = [
        f"| {c.language} | {c.task} | {c.split} | {c.clips} | {c.seconds / 60:.1f} |" for c in corpus.counts
    ]
    return "\n".join(
        [
            f"# Telephone prompts: {', '.join(languages)}",
            "",
            f"The prompts of the Asterisk telephone exchange (asterisk-core-sounds {VERSION}): {hours:.2f} hours of "
            "human speech, one voice a language, the same sentences in each. Transcription, and translation into "
            "English with the English prompts as references.",
            "",
            "| language | task | split | clips | minutes |",
            "|---|---|---|---:|---:|",
            *held,
            "",
            "The split follows from a hash of the prompt's id, so all languages share it; prompts whose texts are "
            "equal in any of the five languages are in one split. Audio is 16 kHz mono FLAC. Every line asks to be "
            "scored with `fold-diacritics`, because the transcripts do not write accents reliably. Ellipses at "
            "the ends of a text, which mark where prompts are joined, were taken off.",
            "",
            "## Left out",
            "",
            *_table("reason", corpus.left_out, languages),
            "",
            "## Repaired transcripts",
            "",
            *_table("repair", corpus.repairs, languages),
            "",
            "## Licence and credits",
            "",
            "Creative Commons Attribution-ShareAlike 3.0 (https://creativecommons.org/licenses/by-sa/3.0/) or "
            "Attribution 3.0 (https://creativecommons.org/licenses/by/3.0/), as said below. Financial contributions "
            "by Digium, Inc., and for French by Unlimitel and BGM Informatique. Changes made here: decoded to FLAC, "
            "transcripts repaired as counted above.",
            "",
            *(f"- **{language}**: {_CREDITS[language]}" for language in dict.fromkeys([*languages, "en"])),
            "",
            "## Made by",
            "",
            f"    lors prepare prompts --languages {','.join(languages)} "
            f"--minimum-words {settings['minimum_words']} --maximum-seconds {settings['maximum_seconds']:g} --out DIR",
            "",
        ]
    )


def _table(name: str, counts: Mapping[str, Mapping[str, int]], languages: list[str]) -> list[str]:
    """A Markdown table with one row for each name that any language has, most frequent first."""
    total: dict[str, int] = {}
    for of_language in counts.values():
        for key, number in of_language.items():
            total[key] = total.get(key, 0) + number
    rows = sorted(total, key=lambda key: (-total[key], key))
    return [
        f"| {name} | {' | '.join(languages)} |",
        f"|---|{'---:|' * len(languages)}",
        *(f"| {row} | {' | '.join(str(counts[code].get(row, 0)) for code in languages)} |" for row in rows),
    ]
