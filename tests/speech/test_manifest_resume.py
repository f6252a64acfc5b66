"""Checks of manifests that were stopped half-way: what is believed the next time, and what is not."""

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from lors.speech.manifest import manifest_problems
from lors.speech.manifests import blocks, kept
from lors.speech.manifests.blocks import Contents
from lors.speech.manifests.check import check_manifest
from lors.speech.manifests.kept import KeptChecks

LINES = 600
BLOCK = 4096


def line(identifier: str, **more: Any) -> str:
    fields = {"id": identifier, "audio_filepath": "a.wav", "duration": 1.0, "text": "hola", "source_lang": "es",
              "target_lang": "en"}  # fmt: skip
    return json.dumps(fields | more) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(kept, "_SECONDS_BETWEEN_WRITES", 0.0)
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    soundfile.write(tmp_path / "short.wav", np.zeros(160), 16000)
    return tmp_path


@pytest.fixture
def manifest(folder: Path) -> Path:
    """Of 600 lines: ids that come again far apart, bad lines, blank ones, bad audio, at the beginning and the end."""
    lines = [line(f"u{number}") for number in range(1, LINES + 1)]
    for number, text in {
        5: "{\n", 9: "\n", 10: line("u10", audio_filepath="short.wav"), 20: line("u20", audio_filepath="none.wav"),
        250: line("u7"), 251: "\n", 300: line("u7"), 301: line("é" * 300, target_lang="es"), 590: line("u249"),
        591: line("u301", audio_filepath="short.wav"), 592: line("u20"), 593: line("u7", duration=-1),
    }.items():  # fmt: skip
        lines[number - 1] = text
    path = folder / "m.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@dataclass
class Outcome:
    """What a check found, and how many lines it took apart for that."""

    problems: list[tuple[int, str]]
    contents: Contents
    looked_at: int


