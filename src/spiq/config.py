"""The options of a quantization, as one value."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from spiq.errors import ConfigError
from spiq.input_values import InputValues, Range
from spiq.methods import METHODS
from spiq.targets import AUTO, TARGETS, bits_text, of_this_machine
from spiq.value_checks import between, one_of

SECONDS = "seconds"
EFFORTS = (SECONDS, "minutes", "hours")
"""How long it may take: beyond seconds, roundings are learned."""


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
        target: One of :data:`spiq.targets.TARGETS`, such as ``onnxruntime`` or ``portable``
            (nothing rewritten for one CPU's speed), or ``auto``: the one for this machine's CPU.
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
        one_of("method", self.method, METHODS)
        if self.target == AUTO:
            object.__setattr__(self, "target", of_this_machine())
        one_of("target", self.target, TARGETS)
        one_of("prefer", self.prefer, ("speed", "balanced", "accuracy"))
        between("weight_bits", self.weight_bits, 2, 8)
        self._check_activation_bits()
        if self.first_last_bits is not None:
            between("first_last_bits", self.first_last_bits, 3, 8)
        self._check_mixed()
        self._check_dynamic()
        self._check_effort()
        if self.prefer != "balanced" and not (self.timing and self.gives_back):
            raise ConfigError(
                f"prefer is {self.prefer}, which is weighed against time: it needs timing, method "
                "spiq, 8 bits and a target that runs on this machine"
            )
        self._check_excluded()
        self._check_inputs()

    def _check_excluded(self) -> None:
        for name in ("exclude", "exclude_type"):
            if isinstance(given := getattr(self, name), str):
                raise ConfigError(f"{name} {given!r} is text: give a tuple, ({given!r},)")
        if not all(_is_pair(pair) for pair in self.exclude_between):
            raise ConfigError(f"exclude_between {self.exclude_between}: give pairs of names")

    def _check_inputs(self) -> None:
        _ = self.own  # is checked as it is made
        if not isinstance(self.inputs, Mapping) or not all(
            isinstance(values, InputValues) for values in self.inputs.values()
        ):
            raise ConfigError("inputs: give a mapping of names of inputs to InputValues")
        for side in self.extent or ():
            between("input_size", side, 8, 4096)
        if not isinstance(self.images, str | os.PathLike | None):
            raise ConfigError(f"images {self.images!r}: give a folder, or an .npz file")
        one_of("input_order", self.input_order, ("RGB", "BGR"))

    def _check_activation_bits(self) -> None:
        taken = TARGETS[self.target].grids.bits
        if self.activation_bits != 16:
            between("activation_bits", self.activation_bits, 3, 8)
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
        one_of("effort", self.effort, EFFORTS)
        one_of("device", self.device, ("auto", "cpu", "cuda"))
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
    def own(self) -> InputValues:
        """What is said of all inputs that ``inputs`` does not name."""
        return InputValues(
            input_range=self.input_range, input_mean=self.input_mean, input_std=self.input_std
        )

    def values_of(self, name: str) -> InputValues:
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
