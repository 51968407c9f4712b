"""What the float network makes of pictures that nothing was chosen by.

The quantized network is held to that at the end, see :mod:`spiq.runtime.verify`. Nothing on the way
depends on it, so it can be worked out beside planning, which keeps one core busy.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from spiq.errors import ModelError
from spiq.graph.query import dims
from spiq.runtime.agreement import BATCHES, Agreement, agreements, down_to
from spiq.runtime.opened import Opened, Tensors
from spiq.runtime.parts import Parted
from spiq.runtime.ports import ANY, SOFT_SIZE, Sizes
from spiq.runtime.session import call, session
from spiq.runtime.synthetic import Span, soft_pictures
from spiq.stats.exponential import ExpMask

_LARGE = 1 << 20
"""Pixels of an image for which memory counts for more than time."""


@dataclass(frozen=True)
class Reference:
    """Pictures, and the float network's outputs for them.

    Attributes:
        inputs: A batch of pictures of each kind.
        outputs: The outputs for each batch.
        lean: Whether memory counts for more than time.
        exponential: Where an Exp made an output, by name.
        rivals: The same for pictures that fill the range of inputs of which it is not sure what
            they are; None where it is.
    """

    inputs: tuple[Tensors, ...]
    outputs: tuple[Tensors, ...]
    lean: bool
    exponential: Mapping[str, ExpMask] = field(default_factory=dict)
    rivals: "Reference | None" = None

    @property
    def every(self) -> tuple[Tensors, ...]:
        """All batches there are, those of rivals last."""
        return self.inputs + (self.rivals.every if self.rivals else ())

    def estimates(self, found: Sequence[Tensors]) -> dict[str, Agreement | str]:
        """Return how far the outputs of the quantized network are from these, by name.

        Args:
            found: Its outputs for every batch.
        """
        count = len(self.inputs)
        likely = agreements(self.outputs, found[:count], self.exponential)
        return (
            likely if self.rivals is None else down_to(likely, self.rivals.estimates(found[count:]))
        )


def reference(
    original: bytes | str | Parted,
    ends: Mapping[str, Span],
    *,
    sizes: Sizes = ANY,
    lean: bool = False,
    exponential: Mapping[str, ExpMask] = MappingProxyType({}),
    threads: int = 0,
    rivals: Mapping[str, Span] = MappingProxyType({}),
) -> Reference:
    """Run the float network.

    Args:
        original: The network; what is to be run in parts is.
        ends: Range of each image input, by name.
        sizes: Height and width of inputs that leave them open, and how many images at most.
        lean: Whether memory counts for more than time, see :func:`is_large`.
        exponential: Where an Exp made an output, by name.
        threads: As for :func:`spiq.runtime.session.session`; parts take no number.
        rivals: Range of inputs that may be of another convention, by name; a network for which
            memory counts is not shown these.

    Raises:
        ModelError: It does not load or run, or is not finite.
    """
    # as it is: quicker to open, and half the memory
    opened: Opened
    if isinstance(original, Parted):
        opened = original
    else:
        opened = session(original, optimize=False, lean=lean, threads=threads)
    batches, outputs = _shown(opened, ends, sizes)
    _check_finite(outputs)
    found = Reference(batches, outputs, lean, exponential)
    if not rivals or lean or isinstance(opened, Parted):
        return found
    others = tuple(_refilled(one, ends, rivals) for one in batches)
    made = tuple(results(opened, one, where="the float network") for one in others)
    if not all(is_number(array) for one in made for array in one.values()):
        return found
    return replace(found, rivals=Reference(others, made, lean, exponential))


def _refilled(inputs: Tensors, ends: Mapping[str, Span], rivals: Mapping[str, Span]) -> Tensors:
    """Return the same pictures between other ends."""
    found = dict(inputs)
    for name, (low, high) in rivals.items():
        if name in found and name in ends:
            first, last = ends[name]
            share = (np.asarray(found[name], np.float64) - first) / np.maximum(last - first, 1e-12)
            found[name] = (low + (high - low) * share).astype(found[name].dtype)
    return found


def _shown(
    opened: Opened, ends: Mapping[str, Span], sizes: Sizes
) -> tuple[tuple[Tensors, ...], tuple[Tensors, ...]]:
    """Return batches, and what a network makes of them: one image to a batch if it takes no more.

    Networks say that their batch is open and are made for one image all the same: their recurrent
    state is, or a Reshape or an index that was one when they were traced.
    """
    try:
        return _run(opened, ends, sizes)
    except ModelError as of_many:
        if sizes.batch == 1:
            raise
        try:
            return _run(opened, ends, replace(sizes, batch=1))
        except ModelError:
            raise of_many from None


def _run(
    opened: Opened, ends: Mapping[str, Span], sizes: Sizes
) -> tuple[tuple[Tensors, ...], tuple[Tensors, ...]]:
    batches = tuple(
        soft_pictures(opened, ends, number=number, sizes=sizes) for number in range(BATCHES)
    )
    if isinstance(opened, Parted):
        return batches, tuple(opened.outputs(batches))
    return batches, tuple(results(opened, one, where="the float network") for one in batches)


def results(opened: Opened, inputs: Tensors, *, where: str) -> Tensors:
    """Return all outputs of a network by name; ``where`` is its name for messages."""
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, call(opened, names, inputs, where=where), strict=True))


def is_finite(array: np.ndarray) -> bool:
    """Return whether a tensor has no infinity and no NaN."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def is_number(array: np.ndarray) -> bool:
    """Return whether a tensor is of numbers, and of infinities at most below, or at most above.

    Scores that a mask rules out and logarithms of 0 are such; what overflows goes both ways.
    """
    if is_finite(array):
        return True
    low, high = array.min(), array.max()  # NaN if there is one
    return bool(np.isfinite(low) or np.isfinite(high)) and not np.isnan(low)


def _check_finite(batches: Iterable[Tensors]) -> None:
    for name, array in (pair for outputs in batches for pair in outputs.items()):
        if not is_number(array):
            raise ModelError(
                f"the float network: its output '{name}' is not finite on synthetic images: the "
                "weights are damaged, or the input range is wrong (see --input-range)"
            )


def is_large(graph: ir.Graph) -> bool:
    """Return whether an input is so large that memory counts for more than time."""
    shapes = (dims(value) or [] for value in graph.inputs)
    return any(math.prod(size or SOFT_SIZE[0] for size in shape[2:]) > _LARGE for shape in shapes)
