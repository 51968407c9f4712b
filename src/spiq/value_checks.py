"""Checks of what users give: each returns nothing, or says in a line what is allowed."""

from collections.abc import Collection, Sequence
from numbers import Real

from spiq.errors import ConfigError


def finite(name: str, numbers: Sequence[float] | None) -> None:
    """Refuse numbers that float32, which networks take, does not hold; None is none given.

    Raises:
        ConfigError: One of them is such, or they are no tuple.
    """
    if numbers is None:
        return
    some = isinstance(numbers, Sequence) and len(numbers) > 0
    if not some or not all(isinstance(n, Real) and abs(float(n)) <= 3.4e38 for n in numbers):
        raise ConfigError(f"{name} {numbers}: give a tuple of finite numbers of float32")


def one_of(name: str, value: str, allowed: Collection[str]) -> None:
    """Refuse a name that is not one of some.

    Raises:
        ConfigError: It is another.
    """
    if value not in allowed:
        raise ConfigError(f"unknown {name} {value!r}: choose one of {', '.join(allowed)}")


def between(name: str, value: int, low: int, high: int) -> None:
    """Refuse what is no whole number between two ends, both allowed.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}: it must be a whole number from {low} to {high}")


def at_least(least: int, **given: int | None) -> None:
    """Refuse numbers below one, each by its name; None is none given.

    Raises:
        ConfigError: One of them is.
    """
    for name, value in given.items():
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}: it must be at least {least}")
