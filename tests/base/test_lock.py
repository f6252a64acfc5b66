import subprocess
import sys
from pathlib import Path

from lors.base.lock import exclusive

_INCREMENT = """
import sys, time
from pathlib import Path
from lors.base.lock import exclusive
path = Path(sys.argv[1])
for _ in range(20):
    with exclusive(path):
        count = int(path.read_text())
        time.sleep(0.001)
        path.write_text(str(count + 1))
"""


def test_processes_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    counting = [
        subprocess.Popen([sys.executable, "-c", _INCREMENT, str(path)], stderr=subprocess.DEVNULL)
        for _ in "abc"
    ]
    assert [process.wait() for process in counting] == [0, 0, 0]
    assert path.read_text() == "60"


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "thing"
    program = "import sys, os; from pathlib import Path; from lors.base.lock import exclusive\n"
    program += "with exclusive(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -9
    with exclusive(path):
        assert not path.exists()
