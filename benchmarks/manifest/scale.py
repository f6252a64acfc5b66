"""How time and memory of `lors manifest` grow with the number of lines: check, subset, convert, stats, split.

    .venv/bin/python benchmarks/manifest/scale.py            # 10^4 … 1.5·10^6 lines
    .venv/bin/python benchmarks/manifest/scale.py --lines 10000 --repeats 1
    .venv/bin/python benchmarks/manifest/scale.py --only check-audio --audio mp3
    .venv/bin/python benchmarks/manifest/scale.py --only kaldi --add benchmarks/results/manifest-DATE.json

Audio is 20,000 files of a second, so that each line of a manifest has a header to be opened.
Each command runs in a process of its own, as a user types it. Memory is that of the whole process tree. Growth is told
in processor time, which a machine that others use as well changes less than wall time.
"""

import argparse
import itertools
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "merge"))

import matplotlib

matplotlib.use("Agg")
import numpy as np
from lines import AUDIO_FILES, KINDS, SECONDS, make_manifest
from matplotlib.figure import Figure
from measure import Run, measure
from report import RESULTS, ROOT, Record, markdown, median, rich_table, spread_text, wide_console

FOLDER = Path("/tmp/lors-benchmark/manifest")
HEADERS = (
    "command",
    "lines",
    "wall s, min / median / max",
    "CPU s",
    "lines per CPU s",
    "private MiB",
    "peak RSS MiB",
    "fixed work s",
)
LIMIT_MIB = 500.0
COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#999999")
STYLES = ("-", "--")


@dataclass(frozen=True)
class Command:
    """A command on a manifest; `arguments` from the manifest, its number of lines and a place for the output."""

    key: str
    label: str
    arguments: Callable[[Path, int, Path], Sequence[str]]


def _convert(*more: str) -> Callable[[Path, int, Path], Sequence[str]]:
    return lambda source, lines, out: ("convert", str(source), str(out), *more)


def _tenth(source: Path, lines: int, out: Path) -> Sequence[str]:
    hours = lines * 0.55 / 3600 / 10
    return ("subset", str(source), "--hours", f"{hours:.4f}", "--out", str(out / "part.jsonl"))


COMMANDS = (
    Command("check", "check --no-audio", lambda source, lines, out: ("check", str(source), "--no-audio")),
    Command("check-audio", "check, every header", lambda source, lines, out: ("check", str(source))),
    Command("subset", "subset, a tenth", _tenth),
    Command(
        "split", "split by speaker", lambda source, lines, out: ("split", str(source), "--out", str(out))
    ),
    Command("stats", "stats", lambda source, lines, out: ("stats", str(source))),
    Command("nemo", "convert to NeMo", _convert("--to", "nemo")),
    Command("csv", "convert to CSV", _convert("--to", "csv")),
    Command("tsv", "convert to TSV", _convert("--to", "tsv")),
    Command("espnet", "convert to ESPnet", _convert("--to", "espnet")),
    Command("lhotse", "convert to Lhotse", _convert("--to", "lhotse")),
    Command("webdataset", "convert to tar shards", _convert("--to", "webdataset")),
    Command("folder", "convert to a folder", _convert("--to", "folder")),
    Command("kaldi", "convert to Kaldi", _convert("--to", "kaldi")),
    Command("from-kaldi", "convert from Kaldi", _convert("--from", "kaldi", "--to", "nemo")),
)


@dataclass(frozen=True)
class Point:
    """A command on so many lines, several times."""

    command: Command
    lines: int
    runs: Sequence[Run]

    @property
    def failed(self) -> bool:
        return any(run.exit_code for run in self.runs)

    @property
    def rss(self) -> float:
        return max(run.rss for run in self.runs)

    @property
    def cpu(self) -> float:
        return median(self.runs, lambda run: run.cpu)

    def row(self) -> list[str]:
        named = [self.command.label, f"{self.lines:,}"]
        if self.failed:
            return [*named, f"failed, see {self.runs[-1].log}", "", "", "", "", ""]
        return [
            *named,
            spread_text([run.wall for run in self.runs]),
            f"{self.cpu:.1f}",
            f"{self.lines / self.cpu:,.0f}",
            f"{max(run.private for run in self.runs):,.0f}",
            f"{self.rss:,.0f}",
            f"{max(run.calibration['wall'] for run in self.runs):.1f}",
        ]


def scale(arguments: argparse.Namespace) -> int:
    """Run all, print the table, leave the files; the exit code is 1 where a command failed or took too much memory."""
    console, folder = wide_console(), arguments.folder.absolute()
    counts = sorted(int(count) for count in arguments.lines.split(",") if count)
    wanted = [one for one in COMMANDS if not arguments.only or one.key in arguments.only.split(",")]
    settings = {"lines": counts, "repeats": arguments.repeats, "audio": arguments.audio}
    record = Record("manifest", arguments.results, settings)
    points, notes = _earlier(arguments.add)
    for lines in counts:
        source = make_manifest(folder, lines, arguments.audio)
        source.read_bytes()  # into the page cache, for all alike
        for command in wanted:
            point = _measure(command, source, lines, folder, arguments.repeats)
            points = [one for one in points if (one.command, one.lines) != (command, lines)] + [point]
            console.print(*point.row(), sep="  ", highlight=False)
            record.save([run for one in points for run in one.runs])
    points.sort(key=lambda one: (one.lines, COMMANDS.index(one.command)))
    record.save([run for one in points for run in one.runs])
    rows = [point.row() for point in points]
    notes = [
        *record.about(),
        *notes,
        f"The clips are {AUDIO_FILES:,} {arguments.audio} files of {SECONDS:g} s.",
    ]
    notes += [_memory_note(points), *_growth(points)]
    table = [dict(zip(HEADERS, row, strict=True)) for row in rows]
    record.save([run for one in points for run in one.runs], complete=True, table=table, notes=notes)
    title = "lors manifest: growth with the number of lines"
    record.path.with_suffix(".md").write_text(markdown(title, HEADERS, rows, notes), encoding="utf-8")
    facts = record.content["machine"]
    draw(points, arguments.picture, title, f"{facts['processor']}, {facts['cores']} cores")
    console.print(rich_table(title, HEADERS, rows))
    console.print(*notes, record.path, arguments.picture, sep="\n", highlight=False)
    if not arguments.keep:
        shutil.rmtree(folder)
    return int(any(point.failed or point.rss > LIMIT_MIB for point in points))


