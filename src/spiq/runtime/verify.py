"""Check a quantized network in the runtime before success is reported.

1. The very bytes that ship load with the runtime's default optimizations and run; each output has
   the type and shape of the float network's, and is finite. (Its sizes may differ only where they
   depend on what is found, such as the boxes that are kept.)
2. Every layer that the plan quantizes ended in an integer kernel there.
3. The signal-to-noise ratio of each float output is that of these bytes, against the float
   network, with what it may be on real images, see :mod:`spiq.runtime.agreement`; or it is said why
   there is none.
4. Layer by layer, what the kernels store is within two steps of what the graph means, see
   :mod:`spiq.runtime.layerwise`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

from spiq.errors import ModelError, VerificationError
from spiq.planning.plan.resolve import Resolved
from spiq.runtime.agreement import BATCHES, Agreement, agreements, doubtful
from spiq.runtime.kernels import check_kernels
from spiq.runtime.layerwise import check_layers
from spiq.runtime.scratch import scratch_file
from spiq.runtime.session import call, session
from spiq.runtime.synthetic import ANY, SOFT_SIZE, Sizes, Span, Tensors, soft_pictures

_LARGE = 1 << 20
"""Pixels of such an image."""

_SIZED_BY_DATA = frozenset({"Compress", "If", "Loop", "NonMaxSuppression", "NonZero", "Range",
                            "Scan", "Unique"})  # fmt: skip
"""Operators whose results are as large as their numbers say."""

_WHERE = "the quantized network"


@dataclass(frozen=True)
class Verified:
    """How far the outputs are from the float network's.

    Attributes:
        snr: Signal-to-noise ratio, by output.
        no_snr: Why there is none, by output.
    """

    snr: dict[str, Agreement]
    no_snr: dict[str, str]

    @property
    def warnings(self) -> list[str]:
        """What is to be said of poor outputs."""
        return doubtful(self.snr)


def verify(
    original: bytes | str,
    quantized: bytes,
    resolved: Resolved,
    ends: Mapping[str, Span] | None = None,
    *,
    sizes: Sizes = ANY,
) -> Verified:
    """Check ``quantized`` against ``original``; return the SNR of each float output, or why none.

    Args:
        original: The float network.
        quantized: The quantized one.
        resolved: What was done to it.
        ends: Ranges of inputs, where they are not those that are stored.
        sizes: Height and width of inputs that leave them open, and how many images at most.

    Raises:
        VerificationError: It does not load, does not run, is not finite, lost an integer kernel,
            has other outputs, or computes something else than the graph says. Where a node is to
            blame, the error names it.
        ModelError: The float model itself does not load or run.
    """
    proto = onnx.load_from_string(quantized)
    lean = _is_large(proto.graph)

    # As it is: quicker to open, and half the memory.
    reference = session(original, optimize=False, lean=lean)
    ranges = {**_input_ranges(resolved), **(ends or {})}
    batches = [
        soft_pictures(reference, ranges, number=number, sizes=sizes) for number in range(BATCHES)
    ]
    expected = [_results(reference, inputs, where="the float network") for inputs in batches]
    _check_finite(expected)
    del reference

    try:
        actual = _run_shipped(quantized, resolved, batches, lean=lean)
        for float_results, results in zip(expected, actual, strict=True):
            _check_outputs(float_results, results, _open_sized(proto.graph))
        check_layers(proto, batches[0], lean=lean)
    except ModelError as error:
        raise VerificationError(str(error), nodes=_suspects(str(error), resolved)) from error
    found = agreements(expected, actual)
    return Verified(
        {name: one for name, one in found.items() if not isinstance(one, str)},
        {name: why for name, why in found.items() if isinstance(why, str)},
    )


def _check_finite(batches: Iterable[Tensors]) -> None:
    for name, array in (pair for results in batches for pair in results.items()):
        if not _is_finite(array):
            raise ModelError(
                f"the float network: its output '{name}' is not finite on synthetic images: the "
                "weights are damaged, or the input range is wrong (see --input-range)"
            )


def _run_shipped(
    quantized: bytes, resolved: Resolved, batches: Iterable[Tensors], *, lean: bool
) -> list[Tensors]:
    """Open the very bytes as any user would, see that the kernels are integer ones, and run."""
    with scratch_file() as optimized:
        opened = session(quantized, lean=lean, optimized_path=optimized, name=_WHERE)
        check_kernels(optimized, resolved.layers)
    return [_results(opened, inputs, where=_WHERE) for inputs in batches]


def _results(opened: ort.InferenceSession, inputs: Tensors, *, where: str) -> Tensors:
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, call(opened, names, inputs, where=where), strict=True))


def _check_outputs(expected: Tensors, actual: Tensors, open_sized: frozenset[str]) -> None:
    for name, array in expected.items():
        found = actual.get(name)
        if found is None:
            raise VerificationError(f"output '{name}' is missing in the quantized network")
        same = found.ndim == array.ndim if name in open_sized else found.shape == array.shape
        if found.dtype != array.dtype or not same:
            raise VerificationError(
                f"output '{name}' of the quantized network is {found.dtype} {list(found.shape)}, "
                f"but {array.dtype} {list(array.shape)} in float: report this"
            )
        if not _is_finite(found):
            raise VerificationError(f"output '{name}' of the quantized network is not finite")


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _open_sized(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the tensors whose sizes may depend on what is found, by name."""
    found: set[str] = set()
    for node in graph.node:
        if node.op_type in _SIZED_BY_DATA or node.domain or not found.isdisjoint(node.input):
            found.update(node.output)
    return frozenset(found)


def _suspects(message: str, resolved: Resolved) -> dict[str, str]:
    """Return the operators to leave in float where the runtime refuses the network.

    Those that its message names, or else all operators between the layers.
    """
    quoted = (f"({name})" in message or f"'{name}'" in message or f'"{name}"' in message
              for name in resolved.integer)  # fmt: skip
    named = [name for name, is_named in zip(resolved.integer, quoted, strict=True) if is_named]
    between = [name for name in resolved.integer if name not in resolved.layers]
    return dict.fromkeys(named or between, "ONNX Runtime refuses its integer form")


def _is_large(graph: onnx.GraphProto) -> bool:
    """Return whether an input is so large that memory counts for more than time."""
    shapes = ([dim.dim_value for dim in i.type.tensor_type.shape.dim] for i in graph.input)
    return any(math.prod(size or SOFT_SIZE for size in shape[2:]) > _LARGE for shape in shapes)


def _input_ranges(resolved: Resolved) -> dict[str, Span]:
    """Return the range that the plan stores each input in, shaped to broadcast over it."""
    ranges = {}
    for name, tensor in resolved.tensors.items():
        steps = tensor.grid.step * np.array(tensor.channel_scale).reshape(tensor.layout)
        least = tensor.grid.qmin - tensor.grid.zero_point
        ranges[name] = (least * steps, (tensor.grid.qmax - tensor.grid.zero_point) * steps)
    return ranges
