"""Imports that take seconds, made a little shorter."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Import within this block what is large: the garbage collector does not look through it as it grows.

    PyTorch makes a million objects that stay. Looking through them again and again takes a sixth of its import.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
