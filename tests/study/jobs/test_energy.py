"""Energy from the counters that Linux shows, on files laid out as its own."""

import os
from pathlib import Path

from lors.study.jobs.energy import EnergyMeter

TICKS = os.sysconf("SC_CLK_TCK")


def package(folder: Path, name: str, count: int, most: int = 10**9) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{count}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{most}\n")


def stat(path: Path, user: float, idle: float) -> None:
    path.write_text(f"cpu {int(user * TICKS)} 0 0 {int(idle * TICKS)} 0 0 0 0 0 0\ncpu0 1 2 3\n")


def test_a_job_has_its_share_of_what_all_packages_used(tmp_path: Path) -> None:
    powercap, load = tmp_path / "powercap", tmp_path / "stat"
    package(powercap, "intel-rapl:0", 5_000_000)
    package(powercap, "intel-rapl:1", 999_999_000)
    package(powercap, "intel-rapl:0:0", 0)
    stat(load, 100, 500)
    meter = EnergyMeter(powercap, load)
    package(powercap, "intel-rapl:0", 45_000_000)  # 40 J
    package(powercap, "intel-rapl:1", 9_999_999)  # 10 J, beyond the end of the counter
    package(powercap, "intel-rapl:0:0", 7_000_000)
    stat(load, 120, 600)
    assert meter.joules(5) == round((40 + 10.0) * 5 / 20, 1)
    assert meter.joules(20) == 50.0
    assert meter.joules(21) == 50.0, "never more than there was"


def test_a_machine_that_counts_nothing_tells_nothing(tmp_path: Path) -> None:
    stat(tmp_path / "stat", 1, 1)
    assert EnergyMeter(tmp_path / "powercap", tmp_path / "stat").joules(1) is None
    package(tmp_path / "powercap", "intel-rapl:0", 1)
    assert EnergyMeter(tmp_path / "powercap", tmp_path / "none").joules(1) is None
