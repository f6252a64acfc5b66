"""What the transcripts of the telephone prompts (release 1.6.1) got wrong.

Found by decoding every recording with whisper-base and comparing; a correction is here only where what is
said was plain from it. Spelling is left as the transcript has it.
"""

SPOKEN_IN_PARENTHESES = {
    ("fr", "priv-callee-options"),
    ("fr", "screen-callee-options"),
    ("ru", "vm-review-nonurgent"),
}
"""Where parentheses hold words that are spoken; all others, and all square brackets, hold notes."""

SPELLING = {
    # "Marque 1" is read "Marque número 1" (or "el número", see HEARD), "Marque 0" as written
    "es": {r"\b([Mm]arque) (?=[1-9]\b)": r"\1 número ", r"\bparacambiar\b": "para cambiar"},
    "fr": {r"\b([Dd]é|)v[eé]rr?ouill": r"\1verrouill", r"\bacceuil\b": "accueil"},
    # "?" where an accented letter was lost, and the apostrophe that stands for an accent on a capital
    "it": {
        r"\bsar\?": "sarà",
        r"\bpu\?": "può",
        r"\bcos\?": "così",
        r"\bpi\?": "più",
        r"(?<=\s)\?(?=\s)": "è",
        r"^E'(?=\s)": "È",
        r"\b([Pp])erpiacere\b": r"\1er piacere",
    },
    # "что бы" is "that … would"; every prompt means "in order to"
    "ru": {r"\b([Чч])то бы\b": r"\1тобы", r"\bчтобы бы\b": "чтобы", r"\bза тем\b": "затем"},
}
"""Language → pattern → its certain spelling, of faults that come again and again or change words."""

SYMBOLS = {
    "en": {r"\*": "star", r"#": "pound"},
    "fr": {r"\*": "étoile", r"#": "dièse"},
}
"""Language → the key of a telephone → how it is read."""

