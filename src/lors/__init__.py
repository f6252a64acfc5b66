"""LoRS: merge fine-tuned speech models into one multilingual, multitask model.

The public functions are those behind the commands, with the same names and arguments:

    lors.prepare_prompts    `lors prepare prompts`
    lors.finetune           `lors finetune`
    lors.merge              `lors merge`
    lors.verify             `lors verify`
    lors.evaluate           `lors evaluate`
    lors.transcribe         `lors transcribe`

Importing `lors` loads neither torch nor transformers; each function loads what it needs when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lors.version import __version__

if TYPE_CHECKING:
    from lors.base.errors import LorsError, UsageError
    from lors.merging.engine import merge
    from lors.merging.recipe import Recipe
    from lors.merging.verification import verify
    from lors.speech.corpora.prompts import prepare_prompts
    from lors.speech.evaluation import evaluate
    from lors.speech.finetuning import finetune
    from lors.speech.transcription import transcribe

_HOMES = {
    "LorsError": "lors.base.errors",
    "UsageError": "lors.base.errors",
    "Recipe": "lors.merging.recipe",
    "merge": "lors.merging.engine",
    "verify": "lors.merging.verification",
    "prepare_prompts": "lors.speech.corpora.prompts",
    "finetune": "lors.speech.finetuning",
    "evaluate": "lors.speech.evaluation",
    "transcribe": "lors.speech.transcription",
}

__all__ = [
    "LorsError",
    "Recipe",
    "UsageError",
    "__version__",
    "evaluate",
    "finetune",
    "merge",
    "prepare_prompts",
    "transcribe",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lors' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
