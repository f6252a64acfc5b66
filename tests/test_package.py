import subprocess
import sys

import lors


def test_importing_the_package_loads_no_heavy_library() -> None:
    program = "import sys, lors; print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_every_public_name_can_be_had() -> None:
    for name in lors.__all__:
        assert getattr(lors, name) is not None
        assert name in dir(lors)


def test_merging_runs_without_transformers() -> None:
    program = (
        "import sys\nsys.modules['transformers'] = None\nimport lors.merging.engine\n"
        "print('transformers' in sys.modules and sys.modules['transformers'] is None)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "True"
