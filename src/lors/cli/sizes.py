"""Sizes on the command line."""

from lors.base.errors import UsageError
from lors.base.sizes import parse_bytes


def bytes_of(flag: str, text: str) -> int:
    """`4GiB` → bytes; UsageError names the flag where it is no size."""
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None
    except OverflowError:
        raise UsageError(f"{flag}: a number of that many digits is no size.") from None
