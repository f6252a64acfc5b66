import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "ctranslate2", "scipy", "numpy", "matplotlib")


def lors(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lors", *arguments], capture_output=True, text=True)


def test_help_names_every_command() -> None:
    shown = lors("--help")
    assert shown.returncode == 0
    for command in ("prepare", "finetune", "merge", "methods", "evaluate", "score", "manifest", "quickstart"):
        assert command in shown.stdout


@pytest.mark.parametrize("command", ["prepare", "finetune", "merge", "evaluate", "score", "quickstart"])
def test_help_of_each_command(command: str) -> None:
    shown = lors(command, "--help")
    assert shown.returncode == 0
    assert "Usage: lors" in shown.stdout


def test_version() -> None:
    import lors as package

    assert lors("--version").stdout == f"lors {package.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["merge", "--help"], ["evaluate", "--help"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom lors.cli.main import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


def test_a_mistyped_command_and_flag_exit_with_2() -> None:
    for arguments in (["mrege"], ["merge", "--scal", "0.3"]):
        failed = lors(*arguments)
        assert failed.returncode == 2
        assert "No such" in failed.stderr
        assert "Traceback" not in failed.stderr
