"""`lors finetune` against the stock transformers recipe: the same clips, epochs, learning rate, batch and seed.

    lors prepare prompts --languages es --out /tmp/prompts
    make benchmark-finetune ARGS="--data /tmp/prompts --language es"
    make benchmark-finetune ARGS="--data /tmp/prompts --language es --only ours-bfloat16"      # adds a row

Each run is a process of its own. A run that is done stays in --folder with its expert and is not repeated, so that
a comparison can be made in parts; the table holds all runs of the same settings. Clips longer than the window of
`lors` are left out for both. All experts are decoded alike at 30 s: CTranslate2, int8, beam 5, window 1500.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "merge"))

from measure import Run, Spread, measure  # noqa: E402
from report import (  # noqa: E402
    RESULTS,
    Record,
    commit,
    markdown,
    median,
    rich_table,
    spread_text,
    wide_console,
)

from lors.base.files import read_json, sha256_of, sha256_of_text, write_json  # noqa: E402
from lors.checkpoints.find import find_checkpoint  # noqa: E402
from lors.speech.finetuning_settings import has_fast_bfloat16  # noqa: E402
from lors.speech.manifest import read_manifest, write_manifest  # noqa: E402
from lors.speech.window import POSITIONS_PER_SECOND  # noqa: E402

FOLDER = Path("/tmp/lors-benchmark/finetune")
WINDOW = 400

HEADERS = (
    "contestant",
    "clips/s, training alone",
    "clips/s, whole",
    "wall s",
    "CPU s",
    "private MiB",
    "WER %, 95 % interval",
    "against stock",
    "clips/s to stock, training",
    "whole",
)


@dataclass(frozen=True)
class Contestant:
    """Who fine-tunes, with which window and number format; `key` names its files."""

    key: str
    label: str
    window: int = WINDOW
    precision: str = "float32"


CONTESTANTS = (
    Contestant("stock", "stock transformers recipe, 30 s, float32", 1500),
    Contestant("ours", f"lors finetune --window {WINDOW}, float32"),
    Contestant(
        "ours-bfloat16", f"lors finetune --window {WINDOW} --precision bfloat16", precision="bfloat16"
    ),
    Contestant("ours-30s", "lors finetune, 30 s, float32", 1500),
)


class Session:
    """Runs of the same settings, in a folder that is named by them."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.base = find_checkpoint(given.base)
        kept, dropped = _clips(given.data / f"{given.language}-transcribe-train.jsonl", given.max_clips)
        self.test = given.data / f"{given.language}-transcribe-test.jsonl"
        given.folder.mkdir(parents=True, exist_ok=True)
        draft = given.folder.absolute() / "train.jsonl"
        write_manifest(draft, kept)
        self.settings: dict[str, Any] = {
            "base": given.base,
            "language": given.language,
            "clips": len(kept),
            "clips_longer_than_the_window": dropped,
            "minutes": round(sum(clip.duration for clip in kept) / 60, 2),
            "train_sha256": sha256_of(draft),
            "test_sha256": sha256_of(self.test),
            "test_limit": given.test_limit,
            "epochs": given.epochs,
            "learning_rate": given.learning_rate,
            "batch_size": given.batch_size,
            "seed": given.seed,
        }
        self.folder = given.folder.absolute() / sha256_of_text(json.dumps(self.settings))[:12]
        self.folder.mkdir(exist_ok=True)
        self.train = self.folder / "train.jsonl"
        draft.unlink()
        write_manifest(self.train, kept)
        self.settings["commands"] = {
            one.key: self.command(one, Path("OUT"), Path("TIMES")) for one in CONTESTANTS
        }

    def command(self, one: Contestant, out: Path, times: Path) -> list[str]:
        given = self.given
        shared = ["--base", str(self.base), "--train", str(self.train), "--out", str(out)]
        shared += ["--epochs", f"{given.epochs:g}", "--learning-rate", f"{given.learning_rate:g}"]
        shared += ["--batch-size", str(given.batch_size), "--seed", str(given.seed)]
        if one.key == "stock":
            more = ["--language", given.language, "--times", str(times)]
            return [sys.executable, str(HERE / "stock.py"), *shared, *more]
        more = ["--device", "cpu", "--window", str(one.window), "--precision", one.precision]
        return [sys.executable, str(HERE / "ours.py"), str(times), "finetune", *shared, *more]

    def expert(self, one: Contestant) -> Path:
        return self.folder / one.key / "model" if one.key == "stock" else self.folder / one.key

    def run(self, one: Contestant, repeat: int) -> Run:
        """The run of that number: what was kept of it, or now."""
        kept = self.folder / f"{one.key}-{repeat}.json"
        if kept.is_file() and not self.given.again:
            return Run(**read_json(kept))
        out, times = self.folder / one.key, self.folder / f"{one.key}-{repeat}.times.json"
        for path in (out, out.with_name(f"{out.name}.partial")):
            shutil.rmtree(path, ignore_errors=True)
        log = self.folder / f"{one.key}-{repeat}.log"
        run = measure(one.key, self.command(one, out, times), log, repeat)
        if run.exit_code:
            return run
        run = replace(run, more={**read_json(times), **commit()})
        write_json(kept, run.as_json())
        return run

    def runs(self) -> list[Run]:
        """All that were kept."""
        found = [self.folder / f"{one.key}-{repeat}.json" for one in CONTESTANTS for repeat in range(1, 100)]
        return [Run(**read_json(path)) for path in found if path.is_file()]

    def evaluate(self, contestants: Sequence[Contestant]) -> dict[str, Any]:
        """`lors evaluate` of all experts, the first of which others are compared with, and of the base."""
        models = [f"{one.key}={self.expert(one)}" for one in contestants]
        command = [sys.executable, "-m", "lors", "evaluate", *models, f"pretrained={self.base}"]
        command += ["--data", str(self.test), "--out", str(self.folder / "evaluation"), "--overwrite"]
        command += [
            "--engine",
            "ctranslate2",
            "--quantization",
            "int8",
            "--beam-size",
            "5",
            "--window",
            "1500",
        ]
        if self.given.test_limit:
            command += ["--limit", str(self.given.test_limit)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        scores = read_json(self.folder / "evaluation" / "results.json")["scores"]
        return {score["model"]: score for score in scores if score["source_lang"] == self.given.language}


def _clips(manifest: Path, limit: int | None) -> tuple[list[Any], int]:
    clips = read_manifest(manifest)
    fitting = [clip for clip in clips if clip.duration <= WINDOW / POSITIONS_PER_SECOND]
    return fitting[:limit], len(clips) - len(fitting)


def compare(given: argparse.Namespace) -> int:
    """Run what is wanted, print the table of all that is there, leave the files; 1 where a run failed."""
    console = wide_console()
    session = Session(given)
    wanted = [one for one in CONTESTANTS if one.key in given.only.split(",")]
    if unknown := set(given.only.split(",")) - {one.key for one in CONTESTANTS}:
        raise SystemExit(f"--only {min(unknown)}: expected some of {', '.join(c.key for c in CONTESTANTS)}.")
    if not given.only_given and not has_fast_bfloat16():
        wanted = [one for one in wanted if one.precision == "float32"]
    failed = []
    for repeat in range(1, given.repeats + 1):
        for one in wanted:
            run = session.run(one, repeat)
            state = f"; failed with exit code {run.exit_code}, see {run.log}" if run.exit_code else ""
            console.print(
                f"{repeat}: {one.label}: {run.wall:.1f} s, {run.cpu:.1f} CPU s{state}", highlight=False
            )
            failed += [run] if run.exit_code else []
    runs = session.runs()
    present = [one for one in CONTESTANTS if any(run.name == one.key for run in runs)]
    if not present:
        return 1
    record = Record("finetune", given.results, session.settings)
    record.save(runs)
    scores = session.evaluate(present) if not given.no_evaluation else {}
    rows = [_row(session, one, runs, scores) for one in present]
    if scores:
        rows.append(["pretrained", *["–"] * 5, *_wer(scores["pretrained"], present[0].key), "–", "–"])
    table = [dict(zip(HEADERS, row, strict=True)) for row in rows]
    record.save(runs, complete=not failed, scores=scores, table=table)
    settings = session.settings
    title = (
        f"Fine-tuning {given.base} on {settings['clips']} clips ({settings['minutes']:g} min) of {given.language}, "
        f"{given.epochs:g} epochs"
    )
    notes = [*record.about(), *_notes(session, runs, scores)]
    page = record.path.with_suffix(".md")
    page.write_text(markdown(title, HEADERS, rows, notes), encoding="utf-8")
    console.print(rich_table(title, HEADERS, rows))
    for note in notes:
        console.print(note, highlight=False)
    console.print(record.path, page, sep="\n", highlight=False)
    return int(bool(failed))


def _rates(session: Session, one: Contestant, runs: Sequence[Run]) -> tuple[list[float], list[float]]:
    seen = session.settings["clips"] * session.given.epochs
    mine = [run for run in runs if run.name == one.key]
    return [seen / float(str(run.more["train_seconds"])) for run in mine], [seen / run.wall for run in mine]


def _row(session: Session, one: Contestant, runs: Sequence[Run], scores: dict[str, Any]) -> list[str]:
    mine = [run for run in runs if run.name == one.key]
    rates, stock = _rates(session, one, runs), _rates(session, CONTESTANTS[0], runs)
    ratios = [
        f"{Spread.of(ours).median / Spread.of(theirs).median:.2f}" if theirs and one.key != "stock" else "–"
        for ours, theirs in zip(rates, stock, strict=True)
    ]
    return [
        one.label,
        *(_spread(rate) for rate in rates),
        _spread([run.wall for run in mine]),
        _spread([run.cpu for run in mine]),
        f"{median(mine, lambda run: run.private):,.0f}",
        *(_wer(scores[one.key], "stock") if scores else ("–", "–")),
        *ratios,
    ]


def _spread(values: Sequence[float]) -> str:
    """One value alone where there was one run."""
    return spread_text(values) if len(values) > 1 else spread_text(values).split(" / ")[0]


def _wer(score: dict[str, Any], first: str) -> tuple[str, str]:
    """The WER with its interval; its difference from the first model's, and the paired p."""
    text = f"{score['value']:.1f} ({score['low']:.1f}–{score['high']:.1f})"
    if score["p_value"] is None or first != "stock":
        return text, "–"
    return text, f"{score['difference']:+.1f}, p = {score['p_value']:.3f}"


def _notes(session: Session, runs: Sequence[Run], scores: dict[str, Any]) -> list[str]:
    settings = session.settings
    notes = [
        "Where there are several runs: minimum / median / maximum. Training alone: the Trainer's `train`, checkpoints "
        "included; whole: the process, from the start of Python to its end.",
        f"Learning rate {settings['learning_rate']:g}, batches of {settings['batch_size']}, seed {settings['seed']}; "
        f"{settings['clips_longer_than_the_window']} clips longer than the window were left out for all. The order of "
        "the clips is each program's own.",
    ]
    if mine := [run for run in runs if run.name == "stock"]:
        prepared = [float(str(run.more["prepare_seconds"])) for run in mine]
        notes.append(
            f"The stock recipe computes all features before it trains: {_spread(prepared)} s of its whole."
        )
    if scores:
        one = next(iter(scores.values()))
        notes.append(
            f"WER of {one['n']} clips, 95 % bootstrap over utterances; p: paired bootstrap against the stock expert. "
            f"{one['signature']}"
        )
    return notes


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder that `lors prepare prompts` wrote"
    )
    parser.add_argument("--language", default="es")
    parser.add_argument("--base", default="openai/whisper-base")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-clips", type=int, help="only the first of the training clips")
    parser.add_argument("--test-limit", type=int, help="only the first of the test clips")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--only",
        help=f"some of {','.join(one.key for one in CONTESTANTS)}; by default the first two, and the third where "
        "this processor multiplies bfloat16 in hardware",
    )
    parser.add_argument("--again", action="store_true", help="repeat runs that are in the folder already")
    parser.add_argument("--no-evaluation", action="store_true", help="times alone, no WER")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"experts and logs; by default {FOLDER}")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    given.only_given = given.only is not None
    given.only = given.only or "stock,ours,ours-bfloat16"
    return compare(given)


if __name__ == "__main__":
    sys.exit(main())
