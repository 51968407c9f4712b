"""What the numbers of an input are, as options say it."""

from collections.abc import Sequence
from dataclasses import dataclass

from spiq.errors import ConfigError
from spiq.value_checks import finite

Range = tuple[float, float]
"""Low and high end."""


@dataclass(frozen=True, kw_only=True)
class InputValues:
    """What the numbers of an input are.

    >>> import spiq
    >>> left = spiq.InputValues(input_range=((-1, 1),))
    >>> spiq.Config(inputs={"left": left}).values_of("left").given
    True

    Attributes:
        input_range: ``((low, high),)`` for the whole input, or one pair per channel.
        input_mean: Mean per channel of the usual preprocessing, ``(pixel - mean) / std``.
        input_std: Standard deviation per channel of the same.

    Raises:
        ConfigError: A value is out of range, or two of them contradict each other.
    """

    input_range: tuple[Range, ...] | None = None
    input_mean: tuple[float, ...] | None = None
    input_std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.input_range is not None:
            _check_pairs(self.input_range)
            finite("input_range", [end for pair in self.input_range for end in pair])
        finite("input_mean", self.input_mean)
        finite("input_std", self.input_std)
        if (self.input_mean is None) != (self.input_std is None):
            raise ConfigError("input_mean and input_std belong together: give both or neither")
        if self.input_range is not None and self.input_mean is not None:
            raise ConfigError("give either input_range or input_mean and input_std, not both")
        if self.input_std is not None and min(self.input_std) < 1e-30:
            raise ConfigError(f"input_std {self.input_std}: it must be positive, 1e-30 at least")
        for low, high in self.input_range or ():
            if not low < high:
                raise ConfigError(f"input_range {low},{high}: the low end must be the lesser one")

    @property
    def given(self) -> bool:
        """Whether anything is said."""
        return self.input_range is not None or self.input_mean is not None


def _check_pairs(spans: Sequence[Sequence[float]]) -> None:
    if not all(isinstance(span, Sequence) and len(span) == 2 for span in spans):
        raise ConfigError(f"input_range {spans}: give pairs of low and high ends, ((0, 1),)")
