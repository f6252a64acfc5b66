"""Whether a model's tokenizer is its own: another's gives ids that mean something else, or nothing."""

from collections.abc import Sequence

from lors.base.errors import UsageError
from lors.base.files import read_json
from lors.checkpoints.read import Checkpoint
from lors.speech.labels import is_multilingual, prefix_tokens
from lors.speech.training_data import Example

_EMBEDDING = "model.decoder.embed_tokens.weight"
_FIX = "put the tokenizer files that were published with these weights beside them."


def require_tokenizer(base: Checkpoint, name: object) -> None:
    """Raise UsageError where the base has no tokenizer; transformers would make up an empty one."""
    if not any((base.directory / file).is_file() for file in ("tokenizer.json", "vocab.json")):
        raise UsageError(f"{name}: holds no tokenizer (tokenizer.json, or vocab.json and merges.txt); {_FIX}")


def check_vocabulary(base: Checkpoint, name: object, examples: Sequence[Example]) -> None:
    """Raise UsageError where the labels of `examples` are not of the base's vocabulary.

    No label may lie beyond the embeddings, and the token "no timestamps" must be where `generation_config.json` has
    it, if that says: large-v3's control tokens lie one higher than those of the models before it.
    """
    highest = max(max(example.labels) for example in examples)
    embeddings = base.tensors.get(_EMBEDDING)
    if embeddings is not None and highest >= embeddings.shape[0]:
        raise UsageError(
            f"{name}: its tokenizer writes the id {highest}, but the model has {embeddings.shape[0]} tokens; {_FIX}"
        )
    generation = base.directory / "generation_config.json"
    stated = read_json(generation).get("no_timestamps_token_id") if generation.is_file() else None
    place = len(prefix_tokens("en", "transcribe", is_multilingual(base.directory))) - 1
    found = examples[0].labels[place]
    if stated is not None and stated != found:
        raise UsageError(
            f"{name}: '<|notimestamps|>' is {found} in its tokenizer, but {stated} in its generation_config.json; "
            f"{_FIX}"
        )
