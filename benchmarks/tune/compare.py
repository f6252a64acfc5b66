"""`lors tune` against merging to disk and evaluating each candidate anew: the same grid, clips, window and beam.

    lors prepare prompts --languages es fr --out /tmp/prompts
    make benchmark-tune ARGS="--data /tmp/prompts --expert experts/es --expert experts/fr"

One by one: for each candidate `lors merge` and `lors evaluate`, a process each. Both decode the pretrained model
once. What is done stays in --folder and is not repeated, so that a comparison can be made in parts (--minutes, --only):
then each candidate that is not done is taken to cost the mean of those that are.

How good the candidate is that was found, the scores of all candidates at the full beam tell: those of one by one, and
with --only exhaustive those of `lors tune` with a short list of the whole grid, which take half as long. Where both
decoded a candidate, both must give the same. The one that was found and the best of all are then decoded on the test
data: they tell whether the best is more than luck of the development data.
"""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "merge"))

from measure import Run  # noqa: E402
from report import RESULTS, Record, markdown, rich_table, wide_console  # noqa: E402
from runs import PRETRAINED, Session, name_of  # noqa: E402

from lors.base.files import read_json  # noqa: E402

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


def compare(given: argparse.Namespace) -> int:
    """Run what is wanted and not yet done; print the table of all that is there, and leave the files."""
    console, session = wide_console(), Session(given)
    end = time.monotonic() + 60 * given.minutes
    if given.only in (None, "tune"):
        tune = session.tuned()
        console.print(f"lors tune: {tune.wall:.1f} s, {tune.cpu:.1f} CPU s", highlight=False)
    if given.only == "exhaustive":
        session.exhaust()
    if given.only in (None, "one-by-one"):
        runs = list(session.one_by_one(None))
        for values in session.candidates:
            if time.monotonic() < end or (session.folder / f"{name_of(values)}.json").is_file():
                mine = session.one_by_one(values)
                runs += mine
                took = f"{sum(run.wall for run in mine):.1f} s, {sum(run.cpu for run in mine):.1f} CPU s"
                console.print(f"{name_of(values)}: {took}, {session.score(values)}", highlight=False)
    if given.only is not None:
        return 0
    if not session.done():
        raise SystemExit("no candidate was decoded one by one: nothing to compare with; give more --minutes.")
    record = Record("tune", given.results, session.settings | {"short_list": given.short_list})
    table, facts = _table(session, tune, runs)
    record.save([tune, *runs], complete=len(session.scores()) == len(session.candidates), facts=facts)
    clips = "all clips" if given.limit is None else f"{given.limit} clips a language"
    title = f"Tuning {given.method} on {given.base}, {len(session.candidates)} candidates, {clips}"
    notes = [*record.about(), *_notes(tune, facts)]
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
    values = read_json(session.tuned_folder / "tuning.json")["best"]["values"]
    found = name_of({key: values[key] for key in session.settings["grid"]})
    scores = session.scores()
    best = min(scores, key=lambda name: scores[name].wer)
    named = {name_of(values): values for values in session.candidates}
    tested = {name: session.tested(named[name]) for name in (found, best)}
    rates = {"ours": 60 * every / tune.wall, "theirs": 60 * every / wall}
    cpu_rates = {"ours": 60 * every / tune.cpu, "theirs": 60 * every / cpu}
    facts: dict[str, Any] = {
        "wall_ratio": rates["ours"] / rates["theirs"],
        "cpu_ratio": cpu_rates["ours"] / cpu_rates["theirs"],
        "decoding_share": tune.more["seconds"]["decoding"] / tune.more["seconds"]["all"],  # type: ignore[index]
        "found": found,
        "best": best,
        "scores": {name: asdict(score) for name, score in scores.items()},
        "tested": {name: asdict(score) for name, score in tested.items()},
        "candidates": every,
        "decoded": len(scores),
        "one_by_one": len(done),
        "one_by_one_seconds": {"wall": wall, "cpu": cpu},
    }
    rows = [
        ["merge and evaluate, one by one", f"{len(done)} of {every}", f"{wall:.1f}", f"{cpu:.1f}",
         f"{rates['theirs']:.2f}", f"{cpu_rates['theirs']:.2f}", f"{scores[best].wer:.2f} ({best})"],
        ["lors tune", str(every), f"{tune.wall:.1f}", f"{tune.cpu:.1f}", f"{rates['ours']:.2f}",
         f"{cpu_rates['ours']:.2f}", f"{scores[found].wer:.2f} ({found})"],
    ]  # fmt: skip
    return rows, facts


def _whole(runs: list[Run], done: int, every: int, kind: str) -> float:
    """Seconds of the pretrained model and all candidates, each not yet done taken for the mean of those that are."""
    candidates = [getattr(run, kind) for run in runs if not run.name.endswith(PRETRAINED)]
    return sum(getattr(run, kind) for run in runs) + sum(candidates) * (every / done - 1)


def _notes(tune: Run, facts: dict[str, Any]) -> list[str]:
    found, best = (facts["scores"][facts[which]] for which in ("found", "best"))
    off = 100 * (found["wer"] / best["wer"] - 1)
    fresh, luck = (facts["tested"][facts[which]] for which in ("found", "best"))
    unknown = facts["candidates"] - facts["decoded"]
    return [
        f"lors tune is {facts['wall_ratio']:.1f} × as fast by the clock, {facts['cpu_ratio']:.1f} × by processor time. "
        f"Decoding took {facts['decoding_share']:.0%} of its time. Both decode the pretrained model once.",
        f"Load average at the end of its run: {float(str(tune.more['load'])):g} (on a quiet machine of this kind "
        "about 2).",
        f"{facts['one_by_one']} of {facts['candidates']} candidates were timed one by one, {facts['decoded']} decoded "
        "with the full beam by one of both.",
        f"The candidate that it found lies {off:.1f} % above the best of the {facts['decoded']} decoded, "
        f"{'within' if off <= 1 else 'not within'} 1 %: {found['errors']} wrong words against {best['errors']}, "
        f"of {best['words']}; its 95 % interval, {found['low']:.2f}–{found['high']:.2f}, "
        f"{'holds' if found['low'] <= best['wer'] else 'does not hold'} the best.",
        f"On test data of {fresh['words']} words the one that it found has {fresh['wer']:.2f} % "
        f"({fresh['low']:.2f}–{fresh['high']:.2f}), the best on development data {luck['wer']:.2f} % "
        f"({luck['low']:.2f}–{luck['high']:.2f}).",
        *[f"{unknown} candidates are not decoded: one of them may be better."] * bool(unknown),
    ]


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
    parser.add_argument("--scales", type=_numbers, default=[0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0])
    parser.add_argument("--rank-ratios", type=_numbers, default=[0.01, 0.05])
    parser.add_argument("--keep-ratios", type=_numbers, default=[0.1, 0.2, 0.4])
    parser.add_argument("--limit", type=int, help="clips of each language; all by default")
    parser.add_argument("--window", type=int, default=400)
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--short-list", type=int, default=3)
    parser.add_argument("--only", choices=("tune", "one-by-one", "exhaustive"), help="this part alone")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no further candidate after so long")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"logs and scores; by default {FOLDER}")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return compare(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
