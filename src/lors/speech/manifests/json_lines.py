"""One line of JSON → an object, or a sentence on what is wrong with it."""

import json
from typing import Any

from lors.speech.manifests.lines import BadLineError, decoded


def json_object(line: bytes | None) -> dict[str, Any]:
    """The object that a line of a JSON Lines file holds.

    Raises:
        BadLineError: no UTF-8, no JSON, no object, or a field that is there twice.
    """
    try:
        fields = json.loads(decoded(line), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise BadLineError(f"not JSON ({error.msg}, column {error.colno}).") from None
    except (ValueError, RecursionError):
        raise BadLineError("not JSON that can be read (a number or a nesting without end).") from None
    if not isinstance(fields, dict):
        raise BadLineError(f"a JSON object was expected, {kind(fields)} was found.")
    return fields


def kind(value: Any) -> str:
    """What a JSON value is, for a sentence."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadLineError(f"the field '{twice}' is there twice.")
    return fields