class StoppedError(Exception):
    pass


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Check a manifest in this process, and stop after so many blocks."""
    count = 0
    take_apart = blocks.json_object

    def counted(text: bytes | None) -> dict[str, Any]:
        nonlocal count
        count += 1
        return take_apart(text)

    monkeypatch.setattr(blocks, "json_object", counted)

    def run(path: Path, stop: int = -1, audio: bool = True, afresh: bool = False) -> Outcome:
        nonlocal count
        count, done, contents = 0, 0, Contents()
        problems = []

        def advance(amount: float) -> None:
            nonlocal done
            done += 1
            if done == stop:
                raise StoppedError

        records = KeptChecks(path, audio, afresh)
        try:
            for one in check_manifest(path, audio, contents=contents, kept=records, advance=advance):
                problems.append(one)
        except StoppedError:
            pass
        finally:
            records.close()
        return Outcome(problems, contents, count)

    return run


def truth(path: Path, audio: bool = True) -> list[tuple[int, str]]:
    """From the reader that all other commands use, which knows no blocks."""
    return list(manifest_problems(path, audio))


def state(folder: Path) -> Path:
    (found,) = (folder / "cache" / "checks").iterdir()
    return found


def no_state(folder: Path) -> bool:
    return not list(folder.glob("cache/checks/*"))


def test_a_stopped_check_goes_on_and_finds_the_same(
    folder: Path, manifest: Path, check: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = check(manifest)
    assert whole.problems == truth(manifest) and len(whole.problems) == 9
    assert whole.looked_at == LINES - 2 and no_state(folder)
    number_of_blocks = -(-manifest.stat().st_size // BLOCK)
    for stop in range(1, number_of_blocks, 3):
        first = check(manifest, stop)
        assert state(folder).exists()
        capsys.readouterr()
        second = check(manifest)
        assert second.problems == whole.problems
        assert second.contents == whole.contents
        # two lines of the first block have bad audio, which is looked at again
        assert LINES - 2 <= first.looked_at + second.looked_at <= LINES - 2 + 3
        assert second.looked_at < whole.looked_at
        told = capsys.readouterr().err
        assert told.startswith("Going on at line ") and told.count("\n") == 1 and "--afresh" in told
        said = int(told.split("line ")[1].split(";")[0].replace(",", ""))
        assert said == manifest.read_bytes()[: cut(manifest, stop)].count(b"\n") + 1
        assert no_state(folder)


def cut(manifest: Path, number: int) -> int:
    """Where a number of blocks end: after the last line end of each 4096 bytes."""
    return manifest.read_bytes().rfind(b"\n", 0, number * BLOCK) + 1


def test_stopped_again_and_again(folder: Path, manifest: Path, check: Callable[..., Outcome]) -> None:
    counts = []
    for stop in (4, 8, 12, 13):
        counts.append(check(manifest, stop).looked_at)
    last = check(manifest)
    assert last.problems == truth(manifest)
    assert last.looked_at < sum(counts) < LINES
    assert no_state(folder)


def test_stopped_after_its_last_line(
    folder: Path, manifest: Path, check: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    check(manifest, -(-manifest.stat().st_size // BLOCK))
    last = check(manifest)
    assert (last.problems, last.looked_at) == (truth(manifest), 3)
    assert capsys.readouterr().err.startswith("All lines were checked before")


def test_a_changed_manifest_is_believed_up_to_its_change(
    folder: Path, manifest: Path, check: Callable[..., Outcome]
) -> None:
    check(manifest, 12)
    content = manifest.read_bytes()
    times = manifest.stat().st_atime_ns, manifest.stat().st_mtime_ns
    manifest.write_bytes(content.replace(b'"u1"', b'"u2"', 1))  # of the same size, in the first block
    os.utime(manifest, ns=times)
    afresh = check(manifest, 12)
    assert afresh.looked_at == content[: cut(manifest, 12)].count(b"\n") - 2
    content = manifest.read_bytes()
    middle = content.index(line("u200").encode())
    manifest.write_bytes(content[:middle] + b"{\n" + content[middle:])
    last = check(manifest)
    assert last.problems == truth(manifest)
    assert {2, 200, 251} < {number for number, _ in last.problems}
    assert LINES - 220 < last.looked_at < LINES - 150


def test_a_last_line_that_grows_is_looked_at_again(
    folder: Path, manifest: Path, check: Callable[..., Outcome]
) -> None:
    with manifest.open("a") as file:
        file.write(line("last").rstrip("\n"))
    check(manifest, -(-manifest.stat().st_size // BLOCK) + 1)
    assert state(folder)
    with manifest.open("a") as file:
        file.write("}\n" + line("one more"))
    last = check(manifest)
    assert last.problems == truth(manifest)
    assert last.problems[-1][0] == LINES + 1 and last.contents.lines == LINES - 2 + 2


@pytest.mark.parametrize("change", ["audio", "rules", "version", "folder", "afresh"])
def test_what_was_checked_in_another_way_is_not_believed(
    change: str,
    folder: Path,
    manifest: Path,
    check: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check(manifest, 12)
    options: dict[str, bool] = {}
    if change == "audio":
        options["audio"] = False
    elif change == "afresh":
        options["afresh"] = True
    elif change == "rules":
        monkeypatch.setattr(kept, "_RULES", -1)
    elif change == "version":
        monkeypatch.setattr(kept, "__version__", "0.0.0")
    else:  # relative paths lead elsewhere
        (folder / "other").mkdir()
        manifest = manifest.rename(folder / "other" / manifest.name)
    found = check(manifest, **options)
    assert found.looked_at == LINES - 2
    assert found.problems == truth(manifest, options.get("audio", True))
    assert "Going on" not in capsys.readouterr().err


def test_a_cut_or_damaged_state_is_believed_up_to_there(
    folder: Path, manifest: Path, check: Callable[..., Outcome]
) -> None:
    check(manifest, 12)
    whole, expected = state(folder).read_bytes(), truth(manifest)
    undamaged = check(manifest).looked_at
    draws = random.Random(0)
    seen = set()
    for place in [0, 1, 50, len(whole) - 1, *(draws.randrange(len(whole)) for _ in range(9))]:
        for damaged in (
            whole[:place],
            whole[:place] + bytes([whole[place] ^ 1 << draws.randrange(8)]) + whole[place + 1 :],
            whole[:place] + b"\0" * (len(whole) - place),  # as after a power failure
            whole + whole[place:],
            b"[1]\n" + whole[place:],
        ):
            path = folder / "cache" / "checks" / kept_name(manifest)
            path.write_bytes(damaged)
            found = check(manifest)
            assert found.problems == expected
            assert found.looked_at >= undamaged
            assert no_state(folder)
            seen.add(found.looked_at)
    assert len(seen) > 4 and max(seen) == LINES - 2


def kept_name(manifest: Path) -> str:
    records = KeptChecks(manifest, True)
    records.close()
    return records._path.name


def test_audio_that_was_bad_is_opened_again(
    folder: Path, manifest: Path, check: Callable[..., Outcome]
) -> None:
    before = check(manifest, 12).problems
    assert [number for number, _ in before][:3] == [5, 10, 20]
    soundfile.write(folder / "none.wav", np.zeros(16000), 16000)
    last = check(manifest)
    assert last.problems == truth(manifest)
    assert 20 not in [number for number, _ in last.problems]
    assert last.contents == check(manifest).contents


def test_two_at_once_do_not_disturb_each_other(
    folder: Path, manifest: Path, check: Callable[..., Outcome]
) -> None:
    check(manifest, 6)
    first = KeptChecks(manifest, True)
    running: Iterator[tuple[int, str]] = check_manifest(manifest, kept=first)
    found = [next(running)]
    left = state(folder).read_bytes()
    assert check(manifest).looked_at == LINES - 2  # it believes nothing that another one writes
    assert check(manifest, 3).problems == truth(manifest)[:3]
    assert state(folder).read_bytes() == left
    found += running
    assert found == truth(manifest)
    assert no_state(folder)


def test_without_a_place_for_it_nothing_is_kept(
    folder: Path, manifest: Path, check: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "cache").write_text("a file")
    check(manifest, 12)
    assert check(manifest).problems == truth(manifest)
    (folder / "cache").unlink()

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(kept, "cache_directory", homeless)
        assert check(manifest).problems == truth(manifest)
    monkeypatch.setattr(kept.os, "fsync", full)
    assert check(manifest).problems == truth(manifest)
    assert no_state(folder)


def test_what_nobody_asked_for_again_is_removed(
    folder: Path, manifest: Path, check: Callable[..., Outcome]
) -> None:
    (folder / "cache" / "checks").mkdir(parents=True)
    for name, days in (("old", 31), ("new", 29)):
        path = folder / "cache" / "checks" / name
        path.write_text("")
        os.utime(path, (path.stat().st_mtime - days * 86400,) * 2)
    check(manifest, 3)
    assert {path.name for path in (folder / "cache" / "checks").iterdir()} == {"new", kept_name(manifest)}


def test_a_quick_check_leaves_nothing(
    folder: Path, manifest: Path, check: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_SECONDS_BETWEEN_WRITES", 1000.0)
    check(manifest, 12)
    assert not (folder / "cache").exists()
