"""LoRS: merge fine-tuned speech models into one multilingual, multitask model.

The public functions are those behind the commands, with the same names and arguments:

    lors.prepare_prompts    `lors prepare prompts`
    lors.prepare_stamps     `lors prepare stamps`
    lors.find_suspects      `lors suspects`
    lors.prepare_covost     `lors prepare covost`
    lors.prepare_common_voice  `lors prepare common-voice`
    lors.prepare_fleurs     `lors prepare fleurs`
    lors.prepare_multilingual_librispeech  `lors prepare multilingual-librispeech`
    lors.prepare_voxpopuli  `lors prepare voxpopuli`
    lors.prepare_europarl_st  `lors prepare europarl-st`
    lors.prepare_must_c     `lors prepare must-c`
    lors.prepare_hub        `lors prepare hub`
    lors.finetune           `lors finetune`
    lors.merge              `lors merge`
    lors.verify             `lors verify`
    lors.tune               `lors tune`
    lors.run_study          `lors study`
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
    from lors.speech.corpora.common_voice import prepare_common_voice
    from lors.speech.corpora.covost import prepare_covost
    from lors.speech.corpora.europarl_st import prepare_europarl_st
    from lors.speech.corpora.fleurs import prepare_fleurs
    from lors.speech.corpora.hub import prepare_hub
    from lors.speech.corpora.multilingual_librispeech import prepare_multilingual_librispeech
    from lors.speech.corpora.must_c import prepare_must_c
    from lors.speech.corpora.prompts import prepare_prompts
    from lors.speech.corpora.stamps import prepare_stamps
    from lors.speech.corpora.voxpopuli import prepare_voxpopuli
    from lors.speech.evaluation import evaluate
    from lors.speech.finetuning import finetune
    from lors.speech.suspects import find_suspects
    from lors.speech.transcription import transcribe
    from lors.study.study import run_study
    from lors.study.tuning.tune import tune

_HOMES = {
    "LorsError": "lors.base.errors",
    "UsageError": "lors.base.errors",
    "Recipe": "lors.merging.recipe",
    "merge": "lors.merging.engine",
    "verify": "lors.merging.verification",
    "prepare_common_voice": "lors.speech.corpora.common_voice",
    "prepare_covost": "lors.speech.corpora.covost",
    "prepare_europarl_st": "lors.speech.corpora.europarl_st",
    "prepare_fleurs": "lors.speech.corpora.fleurs",
    "prepare_hub": "lors.speech.corpora.hub",
    "prepare_multilingual_librispeech": "lors.speech.corpora.multilingual_librispeech",
    "prepare_must_c": "lors.speech.corpora.must_c",
    "prepare_prompts": "lors.speech.corpora.prompts",
    "prepare_stamps": "lors.speech.corpora.stamps",
    "prepare_voxpopuli": "lors.speech.corpora.voxpopuli",
    "find_suspects": "lors.speech.suspects",
    "finetune": "lors.speech.finetuning",
    "evaluate": "lors.speech.evaluation",
    "tune": "lors.study.tuning.tune",
    "run_study": "lors.study.study",
    "transcribe": "lors.speech.transcription",
}

__all__ = [
    "LorsError",
    "Recipe",
    "UsageError",
    "__version__",
    "evaluate",
    "find_suspects",
    "finetune",
    "merge",
    "prepare_common_voice",
    "prepare_covost",
    "prepare_europarl_st",
    "prepare_fleurs",
    "prepare_hub",
    "prepare_multilingual_librispeech",
    "prepare_must_c",
    "prepare_prompts",
    "prepare_stamps",
    "prepare_voxpopuli",
    "run_study",
    "transcribe",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lors' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
