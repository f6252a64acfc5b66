"""What the descriptions of Tux Paint's stamps (version 2022.06.04) got wrong.

Found by decoding every recording with whisper-base and comparing (`lors suspects`); a correction is here only
where what is said was plain from it. Many descriptions were written anew after they had been recorded.
"""

SPELLING: dict[str, dict[str, str]] = {
    # As in French, the voice says the letter and nothing else.
    "ca": {r"^La lletra (\w)\.$": r"\1.", r"\bdólar\b": "dòlar"},
    "es": {r"\bnaríz\b": "nariz", r"\bpeñique\b": "penique", r"¡Que pasada!": "¡Qué pasada!"},
    "fr": {
        # The names of American and Canadian coins were added to the texts; the recordings end before them.
        r", appelée “(penny|nickel|dime|quarter|demi-dollar Kennedy)”": "",
        # The voice of the letters says them and nothing else: of all 104 recordings the model finds the letter more
        # likely than the whole text, by 18 to 30 nats.
        r"^La lettre (\w)\.$": r"\1.",
    },
}
"""Language → pattern → its certain spelling, or what is said, of faults that come again and again."""

HEARD: dict[str, dict[str, str]] = {
    "ca": {
        "animals/birds/albino_peahen": "Un paó reial albí.",
        "animals/fish/dolphinfish": "Un peix dofí.",
        "animals/insects/grasshopper": "Llagosta.",
        "animals/mammals/bovines/mountaingoat": "Herc pirinenc.",
        "animals/mammals/deer/wapiti": "Cérvol canadenc.",
        "animals/mammals/dogs/fox": "Rabosa.",
        "animals/mammals/equines/donkey": "Ruc.",
        "animals/mammals/rodents/rat": "Rata.",
        "animals/mammals/wildboar": "Porc senglar.",
        "food/dessert/smallcake": "Un pastís en un pot.",
        "food/fruit/orange_seville": "Una taronja agra.",
        "household/dishes/expresso": "Una tassa de cafè.",
        "household/electronics/phone": "Un telèfon.",
        "household/tools/measuring_tape": "Una cinta de medir.",
        "people/body_parts/hair_manga": "Cabells platejats.",
        "plants/flowers/marigold": "Una calèndula.",
        "plants/flowers/whitestar-petunia": "Una petúnia blanca i lila.",
        "seasonal/christmas/bow": "Un llaç de colors.",
        "space/planets/5_jupiter": "Júpiter, el planeta més gran.",
        "symbols/alphabets/english/filled/lowercase/l_filled": "l.",
        "symbols/money/us/coins/100sacagawea": "Un dòlar americà.",
        "town/roadsigns/arrow": "Una fletxa.",
        "vehicles/locomotive/cartoon/tanker": "Un vagó cuba per transportar líquids.",
        "vehicles/ship/cartoon/bathyscape": "El vaixell de recerca submarina Pingüí dos.",
    },
    "es": {
        "food/dessert/smallcake": "Una tarta de cumpleaños.",
        "food/vegetables/potato": "Una patata marrón.",
        "household/electronics/DSLR_Camera": "Una cámara.",
        "household/electronics/calculator": "Una calculadora. 6 por 7 es 42.",
        "household/electronics/camera": "Una cámara. ¡Di patata!",
        "household/electronics/digitalcamera": "Una cámara.",
        "household/electronics/inkjet_printer": (
            "Impresora de inyección de tinta. Imprime estas fotografías, por favor."
        ),
        "household/kettle": "Un hervidor eléctrico.",
        "medical/bandage_adhesive": "Una tirita.",
        "military/vehicles/mustang": "Un avión.",
        "seasonal/christmas/rudolf_reindeer": "Un molinillo de pimienta.",
        "seasonal/christmas/xmas_tp_bulb": "Un chirimbolo.",
        "symbols/alphabets/german/filled/lowercase/a_with_umlaut_filled": "La letra a con diéresis del idioma alemán.",
        "symbols/alphabets/german/filled/lowercase/o_with_umlaut_filled": "La letra o con diéresis del idioma alemán.",
        "symbols/alphabets/german/filled/lowercase/u_with_umlaut_filled": "La letra u con diéresis del idioma alemán.",
        "symbols/alphabets/german/filled/uppercase/A_with_umlaut_filled": "La letra A con diéresis del idioma alemán.",
        "symbols/alphabets/german/filled/uppercase/O_with_umlaut_filled": "La letra O con diéresis del idioma alemán.",
        "symbols/alphabets/german/filled/uppercase/U_with_umlaut_filled": "La letra U con diéresis del idioma alemán.",
        "symbols/money/00_symbols/dollars_1_dollar": "Signo de dólar.",
        "symbols/money/us/coins/100sacagawea": "Una moneda estadounidense de 1 dólar conocida como «Sacagawea».",
        "symbols/shapes/scream_balloon": "Un globo que representa un grito.",
        "symbols/shapes/speech_balloon": "Un globo que representa algo dicho.",
        "symbols/shapes/thought_balloon": "Un globo que representa un pensamiento.",
        "town/houses/cartoon/pinkhome": "Una fantástica casita rosa.",
        "town/roadsigns/give_way_sign": "«Ceda el paso» significa que dejes pasar al otro primero.",
        "town/roadsigns/t-junction": "«Cruce en T».",
        "vehicles/iso_lorry4": "Un enorme camión con volcadora.",
    },
    "fr": {
        "animals/birds/albino_peahen": "Une paonne albinos, la femelle du paon.",
        "symbols/money/us/coins/100sacagawea": "Une pièce de monnaie américaine de un dollar.",
    },
}
"""Language → id → what is said, where the description has other words."""

