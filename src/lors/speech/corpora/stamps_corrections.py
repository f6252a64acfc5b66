"""What the descriptions of Tux Paint's stamps (version 2022.06.04) got wrong.

Found by decoding every recording with whisper-base and comparing (`lors suspects`); a correction is here only
where what is said was plain from it. Many descriptions were written anew after they had been recorded.
"""

SPELLING: dict[str, dict[str, str]] = {
    "es": {r"\bnaríz\b": "nariz"},
    "fr": {
        # The names of American and Canadian coins were added to the texts; the recordings end before them.
        r", appelée “(penny|nickel|dime|quarter|demi-dollar Kennedy)”": "",
        # The voice of the letters says them and nothing else.
        r"^La lettre (\w)\.$": r"\1.",
    },
}
"""Language → pattern → its certain spelling, or what is said, of faults that come again and again."""

HEARD: dict[str, dict[str, str]] = {
    "es": {
        "food/dessert/smallcake": "Una tarta de cumpleaños.",
        "food/vegetables/potato": "Una patata marrón.",
        "household/electronics/DSLR_Camera": "Una cámara.",
        "household/electronics/digitalcamera": "Una cámara.",
        "household/electronics/inkjet_printer": (
            "Impresora de inyección de tinta. Imprime estas fotografías, por favor."
        ),
        "household/kettle": "Un hervidor eléctrico.",
        "medical/bandage_adhesive": "Una tirita.",
        "seasonal/christmas/rudolf_reindeer": "Un molinillo de pimienta.",
        "symbols/alphabets/german/filled/lowercase/a_with_umlaut_filled": (
            "La letra a con diéresis del idioma alemán."
        ),
        "symbols/alphabets/german/filled/lowercase/o_with_umlaut_filled": (
            "La letra o con diéresis del idioma alemán."
        ),
        "symbols/alphabets/german/filled/lowercase/u_with_umlaut_filled": (
            "La letra u con diéresis del idioma alemán."
        ),
        "symbols/alphabets/german/filled/uppercase/A_with_umlaut_filled": (
            "La letra A con diéresis del idioma alemán."
        ),
        "symbols/alphabets/german/filled/uppercase/O_with_umlaut_filled": (
            "La letra O con diéresis del idioma alemán."
        ),
        "symbols/alphabets/german/filled/uppercase/U_with_umlaut_filled": (
            "La letra U con diéresis del idioma alemán."
        ),
        "symbols/money/us/coins/100sacagawea": (
            "Una moneda estadounidense de 1 dólar conocida como «Sacagawea»."
        ),
        "symbols/shapes/scream_balloon": "Un globo que representa un grito.",
        "symbols/shapes/speech_balloon": "Un globo que representa algo dicho.",
        "symbols/shapes/thought_balloon": "Un globo que representa un pensamiento.",
        "town/houses/cartoon/pinkhome": "Una fantástica casita rosa.",
    },
    "fr": {
        "symbols/money/us/coins/100sacagawea": "Une pièce de monnaie américaine de un dollar.",
    },
}
"""Language → id → what is said, where the description has other words."""

NOT_WHAT_IS_SAID: dict[str, set[str]] = {"es": {"food/cheese"}, "fr": {"seasonal/hanukkah/dreydl-shin"}}
"""Language → ids of recordings that plainly say something else than their description, and not plainly what."""

NOT_TRANSLATIONS: dict[str, set[str]] = {
    "es": {"food/dessert/smallcake", "seasonal/christmas/rudolf_reindeer"}
}
"""Language → ids of stamps of which the recording says something else than the English description."""
