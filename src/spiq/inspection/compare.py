"""Run a float network and a quantized one side by side and compare them tensor by tensor.

What is compared, and how: :mod:`spiq.inspection.tensor_sums`. Both networks run as written, so that
exposing a tensor changes nothing; those of half or double precision as they are read.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from spiq.config import Config
from spiq.errors import ConfigError, ModelError
from spiq.graph.indices import integer_ends
from spiq.inspection.counterparts import Names, counterparts, names, quantizer, unmatched_layers
from spiq.inspection.in_single import AsRun, in_single
from spiq.inspection.tensor_sums import Sums, TensorComparison
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.expose import add_outputs
from spiq.runtime.session import call, session
from spiq.runtime.synthetic import Span, synthetic_inputs
from spiq.runtime.trials import tried
from spiq.stats.inputs import input_stats, judge, shown_ends

IMAGES = 4

_COLOURS = frozenset((1, 3, 4))
"""Numbers of channels that pictures have."""

Watch = Callable[[str, npt.NDArray[np.generic]], None]
"""Shown each tensor of the float network that is compared, for one image after the other."""

Tensors = dict[str, npt.NDArray[np.generic]]
Ends = Span


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """What ``spiq inspect A B`` shows, tensors in the order of execution."""

    reference: str
    other: str
    tensors: tuple[TensorComparison, ...]
    unmatched: tuple[str, ...] = ()
    """Layer outputs of the float network that the other one does not have by name."""


def compare(
    reference: str | os.PathLike[str] | bytes,
    other: str | os.PathLike[str] | bytes,
    *,
    images: int = IMAGES,
    watch: Watch | None = None,
) -> CompareResult:
    """Compare the tensors of two networks on the same synthetic inputs.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> compared = spiq.compare(model_path(), spiq.quantize(model_path()).model)
    >>> all(tensor.cosine > 0.99 for tensor in compared.tensors)
    True

    The tensors of a network that spiq quantized are compared up to one gain per channel, which
    its folding removes from them.

    Args:
        reference: Path or bytes of the float network.
        other: Path or bytes of the quantized one; of spiq or of another tool that keeps names.
        images: How many synthetic images.
        watch: Shown what the float network makes of them.

    Raises:
        ModelError: A network cannot be loaded or run.
        ConfigError: The networks do not have the same inputs, or share no tensor.
    """
    first, second = in_single(reference, "reference"), in_single(other, "other")
    return compared(first, second, images=images, watch=watch)


def compared(
    reference: AsRun, other: AsRun, *, images: int = IMAGES, watch: Watch | None = None
) -> CompareResult:
    """Compare two networks that were read already: as :func:`compare`.

    Args:
        reference: The float network.
        other: The quantized one.
        images: How many synthetic images.
        watch: Shown what the float network makes of them.
    """
    first, second = _opened(reference), _opened(other)
    _check(first, second)
    pairs, folded = _pairs(first, second), _is_folded(second.proto)
    sums = _compared(first, second, pairs, images, watch)
    return CompareResult(
        reference=first.where,
        other=second.where,
        tensors=tuple(
            found.comparison(
                name,
                first.graph.writers[name],
                fitted=folded and pairs[name] == f"{name}_dequantized",
            )
            for name, found in sums.items()
        ),
        unmatched=unmatched_layers(first.graph, sums),
    )


@dataclass(frozen=True)
class _Opened:
    """A network whose tensors are all outputs."""

    where: str
    proto: onnx.ModelProto
    graph: Names
    session: ort.InferenceSession
    inputs: dict[str, list[Any]]

    def floats(self) -> frozenset[str]:
        """Names of the tensors that hold floats."""
        outputs = self.session.get_outputs()
        return frozenset(o.name for o in outputs if o.type in ("tensor(float)", "tensor(double)"))


def _opened(network: AsRun) -> _Opened:
    graph, exposed = names(network.proto.graph), network.light()
    add_outputs(exposed, graph.writers)
    opened = session(network.whole(exposed), optimize=False, name=network.name)
    inputs = {value.name: value.shape for value in opened.get_inputs()}
    return _Opened(network.name, network.proto, graph, opened, inputs)


def _check(first: _Opened, second: _Opened) -> None:
    if sorted(first.inputs) != sorted(second.inputs):
        raise ConfigError(
            f"{first.where} has the inputs {', '.join(sorted(first.inputs))}, but {second.where} "
            f"has {', '.join(sorted(second.inputs))}: give two forms of the same network"
        )
    if _is_quantized(first) and not _is_quantized(second):
        raise ConfigError(
            f"{first.where} is quantized, {second.where} is not: give the float first"
        )


def _compared(
    first: _Opened,
    second: _Opened,
    pairs: Mapping[str, str],
    images: int,
    watch: Watch | None,
) -> dict[str, Sums]:
    if not pairs:
        raise ConfigError(
            f"{first.where} and {second.where} share no float tensor by name: give two forms of "
            "the same network, or quantize without renaming"
        )
    sums: dict[str, Sums] = {}
    for feed in _feeds(first, second, images):
        expected = _run(first, list(pairs), feed)
        actual = _run(second, list(dict.fromkeys(pairs.values())), feed)
        if watch is not None:
            for name, array in (feed | expected).items():
                watch(name, array)
        for name, match in pairs.items():
            found = _without_padding(actual[match], expected[name].shape)
            if expected[name].size == found.size:
                added = Sums.of(expected[name], found.reshape(expected[name].shape))
                sums[name] = sums[name] + added if name in sums else added
    return sums


def _without_padding(
    array: npt.NDArray[np.generic], shape: tuple[int, ...]
) -> npt.NDArray[np.generic]:
    """Return a tensor without channels that were added to it, if it has any."""
    is_wider = array.ndim == len(shape) > 1 and array.shape[1] > shape[1]
    others_fit = array.shape[:1] + array.shape[2:] == shape[:1] + shape[2:]
    return array[:, : shape[1]] if is_wider and others_fit else array


def _pairs(first: _Opened, second: _Opened) -> dict[str, str]:
    ours, theirs = first.floats(), second.floats()
    found = counterparts(first.graph, second.graph)
    return {name: match for name, match in found.items() if name in ours and match in theirs}


def _is_quantized(opened: _Opened) -> bool:
    return any(node.op_type == "DequantizeLinear" for node in opened.proto.graph.node)


def _is_folded(proto: onnx.ModelProto) -> bool:
    return any(entry.key == "spiq.method" for entry in proto.metadata_props)


def _feeds(first: _Opened, second: _Opened, images: int) -> Iterator[Tensors]:
    """Yield synthetic inputs over the range that ``second`` quantizes, or else ``first`` expects.

    Shapes are those of the network that fixes more of them.
    """
    strict = max(first, second, key=lambda opened: _fixed_sizes(opened.inputs))
    ranges = {
        name: (low.astype(np.float64), high.astype(np.float64))
        for name, (low, high) in _ranges(first, second).items()
    }
    for seed in range(images):
        yield synthetic_inputs(strict.session, ranges, seed=seed)


def _fixed_sizes(inputs: Mapping[str, list[Any]]) -> int:
    return sum(isinstance(size, int) for shape in inputs.values() for size in shape)


def _ranges(first: _Opened, second: _Opened) -> dict[str, Ends]:
    """Return the range of pictures from the grids that store them, of others from the analysis."""
    flat = {name for name, shape in first.inputs.items() if not _may_be_picture(shape)}
    ranges = {name: _grid_range(name, second) for name in first.inputs if name not in flat}
    stored = {name: ends for name, ends in ranges.items() if ends is not None}
    if len(stored) == len(first.inputs):
        return stored
    try:
        prepared = prepare(read(first.proto))
        verdicts = tried(prepared, judge(prepared))
        known, _ = input_stats(prepared, Config(), verdicts=verdicts)
    except ModelError:  # such as a reference that is quantized itself
        return stored
    integers = integer_ends(prepared.model.graph)
    return shown_ends(prepared, known, verdicts) | integers | stored


def _may_be_picture(shape: list[Any]) -> bool:
    return len(shape) == 4 and not _COLOURS.isdisjoint([shape[1], shape[3]])


def _grid_range(name: str, opened: _Opened) -> Ends | None:
    """Return the ends of the grid on which a network stores its input."""
    behind = quantizer(name, opened.graph)
    if behind is None:
        return None
    node, before = behind

    # the arrays of the quantizer, of what folds before it and of a clip behind it
    after = [n for n in opened.graph.readers.get(node.output[0], ()) if n.op_type == "Clip"]
    wanted = {i for n in (node, *before, *after) for i in n.input}
    arrays = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in opened.proto.graph.initializer
        if tensor.name in wanted
    }

    # real units from where integers end
    grid = [arrays[i] for i in node.input[1:] if i in arrays]
    if len(grid) < 2:
        return None
    scale, zero = (part.reshape(1, -1, 1, 1).astype(np.float64) for part in grid)
    bounds = [float(np.iinfo(grid[1].dtype).min), float(np.iinfo(grid[1].dtype).max)]
    for clip in after:
        bounds = [float(arrays[i]) for i in clip.input[1:] if i in arrays]
    for step in before:
        factors = [arrays[i] for i in step.input if i in arrays and step.op_type == "Mul"]
        scale = scale / factors[0] if factors else scale
    low, high = ((bound - zero) * scale for bound in bounds)
    return low, high


def _run(opened: _Opened, wanted: list[str], feed: Tensors) -> Tensors:
    return dict(zip(wanted, call(opened.session, wanted, feed, where=opened.where), strict=True))
