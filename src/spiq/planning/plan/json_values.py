"""Values of a JSON file that people edit, each read with a word for what is wrong with it.

Readers raise ``ValueError`` with the words that follow the value's name.
"""

import difflib
import json
import math
from collections.abc import Callable, Sequence
from typing import Any


def check_keys(entry: dict[str, Any], known: Sequence[str]) -> None:
    """Refuse entries that there are not."""
    for key in entry:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            raise ValueError(
                f"unknown entry '{key}'"
                + (f", did you mean '{close[0]}'?" if close else f", known are {', '.join(known)}")
            )


def within(name: str, read: Callable[[Any], Any], value: object) -> Any:
    """Read a value; of what is wrong with it, say where it stands."""
    try:
        found = read(value)
        return list(found) if isinstance(found, map) else found
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def an_object(value: object) -> dict[str, Any]:
    """Return an object."""
    if not isinstance(value, dict):
        raise ValueError(f"{_quoted(value)} is no object in braces")
    return value


def a_list(value: object) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise ValueError(f"{_quoted(value)} is no list")
    return value


def a_text(value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueError(f"{_quoted(value)} is no text")
    return value


def a_whole(value: object) -> int:
    """Return a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{_quoted(value)} is no whole number")
    return value


def bits_of(value: object) -> int:
    """Return a number of bits, 2 to 8."""
    bits = a_whole(value)
    if not 2 <= bits <= 8:
        raise ValueError(f"{_quoted(bits)} is not from 2 to 8")
    return bits


def a_truth(value: object) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{_quoted(value)} is neither true nor false")
    return value


def a_number(value: object) -> float:
    """Return a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{_quoted(value)} is no number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{_quoted(value)} is not finite")
    return found


def numbers(value: object, count: int) -> tuple[float, ...]:
    """Return a list of numbers, or one number ``count`` times."""
    if isinstance(value, list):
        return tuple(map(a_number, value))
    return (a_number(value),) * count


def _quoted(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 40 else f"{text[:30]} ..."
