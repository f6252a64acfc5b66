"""A fine-tuning that is killed and goes on, against one that was never disturbed: are they the same?

    python benchmarks/finetune/resume.py --data /tmp/prompts --language es --epochs 3

Two runs of `lors finetune` with OMP_NUM_THREADS=1. The second is ended with SIGKILL a few seconds after its first
checkpoint past the middle, and started again by the same command. The picture overlays the losses of both.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "merge"))

from report import RESULTS, ROOT, Record, wide_console  # noqa: E402

from lors.base.files import read_json, sha256_of  # noqa: E402

FOLDER = Path("/tmp/lors-benchmark/resume")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(given: argparse.Namespace, out: Path) -> list[str]:
    data = given.data / f"{given.language}-transcribe"
    places = ["--base", given.base, "--train", f"{data}-train.jsonl", "--dev", f"{data}-dev.jsonl"]
    settings = ["--epochs", f"{given.epochs:g}", "--learning-rate", f"{given.learning_rate:g}"]
    settings += ["--batch-size", str(given.batch_size), "--window", str(given.window), "--device", "cpu"]
    settings += ["--precision", "float32", "--save-steps", str(given.save_steps)]
    return [sys.executable, "-m", "lors", "finetune", *places, "--out", str(out), *settings]


def train(given: argparse.Namespace, out: Path) -> dict[str, Any]:
    subprocess.run(command(given, out), check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    return read_json(out / "finetune.json")


def kill_after(given: argparse.Namespace, out: Path, step: int) -> int:
    """Start, and kill some seconds after a checkpoint of `step` or later is whole; the step of that checkpoint."""
    process = subprocess.Popen(command(given, out), env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    try:
        while True:
            steps = sealed(out)
            if steps and max(steps) >= step:
                time.sleep(given.seconds)
                process.send_signal(signal.SIGKILL)
                if process.wait() != -signal.SIGKILL:
                    raise SystemExit(
                        "the run had ended before it was killed; give more --epochs or fewer --seconds."
                    )
                return max(sealed(out))
            if process.poll() is not None:
                raise SystemExit(f"the run ended with exit code {process.returncode} before it was killed.")
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()


def sealed(out: Path) -> list[int]:
    work = out.with_name(f"{out.name}.partial")
    return [int(path.parent.name.rpartition("-")[2]) for path in work.glob("checkpoint-*/complete")]


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """The largest difference of training losses and of dev losses, nats a token; they must be of the same steps."""
    found = {}
    for kind in ("train_losses", "dev_losses"):
        pairs = list(zip(one[kind], other[kind], strict=True))
        assert all(first["step"] == second["step"] for first, second in pairs)
        found[kind] = max(abs(first["loss"] - second["loss"]) for first, second in pairs)
    return found


def draw(whole: dict[str, Any], resumed: dict[str, Any], path: Path, title: str) -> None:
    """Both losses over the steps; the step from which the second run went on as a dotted line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for run, name, style in (
        (whole, "unbroken", {"color": "#E69F00", "linewidth": 4, "markersize": 11}),
        (resumed, "killed and resumed", {"color": "#0072B2", "linewidth": 1.2, "markersize": 5}),
    ):
        for kind, what, marks in (
            ("train_losses", "training loss", {"linestyle": "-"}),
            ("dev_losses", "dev loss", {"linestyle": "--", "marker": "o"}),
        ):
            steps, losses = zip(*((of["step"], of["loss"]) for of in run[kind]), strict=True)
            axes.plot(steps, losses, label=f"{what}, {name}", **style, **marks)
    axes.axvline(resumed["resumed_after_step"], color="0.3", linestyle=":", linewidth=1.5)
    axes.annotate(
        f" went on after step {resumed['resumed_after_step']}",
        (resumed["resumed_after_step"], 0.97),
        xycoords=("data", "axes fraction"),
        va="top",
        fontsize=9,
    )
    axes.set_xlabel("step of the optimiser")
    axes.set_ylabel("loss, nats a token")
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder that `lors prepare prompts` wrote"
    )
    parser.add_argument("--language", default="es")
    parser.add_argument("--base", default="openai/whisper-base")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--window", type=int, default=400)
    parser.add_argument("--save-steps", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0, help="between that checkpoint and the kill")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "benchmark-resume.png")
    given = parser.parse_args()
    folder = given.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    whole = train(given, folder / "whole")
    last = kill_after(given, folder / "broken", whole["steps"] // 2)
    resumed = train(given, folder / "broken")
    found = differences(whole, resumed)
    weights = [sha256_of(folder / name / "model.safetensors") for name in ("whole", "broken")]
    settings = {name: str(value) for name, value in vars(given).items()}
    record = Record("finetune-resume", given.results, {**settings, "commands": command(given, Path("OUT"))})
    record.save(
        [],
        complete=True,
        steps=whole["steps"],
        checkpoint_before_the_kill=last,
        resumed_after_step=resumed["resumed_after_step"],
        largest_difference=found,
        same_weights=weights[0] == weights[1],
        unbroken={kind: whole[kind] for kind in ("train_losses", "dev_losses")},
        resumed={kind: resumed[kind] for kind in ("train_losses", "dev_losses")},
    )
    given.picture.parent.mkdir(parents=True, exist_ok=True)
    draw(
        whole,
        resumed,
        given.picture,
        f"Fine-tuning {given.base}, {given.language}: killed and taken up again",
    )
    wide_console().print(
        f"{whole['steps']} steps; killed after the checkpoint of step {last}, went on after step "
        f"{resumed['resumed_after_step']}",
        f"Largest difference: training loss {found['train_losses']:.3g}, dev loss {found['dev_losses']:.3g}; weights "
        + ("the same, bit for bit" if weights[0] == weights[1] else "differ"),
        record.path,
        given.picture,
        sep="\n",
        highlight=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
