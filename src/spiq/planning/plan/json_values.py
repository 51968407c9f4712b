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
        made = read(value)
        return list(made) if isinstance(made, map) else made
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _a(kinds: tuple[type, ...], otherwise: str) -> Callable[[object], Any]:
    """Return a reader of values of some kinds; of others it says that they are none."""

    def read(value: object) -> Any:
        if type(value) not in kinds:  # not by isinstance: true is a whole number, too
            raise ValueError(f"{_quoted(value)} is {otherwise}")
        return value

    return read


an_object = _a((dict,), "no object in braces")
a_list = _a((list,), "no list")
a_text = _a((str,), "no text")
a_whole = _a((int,), "no whole number")
a_truth = _a((bool,), "neither true nor false")
_a_number = _a((int, float), "no number")


def bits_of(value: object) -> int:
    """Return a number of bits, 2 to 8."""
    bits: int = a_whole(value)
    if not 2 <= bits <= 8:
        raise ValueError(f"{_quoted(bits)} is not from 2 to 8")
    return bits


def stored_bits(value: object) -> int:
    """Return bits of stored activations: 2 to 8, or 16."""
    return 16 if a_whole(value) == 16 else bits_of(value)


def size_of(value: object) -> int | tuple[int, int]:
    """Return a height and width, 8 to 4096: one number for both, or two."""
    sides = [a_whole(side) for side in (value if isinstance(value, list) else [value])]
    if len(sides) not in (1, 2) or not all(8 <= side <= 4096 for side in sides):
        raise ValueError(f"{_quoted(value)} is not from 8 to 4096, one number or two")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def a_number(value: object) -> float:
    """Return a finite number."""
    try:
        number = float(_a_number(value))
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{_quoted(value)} is not finite")
    return number


def numbers(value: object, count: int) -> tuple[float, ...]:
    """Return a list of numbers, or one number ``count`` times."""
    if isinstance(value, list):
        return tuple(map(a_number, value))
    return (a_number(value),) * count


def _quoted(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 40 else f"{text[:30]} ..."
