"""Moments that nothing states, observed on synthetic pictures.

Exporters fold BatchNormalization into the layers by default, and its statistics are gone; and some
layers never had any. What is left to ask is the network itself: it is shown pictures of several
kinds (:mod:`spiq.runtime.pictures`), and what they say of each channel, with its doubt, stands in
for what a normalization layer would have stated (:mod:`spiq.stats.observed`).

Observed is what feeds a layer and is known too vaguely: not at all, since an operator before it
has no rule, or from the network's input or through several layers of which nothing is stated.
(Carried through one such layer, moments are as good as observed ones, and a sum is as well known as
its better half.) Where that is so anywhere, all that is vague is observed, what feeds no layer too.

Where there are real images, what is observed is shown to them, too (:mod:`spiq.stats.sharpened`).
Showing them what the rules carry from BatchNorm to sums and pools was tried, and loses: the kept
MobileNetV2 fell from 22.2 to 21.1 dB and FastestDet from 20.0 to 19.5.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.extents import Extent
from spiq.graph.query import constant, data_inputs, dims, is_float32, weight_nodes
from spiq.passes.prepare import Prepared
from spiq.planning.placement.values import is_product
from spiq.runtime.expose import Exposed, expose
from spiq.runtime.images import Shown
from spiq.runtime.parts import is_parted
from spiq.runtime.pictures import KINDS
from spiq.runtime.synthetic import PICTURE_SIZE, Span, Tensors, synthetic_pictures
from spiq.stats.axes import Axes, channel_axes
from spiq.stats.maps import Layout
from spiq.stats.observed import Seen, expected
from spiq.stats.propagate import Measured
from spiq.stats.rules import RULES
from spiq.stats.rules.arithmetic import gated
from spiq.stats.sharpened import sharpened

IMAGES, _LARGE = 2 * len(KINDS), 1 << 19
"""How many pictures are shown; of so many pixels and more, or to a large network, one of each kind:
they are long to run, and have more places of each."""


_VAGUE = 2
"""Layers without statistics behind which moments are vague, the network's input being one."""

_POOLS = frozenset({"GlobalAveragePool", "AveragePool"})
_ARITHMETIC = frozenset({"Add", "Exp", "Mul", "Pow", "ReduceSum", "Sub"})
_SUMS = frozenset({"GlobalAveragePool", "ReduceMean", "ReduceSum"})
_MIXES = frozenset({"Gelu", "LayerNormalization", "MatMul", "RMSNormalization"})
_READS = frozenset({"Conv", "ConvTranspose", "Softmax"})
"""What has to know what it reads; how sharp the shares of a softmax are, its scores tell best."""


def unstated(prepared: Prepared, measured: Measured) -> list[ir.Value]:
    """Return the tensors that are to be observed; none where statistics reach all layers.

    Args:
        prepared: The network.
        measured: What its normalization layers state, carried to its tensors.
    """
    graph = prepared.model.graph
    vague = _vague(graph, prepared, measured)
    if not vague & _feeding(graph, prepared):
        return []
    plain = [value for value in _observable(graph) if value in vague]
    return plain + _behind_no_rule(graph, set(measured.stats) | set(plain))


def observe(
    prepared: Prepared,
    values: list[ir.Value],
    ranges: Mapping[str, Span],
    *,
    size: Extent = PICTURE_SIZE,
    images: Shown | None = None,
) -> Prepared:
    """Return the network with the moments that its tensors show on synthetic pictures.

    Args:
        prepared: The network.
        values: The tensors, see :func:`unstated`.
        ranges: Low and high end of each input, which pictures fill.
        size: Height and width of the input where they are not fixed.
        images: Real images, if there are any.

    Raises:
        ModelError: The network does not run.
        ConfigError: An image cannot be read, or does not fit the network.
    """
    graph = prepared.model.graph
    exposed = expose(prepared.model, values)
    axes = {str(value.name): own for value, own in channel_axes(graph).items()}
    drawn = (
        synthetic_pictures(exposed.session, ranges, number=number, size=size)
        for number in range(_count(prepared, size))
    )
    depths = _depths(graph)
    watched = _watched(exposed, drawn, axes)
    known = {
        name: expected(seen, kinds=len(KINDS), depth=depths[name])
        for name, (seen, _) in watched.items()
    }
    for scores, shares in _softmaxes(graph):
        if scores.name in known:  # which tell how sharp the shares are
            known.pop(str(shares.name), None)
    if images is not None:
        real = _watched(exposed, images.feeds(exposed.session), axes, tails=True)
        known |= {name: sharpened(known[name], real[name][0]) for name in known if name in real}
    found = {name: replace(one.moments(), layout=watched[name][1]) for name, one in known.items()}
    return replace(prepared, stated=MappingProxyType({**found, **prepared.stated}))


