"""`lors tune` against merging to disk and evaluating each candidate anew: the same grid, clips, window and beam.

    lors prepare prompts --languages es fr --out /tmp/prompts
    make benchmark-tune ARGS="--data /tmp/prompts --expert experts/es --expert experts/fr"

One by one: for each candidate `lors merge` and `lors evaluate`, a process each. Both decode the pretrained model
once. What is done stays in --folder and is not repeated, so that a comparison can be made in parts (--minutes): then
each candidate that is not done is taken to cost the mean of those that are. The exhaustive grid's scores tell how
good the candidate is that was found.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "merge"))

from measure import Run, measure  # noqa: E402
from report import RESULTS, Record, commit, markdown, rich_table, wide_console  # noqa: E402

from lors.base.files import read_json, sha256_of, sha256_of_text, write_json  # noqa: E402
from lors.checkpoints.read import open_checkpoint  # noqa: E402

FOLDER = Path("/tmp/lors-benchmark/tune")
HEADERS = (
    "contestant",
    "candidates",
    "wall s",
    "CPU s",
    "candidates a minute",
    "a CPU minute",
    "best, WER %",
)
PRETRAINED = "pretrained"


class Session:
    """Runs of the same settings, in a folder that is named by them."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.dev = [
            given.data / f"{language}-transcribe-dev.jsonl" for language in given.languages.split(",")
        ]
        self.settings: dict[str, Any] = {
            "base": given.base,
            "experts": [open_checkpoint(path).sha256() for path in given.expert],
            "dev": [sha256_of(path) for path in self.dev],
            "method": given.method,
            "grid": {"scale": given.scales, "rank_ratio": given.rank_ratios, "keep_ratio": given.keep_ratios},
            "limit": given.limit,
            "window": given.window,
            "beam_size": given.beam_size,
            "short_list": given.short_list,
        }
        self.folder = given.folder.absolute() / sha256_of_text(json.dumps(self.settings))[:12]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.recipe = self.folder / "recipe.yaml"
        experts = [str(path.absolute()) for path in given.expert]
        content = {"base": given.base, "method": given.method, "experts": experts}
        self.recipe.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    @property
    def candidates(self) -> list[dict[str, float]]:
        """Every combination; the order alternates, so that the first few are spread over the grid."""
        grid = self.settings["grid"]
        every = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        return every[::3] + every[1::3] + every[2::3]

    def one_by_one(self, values: dict[str, float] | None) -> list[Run]:
        """`lors merge` and `lors evaluate` of a candidate, or the latter of the pretrained model (None)."""
        name = PRETRAINED if values is None else name_of(values)
        kept, merged, out = (self.folder / part for part in (f"{name}.json", "merged", f"evaluation-{name}"))
        if kept.is_file():
            return [Run(**run) for run in read_json(kept)]
        runs = []
        if values is not None:
            flags = [
                part for key, value in values.items() for part in (f"--{key.replace('_', '-')}", f"{value:g}")
            ]
            experts = [part for path in self.given.expert for part in ("--expert", str(path))]
            merge = ["merge", "--base", self.given.base, *experts, "--method", self.given.method, *flags]
            runs.append(self._run(f"merge {name}", [*merge, "--out", str(merged), "--overwrite"]))
        model = self.given.base if values is None else str(merged)
        runs.append(
            self._run(
                f"evaluate {name}", ["evaluate", model, *self._decoding(), "--out", str(out), "--overwrite"]
            )
        )
        write_json(kept, [run.as_json() for run in runs])
        return runs

    def tuned(self) -> Run:
        """`lors tune` over the whole grid, from nothing."""
        kept, out = self.folder / "tune.json", self.folder / "tuned"
        if kept.is_file():
            return Run(**read_json(kept))
        shutil.rmtree(out, ignore_errors=True)
        grid = [
            f"{key}={','.join(f'{value:g}' for value in values)}"
            for key, values in self.settings["grid"].items()
        ]
        tries = [part for text in grid for part in ("--try", text)]
        dev = ["--dev" if part == "--data" else part for part in self._decoding()]
        command = [
            "tune",
            str(self.recipe),
            *dev,
            *tries,
            "--short-list",
            str(self.given.short_list),
            "--out",
            str(out),
        ]
        run = self._run("tune", command)
        run = replace(run, more={**run.more, "seconds": read_json(out / "seconds.json")})
        write_json(kept, run.as_json())
        return run

    def wer(self, values: dict[str, float]) -> float:
        """By the exhaustive grid's decoding: the mean over languages."""
        scores = read_json(self.folder / f"evaluation-{name_of(values)}" / "results.json")["scores"]
        return float(next(s["value"] for s in scores if s["source_lang"] is None or len(scores) == 1))

    def done(self) -> list[dict[str, float]]:
        return [values for values in self.candidates if (self.folder / f"{name_of(values)}.json").is_file()]

    def _decoding(self) -> list[str]:
        given = self.given
        data = [part for path in self.dev for part in ("--data", str(path))]
        return [
            *data,
            "--limit",
            str(given.limit),
            "--window",
            str(given.window),
            "--beam-size",
            str(given.beam_size),
        ]

    def _run(self, name: str, arguments: list[str]) -> Run:
        command = [sys.executable, "-m", "lors", *arguments]
        run = measure(name, command, self.folder / f"{name.replace(' ', '-')}.log", 1)
        if run.exit_code:
            raise SystemExit(f"{name} failed with exit code {run.exit_code}, see {run.log}")
        return replace(run, more={**commit(), "load": Path("/proc/loadavg").read_text().split()[0]})


def name_of(values: dict[str, float]) -> str:
    return "-".join(f"{key}={value:g}" for key, value in values.items())


