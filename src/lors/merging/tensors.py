"""Which tensors a pruning method acts on."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from lors.base.errors import UsageError, did_you_mean

# Attention (query, key, value, output; self and cross) and feed-forward, as the paper's authors choose:
# 16 matrices for each pair of an encoder and a decoder layer, 192 in whisper-small.
DEFAULT_PATTERNS = (
    *(f"*.{kind}_attn.{part}_proj.weight" for kind in ("self", "encoder") for part in ("q", "k", "v", "out")),
    "*.fc1.weight",
    "*.fc2.weight",
)


def pruned_tensors(
    shapes: Mapping[str, tuple[int, ...]], patterns: Sequence[str] | None, only_matrices: bool
) -> frozenset[str]:
    """The names that any of `patterns` matches.

    Args:
        shapes: every floating-point tensor of the base, by name.
        patterns: shell patterns (`*`, `?`, `[…]`; `*` also crosses dots); None for DEFAULT_PATTERNS.
        only_matrices: the method needs two dimensions.

    Raises:
        UsageError: a pattern matches nothing, or something that is no matrix where only matrices will do.
    """
    chosen: set[str] = set()
    for pattern in DEFAULT_PATTERNS if patterns is None else patterns:
        matched = [name for name in shapes if fnmatchcase(name, pattern)]
        if patterns is not None:
            _check(pattern, matched, shapes, only_matrices)
        chosen.update(name for name in matched if not only_matrices or len(shapes[name]) == 2)
    if not chosen:
        example = next((name for name, shape in shapes.items() if len(shape) == 2), "none")
        raise UsageError(
            "the base has no tensor with the names of Whisper's attention and feed-forward weights "
            f"(such as '{DEFAULT_PATTERNS[0]}'; its first matrix is '{example}'); say which tensors to prune "
            "with patterns in the recipe, as in  tensors: ['*.dense.weight']  (in flags: --tensors)."
        )
    return frozenset(chosen)


def _check(
    pattern: str, matched: Sequence[str], shapes: Mapping[str, tuple[int, ...]], only_matrices: bool
) -> None:
    if not matched:
        raise UsageError(
            f"the pattern '{pattern}' in tensors matches nothing.{did_you_mean(pattern, shapes)}"
        )
    if not only_matrices:
        return
    for name in matched:
        if len(shapes[name]) != 2:
            raise UsageError(
                f"the pattern '{pattern}' in tensors matches '{name}' of shape {list(shapes[name])}, "
                "but only a matrix has a low-rank part; narrow the pattern."
            )