def _count(prepared: Prepared, size: Extent) -> int:
    if is_parted(prepared.model):
        return len(KINDS)
    shapes = (dims(value) or [] for value in prepared.model.graph.inputs)
    pixels = (
        math.prod(side or given for side, given in zip(shape[2:], size, strict=True))
        for shape in shapes
        if len(shape) == 4
    )
    return IMAGES if max(pixels, default=0) < _LARGE else len(KINDS)


def _watched(
    exposed: Exposed, feeds: Iterable[Tensors], axes: Mapping[str, Axes], *, tails: bool = False
) -> dict[str, tuple[Seen, Layout]]:
    """Return what inputs show of tensors, and the layout of each.

    Those are left out that are not finite (sums with a mask), and of which sizes differ.
    """
    seen: dict[str, list[tuple[npt.NDArray[np.float64], ...]]] = {
        name: [] for name in exposed.names
    }
    layouts: dict[str, set[Layout]] = {name: set() for name in exposed.names}
    for found_here in exposed.through(feeds):
        for name, array in found_here.items():
            own = axes.get(name, (1,))
            layouts[name].add(tuple(n if k in own else 1 for k, n in enumerate(array.shape)))
            seen[name].append(_per_channel(array, own, tails=tails))
    found = {
        name: (Seen(*map(np.array, zip(*parts, strict=True))), next(iter(layouts[name])))
        for name, parts in seen.items()
        if parts and len(layouts[name]) == 1
    }
    return {name: one for name, one in found.items() if one[0].finite}


