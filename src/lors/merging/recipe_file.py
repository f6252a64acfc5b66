"""YAML files read strictly: every key once, and known by its line."""

from pathlib import Path
from re import compile as regex
from typing import Any

import yaml

from lors.base.errors import UsageError

Location = tuple[int | str, ...]
"""A place in a document: keys and indexes from the top, as ("experts", 0, "weight")."""


class _Loader(yaml.SafeLoader):
    """YAML's plain values, where 1e-2 is a number as in YAML 1.2, and a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            line = key.start_mark.line + 1
            if isinstance(name, str) and name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{name}' stands here and at line {seen[name]}; keep one",
                    problem_mark=key.start_mark,
                )
            if isinstance(name, str):
                seen[name] = line
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    regex(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path) -> tuple[Any, yaml.Node | None]:
    """The content of a YAML file, and its nodes for `line_of`.

    Raises:
        UsageError: no such file, not text, not YAML, a key given twice; the message says FILE:LINE.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a directory, expected a YAML file.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file in UTF-8.") from None
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return (None if node is None else loader.construct_document(node)), node
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise UsageError(f"{path}:{line}: not valid YAML: {problem}.") from None


def line_of(node: yaml.Node | None, location: Location) -> int:
    """The line, from 1, where `location` stands; of a missing key, where its mapping begins."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