def _earlier(files: Sequence[Path]) -> tuple[list[Point], list[str]]:
    """The points of earlier results, the latest file of each, and where they come from."""
    by_name = {one.key: one for one in COMMANDS}
    points: dict[tuple[Command, int], Point] = {}
    notes = []
    for file in files:
        found = json.loads(file.read_text(encoding="utf-8"))
        runs = [Run(**run) for run in found["runs"]]
        for name in dict.fromkeys(run.name for run in runs):
            key, _, lines = name.rpartition("-")
            mine = [run for run in runs if run.name == name]
            points[by_name[key], int(lines)] = Point(by_name[key], int(lines), mine)
        state = ", with changes" if found.get("changed_since") else ""
        names = ", ".join(dict.fromkeys(run.name.rpartition("-")[0] for run in runs))
        notes.append(
            f"Taken along: {names} of {found['date']}, commit {str(found.get('commit'))[:9]}{state}."
        )
    return list(points.values()), notes


def _measure(command: Command, source: Path, lines: int, folder: Path, repeats: int) -> Point:
    runs = []
    kaldi = folder / "kaldi"
    for repeat in range(1, repeats + 1):
        out = folder / "out"
        _remove(out)
        place = source
        if command.key == "from-kaldi":  # what the command before it wrote
            place = kaldi
        elif command.key in ("subset",):
            out.mkdir(parents=True)
        program = [
            str(Path(sys.executable).with_name("lors")),
            "manifest",
            *command.arguments(place, lines, out),
        ]
        log = folder / "logs" / f"{command.key}-{lines}-{repeat}.log"
        runs.append(measure(f"{command.key}-{lines}", program, log, repeat))
        if command.key == "kaldi":
            _remove(kaldi)
            out.rename(kaldi)
    _remove(folder / "out")
    return Point(command, lines, runs)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _memory_note(points: Sequence[Point]) -> str:
    most = max(points, key=lambda point: point.rss)
    return (
        f"The most memory, {most.rss:,.0f} MiB resident, took `{most.command.label}` on {most.lines:,} lines; the "
        f"limit is {LIMIT_MIB:.0f} MiB."
    )


def _growth(points: Sequence[Point]) -> list[str]:
    """For each command the b of CPU time ≈ a·n^b from the two largest numbers of lines; 1 is growth in proportion."""
    found = []
    for command in dict.fromkeys(point.command for point in points):
        mine = sorted(
            (one for one in points if one.command == command and not one.failed), key=lambda one: one.lines
        )
        if len(mine) > 1:
            (first, second) = mine[-2:]
            exponent = np.log(second.cpu / first.cpu) / np.log(second.lines / first.lines)
            found.append(f"{command.label} {exponent:.2f}")
    return [f"Between the two largest, CPU time grows as lines to the {'; '.join(found)}."] if found else []


def draw(points: Sequence[Point], path: Path, title: str, note: str) -> None:
    """Time on the left, memory on the right, over the number of lines."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    time, memory = figure.subplots(1, 2)
    looks = itertools.product(STYLES, COLOURS)
    for command, (style, colour) in zip(
        dict.fromkeys(point.command for point in points), looks, strict=False
    ):
        mine = [one for one in points if one.command == command and not one.failed]
        places = [one.lines for one in mine]
        look = {"marker": "o", "markersize": 4, "color": colour, "linestyle": style}
        time.plot(places, [one.cpu for one in mine], label=command.label, **look)
        memory.plot(places, [one.rss for one in mine], **look)
    memory.axhline(LIMIT_MIB, color="0.4", linestyle=":", linewidth=1)
    memory.annotate(
        "limit", (1, LIMIT_MIB), xycoords=("axes fraction", "data"), ha="right", va="top", fontsize=8
    )
    memory.set_ylim(0, LIMIT_MIB * 1.1)
    time.set_yscale("log")
    for axes, label in (
        (time, "processor time, s"),
        (memory, "peak resident memory of the process tree, MiB"),
    ):
        axes.set_xscale("log")
        axes.set_xlabel("lines")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color="0.92")
    time.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    figure.legend(loc="outside lower left", ncols=5, frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    figure.supxlabel(note, fontsize=8, color="0.35", x=0.99, ha="right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", default="10000,100000,500000,1500000")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help=f"of {','.join(one.key for one in COMMANDS)}")
    parser.add_argument("--audio", choices=KINDS, default=KINDS[0], help="of the clips")
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="earlier results to take along")
    parser.add_argument("--keep", action="store_true", help="leave the manifests that were made")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"manifests, logs; by default {FOLDER}")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "data-manifests.png")
    return scale(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
