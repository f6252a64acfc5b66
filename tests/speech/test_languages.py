import subprocess
import sys

import pytest

from lors.base.errors import UsageError
from lors.speech.languages import LANGUAGES, language_code


def test_the_table_is_whispers_own() -> None:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES as OFFICIAL
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    assert LANGUAGES == OFFICIAL
    for name, code in TO_LANGUAGE_CODE.items():
        assert language_code(name) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("sv-SE", "sv"),
        ("zh-CN", "zh"),
        ("es_mx", "es"),
        ("Spanish", "es"),
        (" FR ", "fr"),
        ("Haitian Creole", "ht"),
        ("castilian", "es"),
        ("yue", "yue"),
    ],
)
def test_spellings(name: str, code: str) -> None:
    assert language_code(name) == code


def test_a_name_nearly_right_is_suggested() -> None:
    with pytest.raises(UsageError, match=r"'spansh' is no language .* Did you mean 'spanish'"):
        language_code("spansh")


@pytest.mark.parametrize("name", ["xx", "", "-", "español", "e s", "klingon"])
def test_unknown_languages(name: str) -> None:
    with pytest.raises(UsageError, match="no language that Whisper knows"):
        language_code(name)


def test_the_import_is_light() -> None:
    heavy = "('torch', 'transformers', 'numpy')"
    code = f"import sys, lors.speech.languages; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
