import threading

import pytest

from lors.base import progress as module
from lors.base.progress import progress, say


def test_status_goes_to_standard_error_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say("a [bold]bracket[/bold] and a path /tmp/" + "x" * 200)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "a [bold]bracket[/bold] and a path /tmp/" + "x" * 200 + "\n"


def test_where_output_is_piped_progress_is_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress("Merging", 4, "tensors") as advance:
        for _ in range(4):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines[:3]] == [f"Merging: {n}/4 tensors" for n in (1, 2, 3)]
    assert lines[3].startswith("Merging: 4 tensors in ")
    assert len(lines) == 4


def test_short_work_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Reading", 1000, "clips") as advance:
        for _ in range(1000):
            advance(1)
    assert capsys.readouterr().err.startswith("Reading: 1000 clips in ")


def test_advance_may_be_called_from_threads(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Decoding", 400, "clips") as advance:
        threads = [threading.Thread(target=lambda: [advance(1) for _ in range(100)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert capsys.readouterr().err.startswith("Decoding: 400 clips in ")
