"""Transcripts that are hardly what is said: every clip is decoded, and the outliers are listed for the eye."""

import json
from collections.abc import Sequence
from pathlib import Path

from lors.base.errors import LorsError, UsageError
from lors.base.files import read_json, refuse_existing, write_text
from lors.base.visible import visible
from lors.speech.cer import character_errors
from lors.speech.evaluation import evaluate
from lors.speech.evaluation_inputs import normaliser_for
from lors.speech.evaluation_results import RESULTS
from lors.speech.manifest import Utterance, read_manifest
from lors.speech.suspects_facts import Suspects, facts_of
from lors.speech.suspects_html import html_suspects
from lors.speech.suspects_signs import Heard, Suspect, rank
from lors.speech.wer import word_errors


def find_suspects(
    manifests: Sequence[Path],
    out: Path,
    *,
    model: str | Path = "openai/whisper-base",
    engine: str = "ctranslate2",
    quantization: str | None = None,
    beam_size: int = 1,
    window: int = 400,
    memory: int | None = None,
    normaliser: str | None = None,
    limit: int | None = None,
    worst: int = 100,
    overwrite: bool = False,
) -> Suspects:
    """Decode every clip of transcription manifests, and list those whose transcripts are hardly what is said.

    A clip is suspect where the model wrote other words, or more or fewer, and was sure of them; where the text
    is spoken faster or slower than is usual in its language; where accents are missing; where digits, signs or two
    scripts in a word stand. Clips are compared with others of their language, so that one which the model hardly
    knows does not fill the list.

    Beside `OUT.html` stands `OUT.tsv` with all clips, and the folder `OUT.decoded` with the evaluation: an
    interrupted run goes on where it stopped, and listing again decodes nothing.

    Args:
        manifests: of transcriptions.
        out: the HTML file to write.
        model, engine, quantization, beam_size, window, memory, normaliser, limit: as of `evaluate`.
        worst: clips to list in the HTML file.
        overwrite: replace the files, and a folder `OUT.decoded` with another evaluation.

    Raises:
        UsageError: a manifest holds translations, a setting is wrong, or a file exists.
        LorsError: an audio file or the model cannot be read.
    """
    out = Path(out)
    if worst < 1:
        raise UsageError(f"worst {worst}: expected at least one clip.")
    if out.is_dir() or out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{out}: name the HTML file to write, as suspects.html.")
    tsv, decoded = out.with_suffix(".tsv"), out.with_suffix(".decoded")
    for path in (out, tsv):
        refuse_existing(path, overwrite)
    for manifest in manifests:
        for utterance in read_manifest(manifest, check_audio=False):
            if utterance.task != "transcribe":
                raise UsageError(
                    f"{manifest}, utterance '{utterance.id}': a translation; what a clip says can only be held "
                    "against its transcript, so name manifests of transcriptions."
                )
    evaluate(
        [model],
        manifests,
        decoded,
        engine=engine,
        quantization=quantization,
        beam_size=beam_size,
        window=window,
        memory=memory,
        normaliser=normaliser,
        limit=limit,
        overwrite=overwrite,
        reuse=True,
    )
    heard, signature = _read(decoded, manifests, normaliser)
    ranked = rank(heard)
    suspects = Suspects(out, tsv, signature, facts_of(heard), ranked, min(worst, len(ranked)))

    write_text(tsv, _tsv(ranked))
    write_text(out, html_suspects(suspects, out.absolute().parent))
    return suspects


def _read(decoded: Path, manifests: Sequence[Path], normaliser: str | None) -> tuple[list[Heard], str]:
    """What was heard, clip by clip, and the signature of the model and the decoder."""
    record = read_json(decoded / RESULTS)
    names = [data_set["name"] for data_set in record["request"]["data"]]
    heard = []
    for name, file, manifest in zip(names, record["hypotheses"], manifests, strict=True):
        utterances = {u.id: u for u in read_manifest(manifest, check_audio=False)}
        for number, raw in enumerate((decoded / file).read_bytes().splitlines(), start=1):
            try:
                heard.append(_heard(json.loads(raw), utterances, name, normaliser))
            except (ValueError, KeyError, TypeError):
                raise LorsError(
                    f"{decoded / file}:{number}: not a hypothesis of {manifest}; remove the folder {decoded}."
                ) from None
    return heard, f"model:{record['request']['models'][0]['sha256'][:12]}|{record['request']['decoder']}"


def _heard(
    line: dict[str, object], utterances: dict[str, Utterance], name: str, normaliser: str | None
) -> Heard:
    utterance = utterances[str(line["id"])]
    log_probability = line["log_probability"]
    return Heard(
        utterance,
        name,
        str(line["hypothesis"]),
        float(log_probability) if isinstance(log_probability, int | float) else None,
        bool(line["looped"]),
        normaliser_for(utterance, normaliser),
    )


_COLUMNS = (
    *("place", "suspicion", "signs", "manifest", "id", "language", "seconds", "letters_per_second"),
    *("wer", "cer", "log_probability", "reference", "hypothesis", "audio_filepath"),
)


def _tsv(ranked: Sequence[Suspect]) -> str:
    rows = ["\t".join(_COLUMNS)]
    for place, suspect in enumerate(ranked, start=1):
        clip = suspect.heard
        utterance = clip.utterance
        reference, hypothesis = clip.normalise(utterance.text), clip.normalise(clip.hypothesis)
        cells = (
            str(place),
            f"{suspect.suspicion:.3f}",
            "; ".join(f"{sign.name} ({sign.detail})" for sign in suspect.signs),
            clip.data_set,
            utterance.id,
            utterance.source_lang,
            f"{utterance.duration:.2f}",
            f"{clip.letters_per_second:.1f}",
            f"{word_errors(reference, hypothesis).wer:.1f}",
            f"{character_errors(reference, hypothesis).wer:.1f}",
            "" if clip.log_probability is None else f"{clip.log_probability:.3f}",
            utterance.text,
            clip.hypothesis,
            str(utterance.audio_filepath),
        )
        rows.append("\t".join(map(visible, cells)))  # no cell holds a tab or a line break
    return "\n".join(rows) + "\n"
