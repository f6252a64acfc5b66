"""Model cards: the README.md that tells people and the Hub what a model is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lors.base.files import read_json

_TASKS = {"whisper": "automatic-speech-recognition"}


def model_card(directory: Path, base_models: Sequence[str], tags: Sequence[str], body: str) -> str:
    """A card: the Hub's front matter, `body`, and how to load the model.

    No license is named: that of the base and of the training data decides, and neither is known here.

    Args:
        directory: the checkpoint; its `config.json` tells what kind of model it is.
        base_models: Hub ids of the models that it was made from.
        tags: the Hub's search words.
        body: Markdown, beginning with a title.
    """
    config = directory / "config.json"
    kind = str(read_json(config).get("model_type", "")) if config.is_file() else ""
    front: dict[str, Any] = {"library_name": "transformers", "tags": [*tags, *([kind] if kind else [])]}
    if kind in _TASKS:
        front["pipeline_tag"] = _TASKS[kind]
    if base_models:
        front["base_model"] = list(base_models)
    header = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n{body.strip()}\n\n## Use\n\n```python\n{_usage(kind)}\n```\n"


def _usage(kind: str) -> str:
    if kind in _TASKS:
        return (
            "from transformers import pipeline\n\n"
            f'recognise = pipeline("{_TASKS[kind]}", model="PATH")\n'
            'print(recognise("speech.wav")["text"])'
        )
    return 'from transformers import AutoModel\n\nmodel = AutoModel.from_pretrained("PATH")'
