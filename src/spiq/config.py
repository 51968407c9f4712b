"""The options of a quantization, as one value."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

from spiq.errors import ConfigError
from spiq.methods import METHODS
from spiq.targets import AUTO, TARGETS, bits_text, of_this_machine

Range = tuple[float, float]

SECONDS = "seconds"
EFFORTS = (SECONDS, "minutes", "hours")
"""How long it may take: beyond seconds, roundings are learned."""


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
            _pairs(self.input_range)
            _finite("input_range", [end for pair in self.input_range for end in pair])
        _finite("input_mean", self.input_mean)
        _finite("input_std", self.input_std)
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


@dataclass(frozen=True, kw_only=True)
class Config:
    """How to quantize.

    >>> import spiq
    >>> spiq.Config(weight_bits=4).method
    'spiq'
    >>> spiq.Config(weight_bits=9)
    Traceback (most recent call last):
    spiq.errors.ConfigError: weight_bits is 9: it must be a whole number from 2 to 8

    Attributes:
        method: One of :data:`spiq.methods.METHODS`.
        target: One of :data:`spiq.targets.TARGETS`, such as ``onnxruntime`` or ``portable`` (7-bit
            weights: no 16-bit saturation on x86 CPUs without VNNI; nothing rewritten for one
            runtime's speed), or ``auto``: that of them that suits this machine's CPU.
        weight_bits: 2 to 8.
        activation_bits: 3 to 8, or 16 where the target has them.
        first_last_bits: Bits of the first and the last layers, their weights and what they read;
            None for those of all others.
        bits_per_weight: Bits of weights on average, 2 to 8: each layer gets as many as do most
            good. In place of ``weight_bits``.
        max_bytes: Bytes that all weights may take, each packed to its bits, with biases and scales:
            the same, in place of ``weight_bits``.
        exclude: Glob patterns of names of layers that stay in float; of other operators where no
            layer has such a name.
        exclude_type: Operator types that stay in float, such as ``Sigmoid``.
        exclude_between: Pairs of tensors, or of operators, between which all stays in float.
        input_range: ``((low, high),)`` for the whole input, or one pair per channel.
        input_mean: Mean per channel of the usual preprocessing, ``(pixel - mean) / std``.
        input_std: Standard deviation per channel of the same. Where all of them are at most 1 and
            some below, and no mean is above 1, pixels are taken to lie in 0..1, else in 0..255.
        inputs: The same of single inputs, by name, where a network has several.
        input_size: Height and width of pictures where the network leaves them open, one number for
            both or two; None takes 320 to observe it, less where less will do, and other sizes
            where the network does not run at these.
        input_order: ``RGB`` or ``BGR``, the order of the input's colours; it matters to ``images``.
        images: A few images without labels, if there are any: a folder of image files, or an
            ``.npz`` file with an array ``images`` (see :mod:`spiq.io.images`).

        timing: Whether to time the result beside the float network, about a second, and (at 8
            bits) to give back to float what is faster there. What is given back depends on the
            machine; without, the same options give the same bytes everywhere.
        prefer: ``speed``, ``balanced`` or ``accuracy``: how much time may be paid, 0, 3 or 30 % of
            the least, to give back to float what loses most.
        effort: ``seconds``; or ``minutes`` or ``hours``, to learn roundings and steps on pictures
            made from the network's own statistics (:mod:`spiq.reconstruct`; needs PyTorch).
        device: ``auto``, ``cpu`` or ``cuda``: where that is done; ``auto``: on a GPU if there is
            one.
        seed: Of the random numbers of that.
        keep_pictures: An ``.npz`` file that the pictures are written to; None for nowhere.

    Raises:
        ConfigError: A value is out of range, or two of them contradict each other.
    """

    method: str = "spiq"
    target: str = "onnxruntime"
    weight_bits: int = 8
    activation_bits: int = 8
    first_last_bits: int | None = None
    bits_per_weight: float | None = None
    max_bytes: int | None = None
    exclude: tuple[str, ...] = ()
    exclude_type: tuple[str, ...] = ()
    exclude_between: tuple[tuple[str, str], ...] = ()
    input_range: tuple[Range, ...] | None = None
    input_mean: tuple[float, ...] | None = None
    input_std: tuple[float, ...] | None = None
    inputs: Mapping[str, InputValues] = field(default_factory=dict, hash=False)
    input_size: int | tuple[int, int] | None = None
    input_order: str = "RGB"
    images: str | os.PathLike[str] | None = None
    timing: bool = True
    prefer: str = "balanced"
    effort: str = SECONDS
    device: str = "auto"
    seed: int = 0
    keep_pictures: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        if self.target == AUTO:
            object.__setattr__(self, "target", of_this_machine())
        _one_of("target", self.target, TARGETS)
        _one_of("prefer", self.prefer, ("speed", "balanced", "accuracy"))
        _between("weight_bits", self.weight_bits, 2, 8)
        self._check_activation_bits()
        if self.first_last_bits is not None:
            _between("first_last_bits", self.first_last_bits, 3, 8)
        self._check_mixed()
        self._check_dynamic()
        self._check_effort()
        if self.prefer != "balanced" and not (self.timing and self.gives_back):
            raise ConfigError(
                f"prefer is {self.prefer}, which is weighed against time: it needs timing, method "
                "spiq, 8 bits and a target that runs on this machine"
            )
        for name in ("exclude", "exclude_type"):
            if isinstance(given := getattr(self, name), str):
                raise ConfigError(f"{name} {given!r} is text: give a tuple, ({given!r},)")
        if not all(_is_pair(pair) for pair in self.exclude_between):
            raise ConfigError(f"exclude_between {self.exclude_between}: give pairs of names")
        _ = self.own  # is checked as it is made
        if not isinstance(self.inputs, Mapping) or not all(
            isinstance(values, InputValues) for values in self.inputs.values()
        ):
            raise ConfigError("inputs: give a mapping of names of inputs to InputValues")
        for side in self.extent or ():
            _between("input_size", side, 8, 4096)
        if not isinstance(self.images, str | os.PathLike | None):
            raise ConfigError(f"images {self.images!r}: give a folder, or an .npz file")
        _one_of("input_order", self.input_order, ("RGB", "BGR"))

    def _check_activation_bits(self) -> None:
        taken = TARGETS[self.target].grids.bits
        if self.activation_bits != 16:
            _between("activation_bits", self.activation_bits, 3, 8)
        for name in ("activation_bits", "first_last_bits"):
            bits = getattr(self, name)
            if bits is not None and bits not in taken:
                having = [name for name, other in TARGETS.items() if bits in other.grids.bits]
                raise ConfigError(
                    f"{name} is {bits}, and target {self.target} takes {bits_text(taken)}"
                    + (f": choose target {', '.join(having)}" if having else "")
                )

    def _check_dynamic(self) -> None:
        if METHODS[self.method].dynamic and not TARGETS[self.target].fuses_here:
            raise ConfigError(
                f"method {self.method} measures ranges as the network runs, which target "
                f"{self.target} does not: choose another method, or target onnxruntime"
            )

    def _check_effort(self) -> None:
        _one_of("effort", self.effort, EFFORTS)
        _one_of("device", self.device, ("auto", "cpu", "cuda"))
        if not self.strong:
            if self.keep_pictures is not None:
                raise ConfigError("keep_pictures: effort seconds makes none: choose effort minutes")
            return
        if self.method != "spiq":
            raise ConfigError(f"effort {self.effort} is for method spiq, not for {self.method}")
        target = TARGETS[self.target]
        if not target.weights.per_channel or target.grids.powers_of_two:
            raise ConfigError(
                f"effort {self.effort} learns steps of every size, one per channel, which target "
                f"{self.target} does not take: use effort seconds"
            )

    def _check_mixed(self) -> None:
        if self.bits_per_weight is not None and not 2 <= self.bits_per_weight <= 8:
            raise ConfigError(f"bits_per_weight is {self.bits_per_weight}: it must be from 2 to 8")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ConfigError(f"max_bytes is {self.max_bytes}: it must be above 0")
        if self.bits_per_weight is not None and self.max_bytes is not None:
            raise ConfigError("give either bits_per_weight or max_bytes, not both")
        if self.mixed and self.weight_bits != 8:
            name = "bits_per_weight" if self.max_bytes is None else "max_bytes"
            raise ConfigError(
                f"give either weight_bits, the same for all layers, or {name}, not both"
            )

    @property
    def own(self) -> "InputValues":
        """What is said of all inputs that ``inputs`` does not name."""
        return InputValues(
            input_range=self.input_range, input_mean=self.input_mean, input_std=self.input_std
        )

    def values_of(self, name: str) -> "InputValues":
        """What is said of the input of this name."""
        return self.inputs.get(name, self.own)

    @property
    def strong(self) -> bool:
        """Whether roundings and steps are learned."""
        return self.effort != SECONDS

    @property
    def mixed(self) -> bool:
        """Whether each layer gets bits of its own."""
        return self.bits_per_weight is not None or self.max_bytes is not None

    @property
    def gives_back(self) -> bool:
        """Whether layers that are faster in float may stay there: fewer bits are not for speed."""
        at_full_bits = self.weight_bits == self.activation_bits == 8 and not self.mixed
        return at_full_bits and self.relieves and TARGETS[self.target].is_here

    @property
    def relieves(self) -> bool:
        """Whether layers that lose much may stay in float."""
        return METHODS[self.method].relieves and not TARGETS[self.target].whole

    @property
    def extent(self) -> tuple[int, int] | None:
        """``input_size`` as height and width."""
        size = self.input_size
        return (size, size) if isinstance(size, int) else size


def _is_pair(pair: object) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)


def _pairs(spans: Sequence[Sequence[float]]) -> None:
    if not all(isinstance(span, Sequence) and len(span) == 2 for span in spans):
        raise ConfigError(f"input_range {spans}: give pairs of low and high ends, ((0, 1),)")


def _finite(name: str, numbers: Sequence[float] | None) -> None:
    """Refuse what float32, which networks take, does not hold."""
    if numbers is None:
        return
    some = isinstance(numbers, Sequence) and len(numbers) > 0
    if not some or not all(isinstance(n, Real) and abs(float(n)) <= 3.4e38 for n in numbers):
        raise ConfigError(f"{name} {numbers}: give a tuple of finite numbers of float32")


def _one_of(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"unknown {name} {value!r}: choose one of {', '.join(allowed)}")


def _between(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}: it must be a whole number from {low} to {high}")


def at_least_one(**given: int | None) -> None:
    """Refuse a number of things below 1; None is none given.

    Raises:
        ConfigError: One of them is.
    """
    for name, value in given.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}: it must be at least 1")
