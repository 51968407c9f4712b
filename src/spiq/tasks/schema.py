"""Converters for the values of a card: one value in, the checked one out.

A ValueError says what the value must be, to be read behind "it must be".
"""

from collections.abc import Callable
from typing import Any

Convert = Callable[[Any], Any]


def text(value: object) -> str:
    """Text."""
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def flag(value: object) -> bool:
    """A boolean."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def count(value: object) -> int:
    """A whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("a whole number above 0")
    return value


def number(value: object) -> float:
    """A number, as float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("a number")
    if not abs(value) < 1e300:  # also what is not a number, and integers beyond float
        raise ValueError("a finite number")
    return float(value)


def positive(value: object) -> float:
    """A number above 0, as float."""
    if (converted := number(value)) <= 0:
        raise ValueError("a number above 0")
    return converted


def one_of(*allowed: str) -> Convert:
    """Text that is one of ``allowed``."""

    def convert(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return str(value)

    return convert


def list_of(convert: Convert) -> Convert:
    """A list, each entry through ``convert``; a tuple comes out."""

    def convert_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("a list")
        try:
            return tuple(convert(entry) for entry in value)
        except ValueError as error:
            raise ValueError(f"a list, each entry {error}") from error

    return convert_all


def count_or_text(value: object) -> int | str:
    """A whole number above 0, or text."""
    return value if isinstance(value, str) else count(value)