WITHOUT_ARTICLE: dict[str, set[str]] = {
    "ca": {
        "animals/birds/blackbird",
        "animals/birds/crow",
        "animals/birds/cuckoo",
        "animals/birds/duck",
        "animals/birds/gander",
        "animals/birds/lark",
        "animals/birds/nandou",
        "animals/birds/owl",
        "animals/birds/penguin",
        "animals/birds/quetzal",
        "animals/birds/seagull",
        "animals/birds/tucan",
        "animals/birds/turkey",
        "animals/birds/vulture",
        "animals/insects/bee",
        "animals/insects/fly",
        "animals/insects/hornet",
        "animals/insects/xanthia",
        "animals/lizards/iguana",
        "animals/mammals/apes/chimp",
        "animals/mammals/apes/gorilla",
        "animals/mammals/aquatic/dolphin",
        "animals/mammals/aquatic/orca",
        "animals/mammals/aquatic/otter",
        "animals/mammals/aquatic/whale",
        "animals/mammals/badger",
        "animals/mammals/bears/bear",
        "animals/mammals/bovines/bison",
        "animals/mammals/bovines/cow",
        "animals/mammals/bovines/goat",
        "animals/mammals/bovines/ram",
        "animals/mammals/bovines/yak",
        "animals/mammals/bovines/zebu",
        "animals/mammals/camel/camel",
        "animals/mammals/camel/dromedary",
        "animals/mammals/cats/tiger",
        "animals/mammals/deer/caribou",
        "animals/mammals/deer/deer",
        "animals/mammals/deer/doe",
        "animals/mammals/dogs/dog",
        "animals/mammals/elephant",
        "animals/mammals/equines/horse",
        "animals/mammals/equines/zebra",
        "animals/mammals/ferret",
        "animals/mammals/hippopotamus",
        "animals/mammals/pig",
        "animals/mammals/rodents/beaver",
        "animals/mammals/rodents/marmot",
        "animals/mammals/rodents/mouse",
        "animals/mammals/rodents/rabbit",
        "animals/mammals/rodents/squirrel",
        "animals/marsupials/koala",
        "animals/marsupials/wombat",
    },
}
"""Language → ids of recordings that say the noun alone, where the description begins with an article.

In Catalan these are two sessions, told by what their files' headers say of the encoder: 58 recordings at 32 kbit/s by
libVorbis of 2005, and 5 at 8 kHz. Of these, whisper-base finds 60 of 61 texts more likely without the article (the one
left is `donkey`, which says another word); of the other recordings 19 of 517.
"""

NOT_WHAT_IS_SAID: dict[str, set[str]] = {
    "ca": {
        "animals/birds/pigeon",
        "animals/mammals/bovines/bull",
        "plants/trees/tree336",
        "symbols/alphabets/german/filled/uppercase/A_with_umlaut_filled",
        "symbols/alphabets/german/filled/uppercase/O_with_umlaut_filled",
    },
    "es": {"food/cheese"},
    "fr": {"seasonal/hanukkah/dreydl-shin"},
}
"""Language → ids of recordings that plainly say something else than their description, and not plainly what."""

NOT_TRANSLATIONS: dict[str, set[str]] = {
    "ca": {"animals/mammals/bovines/mountaingoat", "animals/mammals/wildboar", "food/dessert/smallcake"},
    "es": {
        "food/dessert/smallcake",
        "seasonal/christmas/rudolf_reindeer",
        "seasonal/christmas/xmas_tp_bulb",
        "vehicles/iso_lorry4",
    },
}
"""Language → ids of stamps of which the recording says something else than the English description."""
