"""What the texts of options mean: numbers, ranges, names, sizes."""

import math
import re

from spiq.errors import ConfigError

_UNITS = {"": 1, "K": 1000, "M": 1000_000, "G": 1000_000_000}


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Return numbers separated by commas; None for None.

    Raises:
        ConfigError: One is not a finite number.
    """
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"{option} {text}: give numbers separated by commas, such as 0.5,0.5,0.5"
        ) from error
    if not all(math.isfinite(value) for value in values):
        raise ConfigError(f"{option} {text}: every number must be finite")
    return values


def ranges(option: str, texts: list[str] | None) -> tuple[tuple[float, float], ...] | None:
    """Return pairs of low and high ends; None where nothing is given.

    Raises:
        ConfigError: They are no numbers, or not an even number of them.
    """
    if not texts:
        return None
    ends = [end for text in texts for end in numbers(option, text) or ()]
    if len(ends) % 2:
        raise ConfigError(f"{option} {' '.join(texts)}: give a low and a high end, such as -1,1")
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def pairs(option: str, texts: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Return pairs of names from texts like ``FROM,TO``.

    Raises:
        ConfigError: A text has another form.
    """
    split = [text.split(",") for text in texts or ()]
    for text, parts in zip(texts or (), split, strict=True):
        if len(parts) != 2 or not all(parts):
            raise ConfigError(f"{option} {text}: give two names and a comma, such as /a,/b")
    return tuple((begin, end) for begin, end in split)


def size(option: str, text: str | None) -> int | None:
    """Return bytes from a text like ``250k`` or ``1.5M``; None for None.

    Raises:
        ConfigError: The text has another form.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kKMG]?)B?\s*", text)
    if found is None:
        raise ConfigError(f"{option} {text}: give bytes, such as 250000, 250k or 1.5M")
    return round(float(found[1]) * _UNITS[found[2].upper()])


def extent(text: str | None) -> tuple[int, int] | None:
    """Return height and width from a text like ``320`` or ``48,320``.

    Raises:
        ConfigError: It has another form.
    """
    if text is None:
        return None
    try:
        sides = [int(side) for side in text.split(",")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise ConfigError(
            f"--input-size {text}: write it like 320, or height and width like 48,320"
        )
    return sides[0], sides[-1]


def shapes(option: str, texts: list[str] | None) -> dict[str, list[int]]:
    """Return shapes by name from texts like ``image=1,3,224,224``.

    Raises:
        ConfigError: A text has another form.
    """
    found = {}
    for text in texts or ():
        name, _, sizes = text.rpartition("=")
        try:
            found[name] = [int(size) for size in sizes.split(",")]
        except ValueError:
            name = ""
        if not name or min(found[name]) < 1:
            raise ConfigError(f"{option} {text}: write it like image=1,3,224,224")
    return found