def _per_channel(
    array: npt.NDArray[np.generic], axes: Axes, *, tails: bool = False
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return mean and variance of each channel, and moments 3 and 4 if wanted."""
    with np.errstate(invalid="ignore", over="ignore"):  # of numbers that are none: told later
        count = math.prod(array.shape[axis] for axis in axes)
        front = np.moveaxis(array, axes, range(len(axes)))
        rows = front.reshape(count, -1).astype(np.float32, copy=False)
        mean = rows.mean(axis=1)  # pairwise: as exact as it needs to be, and three times as fast
        away = rows - mean[:, None]
        pairs = [(away, away)]
        if tails:
            square = away * away
            pairs += [(away, square), (square, square)]
        count = max(rows.shape[1], 1)
        return mean.astype(np.float64), *(
            np.einsum("ij,ij->i", a, b).astype(np.float64) / count for a, b in pairs
        )


def _vague(graph: ir.Graph, prepared: Prepared, measured: Measured) -> set[ir.Value]:
    """Return the tensors of which nothing is known, or nothing near."""
    layers = set(weight_nodes(graph))
    far = {value: 1 for value in graph.inputs}
    for node in graph:
        best = min if node.op_type in ("Add", "Sub") else max
        behind = best((far.get(value, 0) for value in data_inputs(node)), default=0)
        for value in node.outputs:
            known = value.name in prepared.stated
            far[value] = 0 if known else behind + (node in layers)
            told = not (_sums_products(node) or _multiplies(node, measured))
            if value not in measured.stats or not (told or known):
                far[value] = max(far[value], _VAGUE)
    return {value for value, steps in far.items() if steps >= _VAGUE}


def _sums_products(node: ir.Node) -> bool:
    """Return whether a node adds up products of two tensors.

    So do convolutions whose kernels the network computes; rules take terms as independent, and
    neighbours under a kernel are not: an involution had 8 dB, and has 24 observed. Neither are two
    branches that see the same thing: all pairs of two pictures' features, normalized by BatchNorm,
    had 8 dB, since scores were taken for a quarter of what they are.
    """
    if is_product(node):
        return True
    before = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    added = node.op_type == "ReduceSum" and before is not None and before.op_type == "Mul"
    return added and before is not None and len({*data_inputs(before)}) == 2


def _multiplies(node: ir.Node, measured: Measured) -> bool:
    """Return whether a node squares a tensor, or multiplies two that no end is known of.

    Their tails are far heavier than those of what they are made of, and two branches of one picture
    are not independent: a squared ReLU had 4 dB, and has 23 observed. Gates end at 1. So is an Exp:
    a range that reaches a few deviations further is a hundred times as wide behind it.
    """
    if node.domain != "" or node.op_type not in ("Exp", "Mul", "Pow"):
        return False
    if all(reader.op_type in _SUMS for reader in node.outputs[0].consumers()):
        return False  # the sum is what a layer reads
    if node.op_type == "Pow":
        exponent = constant(node.inputs[1])
        return exponent is not None and bool(np.all(exponent.astype(np.float64) > 1))
    known = [measured.stats.get(value) for value in data_inputs(node)]
    free = [one is not None and not np.isfinite(one.high).all() for one in known]
    if node.op_type == "Exp":
        return all(free)
    return len(free) == 2 and all(free) and gated(node) is None


def _feeding(graph: ir.Graph, prepared: Prepared) -> set[ir.Value]:
    """Return the tensors that reach a layer with nothing stated on the way."""
    layers, feeding = set(weight_nodes(graph)), set[ir.Value]()
    for node in reversed(list(graph)):
        if node in layers:
            feeding.update(data_inputs(node)[:1])
        elif any(v in feeding and v.name not in prepared.stated for v in node.outputs):
            feeding.update(data_inputs(node))
    return feeding


def _observable(graph: ir.Graph) -> list[ir.Value]:
    """Return the tensors that can be observed, of which it is known where their channels lie.

    Those of layers, products, sums, pools and of what normalizes each input by itself.
    """
    layers, axes = set(weight_nodes(graph)), channel_axes(graph)
    operators = _POOLS | _ARITHMETIC | _MIXES
    return [
        value
        for node in graph
        if node in layers or (node.op_type in operators and node.domain == "")
        for value in node.outputs
        if is_float32(value) and value in axes
    ]


def _behind_no_rule(graph: ir.Graph, known: set[ir.Value]) -> list[ir.Value]:
    """Return what layers and products read that no rule would tell if ``known`` were observed."""
    reached, found, axes = set(known), [], channel_axes(graph)
    read = {value for node in weight_nodes(graph) for value in node.inputs[:1]}
    read |= {value for node in graph if is_product(node) for value in node.inputs}
    read |= {n.inputs[0] for n in graph if n.op_type in _READS and n.domain == ""}
    for node in graph:
        ruled = node.domain == "" and node.op_type in RULES
        if ruled and all(value in reached for value in data_inputs(node)):
            reached.update(node.outputs)
        for value in node.outputs:
            if value not in reached and value in read and is_float32(value) and value in axes:
                reached.add(value)
                found.append(value)
    masked = (
        after
        for scores, after in _softmaxes(graph)
        if after in axes and after not in found and not _is_told(scores, reached)
    )
    return [*found, *masked]


def _is_told(value: ir.Value, reached: set[ir.Value]) -> bool:
    """Return whether all that scores are made of is known, and how many there are to a row.

    A mask that is computed is not: scores with it are often not finite, be it that it holds
    infinities or float32's least number, and cannot be observed; their shares can.
    """
    node = value.producer()
    if None in (dims(value) or [None])[-1:]:
        return False
    sources = [] if node is None else data_inputs(node)
    masked = node is not None and node.op_type == "Add" and len(sources) > 1
    return not masked and all(source in reached for source in sources)


def _softmaxes(graph: ir.Graph) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Yield scores and shares: what each Softmax reads and makes."""
    for node in graph:
        if node.op_type == "Softmax" and node.domain == "" and node.inputs[0] is not None:
            yield node.inputs[0], node.outputs[0]


def _depths(graph: ir.Graph) -> dict[str, float]:
    """Return how far into the network each tensor lies, from 0 to 1."""
    layers, passed = set(weight_nodes(graph)), 0
    depths: dict[str, float] = {}
    for node in graph:
        passed += node in layers
        depths |= {str(value.name): passed / len(layers) for value in node.outputs}
    return depths
