"""What goes beside weights to make them a model."""

from collections.abc import Sequence
from pathlib import Path

from lors.checkpoints.read import Checkpoint
from lors.checkpoints.write import copy_side_files


def write_files_beside(base: Checkpoint, directory: Path, others: Sequence[Path]) -> None:
    """Configuration, tokenizer and processor of `base`, into a directory that holds weights of its kind.

    Args:
        base: a checkpoint directory, whose files are copied, or an OpenAI `.pt`, for which they are made.
        directory: where to.
        others: models of the same kind, which may lend their tokenizer to a `.pt`.

    Raises:
        UsageError, LorsError: as `write_side_files`.
    """
    if base.directory.is_dir():
        copy_side_files(base.directory, directory)
        return
    from lors.checkpoints.openai_pt import OpenAICheckpoint, write_side_files

    assert isinstance(base, OpenAICheckpoint)
    write_side_files(base, directory, [path for path in others if path.is_dir()])
