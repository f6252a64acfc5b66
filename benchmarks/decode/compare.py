"""lors against transformers' pipeline and plain `generate`: the same model, the same clips, one process a run.

    make benchmark-decode ARGS="--data quickstart/data/es-transcribe-test.jsonl"
    make benchmark-decode ARGS="--data test.jsonl --beams 5 --only lors-int8,generate --limit 20 --repeats 1"

The contestants take turns, A B C A B C. Nothing is dropped: every run stands in the JSON file. Ratios are to plain
`generate` with as many beams. WER is of transcriptions alone, its interval over utterances; the share of identical
texts is counted after the manifest's normaliser, and as they are.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "merge"))

from measure import Run, measure
from report import RESULTS, Record, markdown, median, rich_table, spread_text, wide_console

HERE = Path(__file__).parent
FOLDER = Path("/tmp/lors-benchmark/decode")
HEADERS = (
    "contestant",
    "wall s, min / median / max",
    "CPU s, min / median / max",
    "private MiB",
    "wall ratio",
    "CPU ratio",
    "same texts",
    "same words",
    "WER (95 % interval)",
)


@dataclass(frozen=True)
class Contestant:
    """One way to decode; `reference` is the plain `generate` with as many beams."""

    key: str
    label: str
    reference: str
    arguments: tuple[str, ...]


def contestants(beams: Sequence[int], only: str) -> list[Contestant]:
    """All, or those whose names begin as one of `only`, for each number of beams."""
    found = []
    for beam in beams:
        reference = f"generate-beam{beam}"
        end = ("--beam", str(beam))
        for quantization in ("int8", "float32"):
            for window in (400, 1500):
                found.append(
                    Contestant(
                        f"lors-{quantization}-window{window}-beam{beam}",
                        f"lors: ctranslate2 {quantization}, window {window}, beam {beam}",
                        reference,
                        ("lors", "--quantization", quantization, "--window", str(window), *end),
                    )
                )
        found.append(
            Contestant(
                f"pipeline-beam{beam}", f"transformers: pipeline, beam {beam}", reference, ("pipeline", *end)
            )
        )
        found.append(
            Contestant(reference, f"transformers: generate, beam {beam}", reference, ("generate", *end))
        )
    wanted = tuple(part for part in only.split(",") if part)
    chosen = [one for one in found if not wanted or one.key.startswith(wanted)]
    unused = [part for part in wanted if not any(one.key.startswith(part) for one in found)]
    if unused or not chosen:
        sys.exit(
            f"--only {','.join(unused)}: no such contestant; there are {', '.join(o.key for o in found)}."
        )
    return chosen


def compare(arguments: argparse.Namespace) -> int:
    """Run all, print the table, leave the files; the exit code is 1 where a contestant failed."""
    from lors.checkpoints.find import find_checkpoint
    from lors.speech.manifest import read_manifest

    console = wide_console()
    chosen = contestants([int(part) for part in arguments.beams.split(",")], arguments.only)
    model, folder = find_checkpoint(arguments.model), arguments.folder.absolute()
    data = [path.absolute() for path in arguments.data]
    clips = [u for path in data for u in read_manifest(path)[: arguments.limit]]
    shared = ["--model", str(model)] + [part for path in data for part in ("--data", str(path))]
    shared += ["--limit", str(arguments.limit)] if arguments.limit else []
    commands = {one.key: [*one.arguments, *shared] for one in chosen}
    settings = {
        "model": arguments.model,
        "data": [str(path) for path in data],
        "clips": len(clips),
        "audio_seconds": sum(u.duration for u in clips),
        "repeats": arguments.repeats,
        "commands": commands,
    }
    record = Record("decode", arguments.results, settings)
    folder.mkdir(parents=True, exist_ok=True)
    if not arguments.cold:
        _convert(model, commands)
    runs: list[Run] = []
    texts: dict[str, list[str]] = {}
    for repeat in range(1, arguments.repeats + 1):
        for one in chosen:
            out = folder / f"{one.key}.json"
            out.unlink(missing_ok=True)
            command = [sys.executable, str(HERE / "contestant.py"), *commands[one.key], "--out", str(out)]
            run = measure(one.key, command, folder / "logs" / f"{one.key}-{repeat}.log", repeat)
            if run.exit_code == 0:
                said = json.loads(out.read_text(encoding="utf-8"))
                texts[one.key] = said.pop("texts")
                run.more = said
            runs.append(run)
            failed = f"; failed with exit code {run.exit_code}, see {run.log}" if run.exit_code else ""
            console.print(f"{repeat}: {one.label}: {run.wall:.1f} s{failed}", highlight=False)
            record.save(runs)
    rows = [_row(one, runs, texts, clips) for one in chosen]
    table = [
        dict(zip(("key", *HEADERS), (one.key, *row), strict=True))
        for one, row in zip(chosen, rows, strict=True)
    ]
    record.save(runs, complete=True, table=table, texts=texts)
    title = f"Decoding {len(clips)} clips ({settings['audio_seconds']:.0f} s) with {arguments.model}"
    notes = [*record.about(), "Ratios and sameness: to transformers' generate with as many beams."]
    path = record.path.with_suffix(".md")
    path.write_text(markdown(title, HEADERS, rows, notes), encoding="utf-8")
    console.print(rich_table(title, HEADERS, rows))
    console.print(record.path, path, sep="\n", highlight=False)
    return int(any(run.exit_code for run in runs))


def _convert(model: Path, commands: dict[str, list[str]]) -> None:
    """The copies for CTranslate2, made once for a model and kept: no part of decoding."""
    from lors.checkpoints.ctranslate2 import to_ctranslate2

    for quantization in ("int8", "float32"):
        if any(quantization in command for command in commands.values()):
            to_ctranslate2(model, quantization)


def _row(one: Contestant, runs: Sequence[Run], texts: dict[str, list[str]], clips: Sequence) -> list[str]:
    mine, other = _of(runs, one.key), _of(runs, one.reference)
    if not mine:
        codes = ", ".join(str(run.exit_code) for run in runs if run.name == one.key)
        return [one.label, f"failed (exit codes {codes})", *[""] * (len(HEADERS) - 2)]
    row = [
        one.label,
        spread_text([run.wall for run in mine]),
        spread_text([run.cpu for run in mine]),
        f"{max(run.private for run in mine):,.0f}",
    ]
    if other:
        ratios = (median(mine, kind) / median(other, kind) for kind in (lambda r: r.wall, lambda r: r.cpu))
        row += [f"{ratio:.3f}" for ratio in ratios]
        row += same(texts[one.key], texts[one.reference], clips)
    else:
        row += ["–"] * 4
    return [*row, word_error_rate(texts[one.key], clips)]


def _of(runs: Sequence[Run], key: str) -> list[Run]:
    mine = [run for run in runs if run.name == key]
    return [] if any(run.exit_code for run in mine) else mine


def same(texts: Sequence[str], others: Sequence[str], clips: Sequence) -> list[str]:
    """Texts that are the same as they are, and after the normaliser, of how many."""
    from lors.speech.evaluation_inputs import normaliser_for

    exact = sum(a == b for a, b in zip(texts, others, strict=True))
    profiles = [normaliser_for(u, None) for u in clips]
    words = sum(p(a).split() == p(b).split() for p, a, b in zip(profiles, texts, others, strict=True))
    return [f"{exact}/{len(texts)}", f"{words}/{len(texts)}"]


def word_error_rate(texts: Sequence[str], clips: Sequence) -> str:
    """Of the transcriptions, in per cent, with its 95 % bootstrap interval over utterances."""
    import numpy as np

    from lors.speech import bootstrap
    from lors.speech.evaluation_scores import utterance_errors
    from lors.speech.wer import total

    parts = [
        utterance_errors(u, text, None)
        for u, text in zip(clips, texts, strict=True)
        if u.task == "transcribe"
    ]
    if not parts:
        return "–"
    statistics = np.asarray([(part.errors, part.words) for part in parts])
    sums = bootstrap.resampled_sums(statistics, 1000, 0, "decode")
    interval = bootstrap.interval(bootstrap.SCORES["wer"](sums))
    return f"{total(parts).wer:.1f} ({interval.low:.1f}–{interval.high:.1f}), n = {len(parts)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="manifest; once for each")
    parser.add_argument("--model", default="openai/whisper-base")
    parser.add_argument("--beams", default="5,20")
    parser.add_argument("--only", default="", help="contestants, or their first words: lors-int8,generate")
    parser.add_argument("--limit", type=int, help="first utterances of each manifest")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="leave the conversion to the first run of lors")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"texts and logs; by default {FOLDER}")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return compare(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
