"""What a benchmark leaves: the machine it ran on, every single run, tables."""

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from measure import METHOD, Run, Spread
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
LIBRARIES = ("lors", "numpy", "scipy", "torch", "safetensors", "transformers")


def machine() -> dict[str, object]:
    """The processor, its cores, the memory, the kernel: what a time depends on."""
    processor = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    named = [
        line.split(":", 1)[1].strip() for line in processor.splitlines() if line.startswith("model name")
    ]
    memory = Path("/proc/meminfo").read_text(encoding="utf-8").split("MemTotal:")[1].split()[0]
    return {
        "processor": named[0] if named else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory) // 1024,
        "kernel": platform.release(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def commit() -> dict[str, object]:
    """The commit of this repository, and whether files differed from it; empty without git."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        changes = ["git", "status", "--porcelain", "src", "benchmarks/*.py", "benchmarks/*/*.py"]
        status = subprocess.run(changes, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": head.stdout.strip(), "changed_since": bool(status.stdout.strip())}


class Record:
    """The JSON file of a benchmark, written anew after every run, so that a stopped one leaves what it has."""

    def __init__(self, name: str, folder: Path, settings: dict[str, object]) -> None:
        today = datetime.date.today().isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        taken = {path.stem for path in folder.iterdir()}
        names = (f"{name}-{today}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 1000))))
        self.path = folder / (next(free for free in names if free not in taken) + ".json")
        self.content: dict[str, object] = {
            "benchmark": name,
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "complete": False,
            "command": sys.argv,
            **commit(),
            "machine": machine(),
            "versions": versions(),
            "settings": settings,
            "how_measured": METHOD,
            "runs": [],
        }

    def save(self, runs: Iterable[Run], **more: object) -> None:
        self.content |= {"runs": [run.as_json() for run in runs], **more}
        text = json.dumps(self.content, indent=2, ensure_ascii=False)
        self.path.write_text(text + "\n", encoding="utf-8")

    def about(self) -> list[str]:
        """The lines below a table: the machine, and how quiet it was."""
        facts, found = self.content["machine"], self.content
        quiet = Spread.of([run["calibration"]["wall"] for run in found["runs"]])
        state = ", with changes" if found.get("changed_since") else ""
        return [
            f"{facts['processor']}, {facts['cores']} cores, {facts['memory_mib'] / 1024:.0f} GiB, kernel "
            f"{facts['kernel']}; {found['date']}, commit {str(found.get('commit'))[:9]}{state}.",
            f"The same fixed work before each run took {quiet.minimum:.2f} / {quiet.median:.2f} / "
            f"{quiet.maximum:.2f} s (min / median / max): how steady the machine was.",
            "CPU: user and system time of the whole process tree. Private memory: the tree's anonymous pages, the "
            "largest seen at looks 50 ms apart, over all runs; resident memory has the mapped input files in it.",
        ]


def spread_text(values: Sequence[float]) -> str:
    """`min / median / max` of seconds, with about three digits."""
    found = Spread.of(values)
    digits = 2 if found.median < 10 else 1
    return " / ".join(f"{value:.{digits}f}" for value in (found.minimum, found.median, found.maximum))


def median(runs: Iterable[Run], kind: Callable[[Run], float]) -> float:
    return Spread.of([kind(run) for run in runs]).median


def wide_console() -> Console:
    """As wide as the terminal; wide enough for the tables where the output goes to a file."""
    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=170)


def rich_table(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def markdown(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str]) -> str:
    lines = [f"# {title}", "", f"| {' | '.join(headers)} |"]
    lines.append(f"| --- |{' --: |' * (len(headers) - 1)}")
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"
