"""One contestant's run over a manifest, in a process of its own: load the model, decode every clip, write the texts.

    python benchmarks/decode/contestant.py lors --model DIR --data test.jsonl --beam 5 --out texts.json

`pipeline` and `generate` are transformers as its documentation shows them: thirty seconds of features a clip,
batches in the manifest's order, nothing of `lors` but the reading of manifest and audio, which all share.
"""

import argparse
import json
import time
from pathlib import Path

KINDS = ("lors", "pipeline", "generate")
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--limit", type=int, help="first utterances of each manifest")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--window", type=int, default=1500, help="lors")
    parser.add_argument("--engine", default="ctranslate2", help="lors")
    parser.add_argument("--quantization", help="lors")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    start = time.perf_counter()
    texts, loaded = {"lors": _lors, "pipeline": _pipeline, "generate": _generate}[arguments.kind](arguments)
    seconds = {"loading": loaded - start, "decoding": time.perf_counter() - loaded}
    arguments.out.write_text(json.dumps({"texts": texts, **seconds}, ensure_ascii=False), encoding="utf-8")


def utterances(arguments: argparse.Namespace) -> list:
    from lors.speech.manifest import read_manifest

    return [u for path in arguments.data for u in read_manifest(path)[: arguments.limit]]


def _lors(arguments: argparse.Namespace) -> tuple[list[str], float]:
    from lors.speech.decoding.decode import decode, load_engine
    from lors.speech.decoding.options import DecoderOptions

    options = DecoderOptions(
        engine=arguments.engine,
        quantization=arguments.quantization,
        beam_size=arguments.beam,
        window=arguments.window,
    )
    clips = utterances(arguments)
    engine = load_engine(arguments.model, options)
    loaded = time.perf_counter()
    found = {place: one.text for pairs in decode(engine, clips, options) for place, one in pairs}
    return [found[place] for place in range(len(clips))], loaded


def _batches(arguments: argparse.Namespace) -> list[list[tuple[int, object]]]:
    """Clips of one language and task together, for `task` is one word for a whole call."""
    groups: dict[tuple[str, str], list[tuple[int, object]]] = {}
    for place, u in enumerate(utterances(arguments)):
        groups.setdefault((u.source_lang, u.task), []).append((place, u))
    # Twenty beams of eight clips would hold 6 GB of cross-attention for whisper-base.
    size = BATCH if arguments.beam < 10 else 2
    return [some[i : i + size] for some in groups.values() for i in range(0, len(some), size)]


def _pipeline(arguments: argparse.Namespace) -> tuple[list[str], float]:
    from transformers import pipeline

    from lors.speech.audio import load_audio

    recognise = pipeline("automatic-speech-recognition", model=str(arguments.model))
    loaded = time.perf_counter()
    texts: dict[int, str] = {}
    for batch in _batches(arguments):
        inputs = [load_audio(u.audio_filepath, u.offset, u.duration) for _, u in batch]
        asked = {"language": batch[0][1].source_lang, "task": batch[0][1].task, "num_beams": arguments.beam}
        for (place, _), found in zip(
            batch, recognise(inputs, batch_size=len(batch), generate_kwargs=asked), strict=True
        ):
            texts[place] = found["text"].strip()
    return [texts[place] for place in sorted(texts)], loaded


def _generate(arguments: argparse.Namespace) -> tuple[list[str], float]:
    import torch
    from transformers import AutoProcessor, WhisperForConditionalGeneration

    from lors.speech.audio import load_audio

    processor = AutoProcessor.from_pretrained(arguments.model)
    model = WhisperForConditionalGeneration.from_pretrained(arguments.model).eval()
    loaded = time.perf_counter()
    texts: dict[int, str] = {}
    for batch in _batches(arguments):
        inputs = [load_audio(u.audio_filepath, u.offset, u.duration) for _, u in batch]
        features = processor(inputs, sampling_rate=16000, return_tensors="pt").input_features
        with torch.inference_mode():
            output = model.generate(
                features, language=batch[0][1].source_lang, task=batch[0][1].task, num_beams=arguments.beam
            )
        for (place, _), text in zip(
            batch, processor.batch_decode(output, skip_special_tokens=True), strict=True
        ):
            texts[place] = text.strip()
    return [texts[place] for place in sorted(texts)], loaded


if __name__ == "__main__":
    main()
