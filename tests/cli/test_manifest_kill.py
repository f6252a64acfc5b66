"""`lors manifest check`, killed half-way and asked for again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

LINES = 20_000
# As `lors`, but it writes down where it stands after each block of lines; one that is to be killed then takes a rest.
OFTEN = """
import os, time
import lors.speech.manifests.kept as kept
kept._SECONDS_BETWEEN_WRITES = 0.0
sync = os.fsync
os.fsync = lambda descriptor: (sync(descriptor), time.sleep({rest}))
from lors.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 20,000 lines with ids that come again and a bad line."""
    made = tmp_path_factory.mktemp("check")
    soundfile.write(made / "a.wav", np.zeros(16000), 16000)
    good = {
        "audio_filepath": "a.wav",
        "duration": 0.5,
        "text": "hola " * 30,
        "source_lang": "es",
        "target_lang": "es",
    }
    with (made / "m.jsonl").open("w") as file:
        for number in range(LINES):
            file.write(json.dumps({"id": f"u{number}"} | good) + "\n")
            if number in (3, LINES // 2):
                file.write("{\n")
        for number in (7, LINES // 2):
            file.write(json.dumps({"id": f"u{number}"} | good) + "\n")
    return made


def start(folder: Path, cache: Path, *more: str, rest: float = 0) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", OFTEN.format(rest=rest), "manifest", "check", "m.jsonl", *more],
        cwd=folder,
        env=dict(os.environ, LORS_CACHE=str(cache)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a test that runs in the background ignores it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for_state(cache: Path, run: "subprocess.Popen[str]", size: int) -> None:
    """Until so many bytes are kept."""
    while run.poll() is None and sum(one.stat().st_size for one in cache.glob("checks/*")) < size:
        time.sleep(0.002)


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> str:
    """The report of a check that nobody stops; it leaves nothing."""
    cache = folder / "unbroken"
    run = start(folder, cache)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 1 and "Going on" not in err
    assert [one.partition(": ")[0] for one in out.splitlines()] == [
        f"m.jsonl:{number}" for number in (5, LINES // 2 + 3, LINES + 3, LINES + 4)
    ]
    assert f"the id 'u{LINES // 2}' is that of line {LINES // 2 + 2} too." in out
    assert not list(cache.glob("checks/*"))
    return out


@pytest.mark.parametrize(("how", "workers"), [("kill", "1"), ("kill", "2"), ("interrupt", "2")])
def test_killed_and_asked_again(how: str, workers: str, folder: Path, unbroken: str, tmp_path: Path) -> None:
    reached = []
    for size in (10_000, 40_000):
        run = start(folder, tmp_path, "--workers", workers, rest=0.2)
        wait_for_state(tmp_path, run, size)
        started = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        if how == "kill":
            run.kill()  # alone: its processes end by themselves
        else:
            os.killpg(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=60)
        assert run.returncode not in (0, 1) or how == "interrupt"
        assert "Traceback" not in err
        assert list(tmp_path.glob("checks/*")), "the check was at its end before it was stopped"
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{one}").exists() for one in started) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(Path(f"/proc/{one}").exists() for one in started)
        reached += told(err)
    run = start(folder, tmp_path, "--workers", workers)
    out, err = run.communicate(timeout=120)
    assert (run.returncode, out) == (1, unbroken)
    reached += told(err)
    assert len(reached) == 2 and 1 < reached[0] < reached[1] < LINES + 4
    assert not list(tmp_path.glob("checks/*"))


def told(err: str) -> list[int]:
    """The line at which a check said to go on."""
    return [
        int(one.removeprefix("Going on at line ").partition(";")[0].replace(",", ""))
        for one in err.splitlines()
        if one.startswith("Going on at line ")
    ]


def test_all_again(folder: Path, unbroken: str, tmp_path: Path) -> None:
    run = start(folder, tmp_path, "--workers", "1", rest=0.2)
    wait_for_state(tmp_path, run, 10_000)
    run.kill()
    run.communicate()
    assert list(tmp_path.glob("checks/*"))
    run = start(folder, tmp_path, "--afresh")
    out, err = run.communicate(timeout=120)
    assert (run.returncode, out, told(err)) == (1, unbroken, [])
