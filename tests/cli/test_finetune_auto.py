"""`lors finetune --learning-rate auto`, as it is typed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import pytest


def lors(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lors", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def command(tiny_whisper: Path, manifest_of: Callable[..., Path], tmp_path: Path) -> list[object]:
    train = manifest_of(
        "train", [(0.5, "uno", "es", "es"), (0.6, "dos", "es", "es"), (0.4, "tres", "es", "es")]
    )
    dev = manifest_of("dev", [(0.5, "dos uno", "es", "es"), (0.5, "tres", "es", "es")])
    places = ["--base", tiny_whisper, "--train", train, "--dev", dev, "--out", tmp_path / "es"]
    return ["finetune", *places, "--window", 50, "--batch-size", 2, "--epochs", 6]


def test_auto_from_the_command_line(command, tmp_path):
    planned = lors(*command, "--learning-rate", "auto", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    lines = planned.stdout.splitlines()
    assert ["learning_rate", "auto", "(given)"] in [line.split() for line in lines]
    grid = "1e-07, 3e-07, 1e-06, 3e-06, 1e-05, 3e-05, 0.0001"
    # Two steps an epoch, twelve in all: 4, 8, and no more than 12.
    assert f"Learning rates, round 1 of 3: 7 rates, 4 steps each ({grid})" in lines
    assert "Learning rates, round 2 of 3: 4 rates, 8 steps each" in lines
    assert "Learning rates, round 3 of 3: 2 rates, 12 steps each" in lines
    assert "Learning rates, all rounds: 84 steps; dev loss of 2 clips" in lines
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]

    done = lors(*command, "--learning-rate", "auto:1e-4,1e-3,3e-3")
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert "Learning rates, round 1 of 2: 0.0001, 0.001, 0.003, 4 steps each, dev loss of 2 clips" in said
    assert "Learning rates, round 2 of 2: 0.001, 0.003, 8 steps each, dev loss of 2 clips" in said
    (chosen,) = [line for line in said if line.startswith("Learning rate chosen: ")]
    race = json.loads((tmp_path / "es" / "finetune.json").read_text())["learning_rate_race"]
    assert chosen.split()[3] == f"{race['learning_rate']:g}"
    assert any(f"the grid's {race['at_edge']}" in line for line in said) == (race["at_edge"] is not None)
    for result in race["results"]:
        assert f"Learning rate {result['learning_rate']:g}: dev loss {result['dev_loss']:.4f}" in said
    # Said by the first run of the race and by the real one, not by each of five.
    assert sum(line.startswith("First labels: ") for line in said) == 2
    picture = matplotlib.image.imread(tmp_path / "es" / "learning-rate.png")
    assert picture.shape[0] > 300 and len({tuple(colour) for row in picture[::4] for colour in row[::4]}) > 4
    assert done.stdout.splitlines()[-1].startswith(f"{tmp_path / 'es'} (12 steps, ")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["es"]

    again = lors(*command, "--learning-rate", "auto:1e-4,1e-3,3e-3", "--reuse")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.endswith(f"{tmp_path / 'es'} (was there already)\n")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("fast", "learning rate 'fast': expected a number, as 1e-5, or the word auto"),
        ("auto:1e-5", "two or more different rates"),
        ("-1e-5", "learning rate -1e-05: expected more than zero"),
        ("2", "learning rate 2: expected less than 1"),
    ],
)
def test_a_wrong_rate_is_one_sentence(here, command, tmp_path, given, words):
    done = here(tmp_path, *map(str, command), f"--learning-rate={given}")
    assert (done.code, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_auto_wants_dev_data(here, command, tmp_path):
    place = command.index("--dev")
    done = here(tmp_path, *map(str, [*command[:place], *command[place + 2 :], "--learning-rate", "auto"]))
    assert (done.code, done.stdout) == (2, "")
    assert "--dev" in done.stderr and len(done.stderr.strip().splitlines()) == 1