HEARD = {
    "es": {
        "conf-adminmenu": (
            "Por favor marque el número 1 para habilitar o deshabilitar el modo mudo, número 2 para "
            "bloquear o desbloquear la conferencia, número 3 para expulsar al ultimo usuario, número 4 o 6 "
            "para aumentar o disminuir el volumen de la conferencia, número 7 o 9 para el volumen suyo, o "
            "número 8 para salir."
        ),
        "conf-usermenu": (
            "Por favor marque número 1 para habilitar o deshabilitar el modo mudo, número 4 o 6 para "
            "aumentar o disminuir el volumen de la conferencia, número 7 o 9 para el volumen suyo, o número "
            "8 para salir."
        ),
        "dictate/play_help": (
            "Marque número 1 para cambiar al modo de grabacion, número 2 para reproducir rapidamente, "
            "número 7 para saltar hacia atras, número 8 para saltar hacia adelante."
        ),
        "dictate/record_help": (
            "Marque número 1 para cambiar a modo de reproduccion, número 8 para borrar el archivo y "
            "comenzar de nuevo."
        ),
        "dir-instr": (
            "Si esta es la persona que usted busca, marque el número 1 ahora. Si no, por favor marque el "
            "asterisco."
        ),
        "dir-intro": (
            "Bienvenido al directorio. Por favor marque las tres primeras letras del apellido de la persona "
            "que usted busca en su teclado. Use el número 7 para la Q y el número 9 para la Z."
        ),
        "followme/options": "Presione 1 para aceptar la llamada o presione 2 para rechazarla.",
        "letters/exclaimation-point": "punto de exclamacion",
        "screen-callee-options": (
            "Usted tiene las siguientes opciones: marque el número 1 si desea comunicarse inmediatamente "
            "con la llamada, marque el número 2 si desea enviar la persona al buzon de mensajes, marque el "
            "número 3 para enviar a esta persona a las opciones de tortura, marque el número 4 para enviar "
            "a esta persona a una opcion cortes de no llamar."
        ),
        "vm-delete": "Marque el número 7 para borrar el mensaje.",
        "vm-forward": (
            "Marque el número 1 para teclear una extension. Marque el número 2 para obtener el directorio."
        ),
        "vm-forwardoptions": (
            "Marque número 1 para dejar pendiente un mensaje o número 2 para enviar el mensaje sin esperar."
        ),
        "vm-instructions": (
            "Presione el número 1 para escuchar sus mensajes. Presione la tecla de numero para terminar en "
            "cualquier momento."
        ),
        "vm-invalid-password": "La contrasenia no cumple los requisitos minimos para este correo de voz.",
        "vm-mismatch": "Las contrasenas que usted tecleo no coinciden.",
        "vm-next": "Marque el número 6 para escuchar el proximo mensaje.",
        "vm-nomore": "No hay mas mensajes.",
        "vm-onefor": "Marque el número 1 para",
        "vm-options": (
            "Marque el número 1 para grabar sus mensajes que en este momento no esta libre. Marque el "
            "número 2 para grabar su mensaje de ocupado. Marque el número 3 para grabar su nombre. Presione "
            "4 para la configuracion del saludo temporal. Marque el número 5 para cambiar su contrasena. "
            "Marque el asterisco para volver a las opciones principales."
        ),
        "vm-opts": (
            "Marque el número 2 para cambiar de carpeta, número 3 para opciones avanzadas, o 0 para "
            "opciones del correo."
        ),
        "vm-prev": "Marque el número 4 para el mensaje previo.",
        "vm-record-prepend": (
            "Presione 4 para la configuracion del saludo temporal. Al escuchar el tono, por favor grabe la "
            "introduccion para el mensaje re-enviado. Al terminar, presione el signo de gato."
        ),
        "vm-review": (
            "Marque número 1 para aceptar esta grabacion. Marque número 2 para escucharlo. Marque número 3 "
            "para volver a grabar su mensaje."
        ),
        "vm-tempgreeting2": "Marque número 1 para grabar su saludo temporal, o número 2 para borrarlo.",
        "vm-toforward": "Marque el número 8 para enviar este mensaje a otro usuario.",
        "vm-undelete": "Marque el número 7 para recuperar el mensaje.",
    },
    "fr": {
        "please-try-call-later": "Veuillez essayer votre appel plus tard.",
        "vm-mismatch": "Les mots de passes que vous avez entrés ne correspondent pas.",
        "vm-rec-name": "Après le bip sonore, dites votre nom et appuyez sur dièse.",
        "vm-review-urgent": "Pour qualifier ce message d'urgent, faites le 4.",
        "vm-tomakecall": "pour faire un appel, appuyez sur 4",
    },
    "it": {
        "conf-adminmenu-18": (
            "Prego premere 1 per disattivare o riattivare la propria voce, 2 per bloccare o sbloccare la "
            "conferenza, 3 per espellere l'ultimo utente, 4 o 6 per ridurre o aumentare il volume della "
            "conferenza, 5 per prolungare la conferenza, 7 o 9 per diminuire o aumentare il proprio volume, "
            "o 8 per maggiori opzioni."
        ),
        "conf-adminmenu-menu8": (
            "Premere 1 per elencare gli utenti attualmente presenti nella conferenza, 2 per espellere tutti "
            "gli utenti non amministratori, 3 per disattivare o riattivare tutti gli utenti non "
            "amministratori, 4 per registrare questa conferenza, o 8 per uscire da questo menu e tornare "
            "alla conferenza."
        ),
        "conf-muted": "voce disattivata",
        "conf-placeintoconf": "Ora sarà inserito nella conferenza.",
        "confbridge-mute-in": "Per disattivare o riattivare la propria voce",
        "confbridge-mute-out": "per disattivare o riattivare la propria voce.",
        "confbridge-only-one": "C'è attualmente solo un altro partecipante alla conferenza.",
        "please-try-call-later": "Per piacere, riprova ancora la tua chiamata più tardi.",
        "screen-callee-options": (
            "Opzioni disponibili: premere 1 se desideri connetterti immediatamente alla chiamata in arrivo. "
            "Premere 2 se desideri mandare questo chiamante alla posta vocale. Premere 3 per mandare questo "
            "chiamante al menù di tortura. Premere 4 per mandare questo chiamante a un educato menù di “non "
            "richiamare”"
        ),
        "vm-rec-unv": (
            "Dopo il segnale acustico registrare il proprio messaggio di non disponibile e quindi premere "
            "il tasto cancelletto."
        ),
        "vm-tempgreetactive": "Il proprio messaggio temporaneo di saluto è attualmente attivo",
        "vm-then-pound": "poi premere cancelletto",
    },
}
"""Language → id → what is said, where the transcript has other words, or a sentence more or less."""

NOT_TRANSLATIONS = {("fr", "demo-moreinfo"), ("ru", "basic-pbx-ivr-main")}
"""(language, id) of prompts that say something else than the English prompt of that id."""