def compare(given: argparse.Namespace) -> int:
    """Run what is wanted and not yet done; print the table of all that is there, and leave the files."""
    console, session = wide_console(), Session(given)
    end = time.monotonic() + 60 * given.minutes
    tune = session.tuned()
    console.print(f"lors tune: {tune.wall:.1f} s, {tune.cpu:.1f} CPU s", highlight=False)
    runs = list(session.one_by_one(None))
    for values in session.candidates:
        if time.monotonic() < end or (session.folder / f"{name_of(values)}.json").is_file():
            mine = session.one_by_one(values)
            runs += mine
            took = f"{sum(run.wall for run in mine):.1f} s, {sum(run.cpu for run in mine):.1f} CPU s"
            console.print(f"{name_of(values)}: {took}, WER {session.wer(values):.2f}", highlight=False)
    if not session.done():
        raise SystemExit("no candidate was decoded one by one: nothing to compare with; give more --minutes.")
    record = Record("tune", given.results, session.settings)
    table, facts = _table(session, tune, runs)
    record.save([tune, *runs], complete=len(session.done()) == len(session.candidates), facts=facts)
    title = (
        f"Tuning {given.method} on {given.base}, {len(session.candidates)} candidates, "
        f"{given.limit} clips a language"
    )
    notes = [*record.about(), *_notes(session, tune, facts)]
    page = record.path.with_suffix(".md")
    page.write_text(markdown(title, HEADERS, table, notes), encoding="utf-8")
    console.print(rich_table(title, HEADERS, table))
    for note in notes:
        console.print(note, highlight=False)
    console.print(record.path, page, sep="\n", highlight=False)
    return 0


def _table(session: Session, tune: Run, runs: list[Run]) -> tuple[list[list[str]], dict[str, Any]]:
    done, every = session.done(), len(session.candidates)
    wall, cpu = (_whole(runs, len(done), every, kind) for kind in ("wall", "cpu"))
    values = read_json(session.folder / "tuned" / "tuning.json")["best"]["values"]
    found = {key: values[key] for key in session.settings["grid"]}
    best = min(done, key=session.wer)
    rates = {"ours": 60 * every / tune.wall, "theirs": 60 * every / wall}
    cpu_rates = {"ours": 60 * every / tune.cpu, "theirs": 60 * every / cpu}
    mine = session.wer(found) if found in done else None
    facts: dict[str, Any] = {
        "wall_ratio": rates["ours"] / rates["theirs"],
        "cpu_ratio": cpu_rates["ours"] / cpu_rates["theirs"],
        "decoding_share": tune.more["seconds"]["decoding"] / tune.more["seconds"]["all"],  # type: ignore[index]
        "found": found,
        "found_wer": mine,
        "best": best,
        "best_wer": session.wer(best),
        "wer": {name_of(values): session.wer(values) for values in done},
        "candidates_done": len(done),
        "one_by_one_seconds": {"wall": wall, "cpu": cpu},
    }
    told = "not decoded yet by the other" if mine is None else f"{mine:.2f} ({name_of(found)})"
    rows = [
        ["merge and evaluate, one by one", f"{len(done)} of {every}", f"{wall:.1f}", f"{cpu:.1f}",
         f"{rates['theirs']:.2f}", f"{cpu_rates['theirs']:.2f}", f"{facts['best_wer']:.2f} ({name_of(best)})"],
        ["lors tune", str(every), f"{tune.wall:.1f}", f"{tune.cpu:.1f}", f"{rates['ours']:.2f}",
         f"{cpu_rates['ours']:.2f}", told],
    ]  # fmt: skip
    return rows, facts


def _whole(runs: list[Run], done: int, every: int, kind: str) -> float:
    """Seconds of the pretrained model and all candidates, each not yet done taken for the mean of those that are."""
    candidates = [getattr(run, kind) for run in runs if not run.name.endswith(PRETRAINED)]
    return sum(getattr(run, kind) for run in runs) + sum(candidates) * (every / done - 1)


def _notes(session: Session, tune: Run, facts: dict[str, Any]) -> list[str]:
    loads = sorted({float(str(tune.more["load"]))})
    notes = [
        f"lors tune is {facts['wall_ratio']:.1f} × as fast by the clock, {facts['cpu_ratio']:.1f} × by processor time. "
        f"Decoding took {facts['decoding_share']:.0%} of its time. Both decode the pretrained model once.",
        f"Load average at the end of its run: {loads[0]:g} (on a quiet machine of this kind about 2).",
    ]
    if facts["found_wer"] is not None:
        off = 100 * (facts["found_wer"] / facts["best_wer"] - 1)
        verdict = "within" if off <= 1 else "not within"
        notes.append(
            f"By the true decoder the candidate that it found lies {off:.1f} % above the best of "
            f"{facts['candidates_done']} decoded: {verdict} 1 %."
        )
    return notes


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder that `lors prepare prompts` wrote"
    )
    parser.add_argument("--expert", type=Path, action="append", required=True)
    parser.add_argument("--languages", default="es,fr")
    parser.add_argument("--base", default="openai/whisper-base")
    parser.add_argument("--method", default="lors")
    parser.add_argument("--scales", type=_numbers, default=[0.2, 0.4, 0.6, 1.0])
    parser.add_argument("--rank-ratios", type=_numbers, default=[0.01, 0.05])
    parser.add_argument("--keep-ratios", type=_numbers, default=[0.1, 0.3])
    parser.add_argument("--limit", type=int, default=16, help="clips of each language")
    parser.add_argument("--window", type=int, default=400)
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--short-list", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e6, help="start no further candidate after so long")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"logs and scores; by default {FOLDER}")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return compare(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
