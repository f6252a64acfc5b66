import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lors.base import files
from lors.base.errors import LorsError, UsageError
from lors.base.files import (
    atomic_directory,
    atomic_file,
    describe_os_error,
    read_json,
    refuse_existing,
    require_free_space,
    sha256_of,
    sha256_of_text,
    write_json,
)

_KILLED_WHILE_WRITING = """
import sys, time
from pathlib import Path
from lors.base.files import atomic_directory, atomic_file
out = Path(sys.argv[1])
with (atomic_directory if sys.argv[2] == "directory" else atomic_file)(out) as partial:
    (partial / "half" if sys.argv[2] == "directory" else partial).write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def _kill_while_writing(out: Path, kind: str) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _KILLED_WHILE_WRITING, str(out), kind], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()


def test_a_directory_appears_whole_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with atomic_directory(out) as partial:
        (partial / "file").write_text("content")
        assert not out.exists()
    assert (out / "file").read_text() == "content"
    assert list(out.parent.iterdir()) == [out]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "out") as partial:
        (partial / "file").write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "file") as path:
        path.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_what_was_to_be_replaced(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"old": 1})
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "file.json") as path:
        path.write_text("half")
        raise RuntimeError
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    with pytest.raises(RuntimeError), atomic_directory(out, overwrite=True):
        raise RuntimeError
    assert read_json(tmp_path / "file.json") == {"old": 1}
    assert [path.name for path in out.iterdir()] == ["old"]


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_what_a_killed_process_left_is_removed_at_the_next_start(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    _kill_while_writing(out, kind)
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 1
    if kind == "directory":
        with atomic_directory(out) as partial:
            (partial / "file").touch()
    else:
        with atomic_file(out) as path:
            path.touch()
    assert list(tmp_path.iterdir()) == [out]


def test_what_a_running_process_writes_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / f".out.partial-{os.getppid()}"
    other.mkdir()
    with atomic_directory(tmp_path / "out"):
        pass
    assert other.is_dir()


def test_an_existing_output_is_refused_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    refuse_existing(out, overwrite=False)
    (out / "old").touch()
    with (
        pytest.raises(UsageError, match=r"out: the output exists already; .*--overwrite"),
        atomic_directory(out),
    ):
        raise AssertionError("must not begin")
    with atomic_directory(out, overwrite=True) as partial:
        (partial / "new").touch()
    assert [path.name for path in out.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already"):
        refuse_existing(tmp_path / "out", overwrite=False)


def test_a_link_is_replaced_and_what_it_names_is_not(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / "out").symlink_to(tmp_path / "precious")
    with atomic_directory(tmp_path / "out", overwrite=True) as partial:
        (partial / "new").touch()
    assert (tmp_path / "precious" / "file").exists()
    assert (tmp_path / "out" / "new").exists()
    assert not (tmp_path / "out").is_symlink()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values)
def test_json_comes_back_as_it_was_and_has_one_spelling(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    first = path.read_bytes()
    assert read_json(path) == value
    write_json(path, value)
    assert path.read_bytes() == first


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{'a': 1}"])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    with pytest.raises(LorsError, match=r"settings\.json: not valid JSON"):
        read_json(path)
    with pytest.raises(LorsError, match=r"missing\.json: no such file"):
        read_json(tmp_path / "missing.json")


@given(content=st.binary(max_size=4096))
def test_digests_are_those_of_sha256sum(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("digest") / "file"
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_text_is_digested_as_utf_8() -> None:
    assert sha256_of_text("é") == hashlib.sha256(b"\xc3\xa9").hexdigest()


def test_free_space_is_asked_of_the_disk_that_will_hold_a_folder_not_yet_made(tmp_path: Path) -> None:
    require_free_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(LorsError, match=r"yet: no space on the disk: .* MiB are needed and .* MiB are free"):
        require_free_space(tmp_path / "not" / "yet", 2**60)


def test_what_the_system_refuses_becomes_a_sentence(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/out")
    assert describe_os_error(full).startswith("/data/out: no space left on the disk;")
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "absent").read_text()
    assert describe_os_error(caught.value) == f"{tmp_path / 'absent'}: no such file or directory."


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(files, "_sync", full)
    with pytest.raises(OSError, match="No space left"), atomic_directory(tmp_path / "out") as partial:
        (partial / "file").write_text("content")
    assert list(tmp_path.iterdir()) == []
