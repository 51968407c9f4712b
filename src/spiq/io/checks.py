"""What makes a model unfit, found before anything is done with it.

Structure is checked on the protobuf message, where broken edges are still visible; the rest on the
graph. Every message names the model, the node or tensor, and what to do.
"""

import graphlib
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir

from spiq.errors import ModelError, UnsupportedError
from spiq.graph.query import is_constant

_INTEGER_OPERATORS = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "ConvInteger",
        "MatMulInteger",
    }
)
_MICROSOFT = "com.microsoft"
_MICROSOFT_INTEGER = ("Q", "Dequantize", "Dynamic", "MatMulInteger", "MatMulNBits", "ConvInteger")

_MULTIPLIES = frozenset(
    {
        *("Conv", "ConvTranspose", "DeformConv", "Einsum", "Gemm", "MatMul"),
        *("BatchNormalization", "GroupNormalization", "InstanceNormalization"),
        *("LayerNormalization", "RMSNormalization", "GRU", "LSTM", "RNN"),
        *("Div", "Mul", "Pow", "PRelu"),
    }
)
"""Operators for which infinity is a damaged weight; to others it is a mask or a bound."""

_ROUNDING = 0.01
"""Of epsilon: a variance as little below 0 is what rounding left of 0."""


def describe(node: ir.Node) -> str:
    """Name a node for a message: operator and name, or what it writes where it has none."""
    return described(node.op_type, node.name, [value.name for value in node.outputs])


def described(operator: str, name: str | None, outputs: Sequence[str | None]) -> str:
    """Name a node of which only the parts are at hand."""
    if name:
        return f"{operator} {name!r}"
    return f"{operator} that writes {next((o for o in outputs if o), '')!r}"


def structure(proto: onnx.ModelProto, *, where: str) -> None:
    """Check that every edge has exactly one writer.

    Args:
        proto: The model, with or without its weights, sorted or not.
        where: The model's name for messages.

    Raises:
        ModelError: There are no nodes, a name is written twice, or an edge or output by nothing.
        UnsupportedError: A weight is sparse.
    """
    graph = proto.graph
    if not graph.node:
        raise ModelError(f"{where}: the graph has no nodes: export the network again")
    if not graph.output:
        raise ModelError(f"{where}: the graph has no outputs: export the network again")
    if graph.sparse_initializer:
        name = graph.sparse_initializer[0].values.name
        raise UnsupportedError(
            f"{where}: tensor {name!r} is sparse, which is not handled: export it dense"
        )
    _graph(graph, frozenset(), where)
    for function in proto.functions:
        names = list(function.input)
        _edges(function.node, names, list(function.output), frozenset(), where)


def _graph(graph: onnx.GraphProto, outer: frozenset[str], where: str) -> None:
    inputs = [info.name for info in graph.input]
    weights = [tensor.name for tensor in graph.initializer]
    for names in (inputs, weights):
        _unique(names, where)
    outputs = [info.name for info in graph.output]
    _edges(graph.node, list({*inputs, *weights}), outputs, outer, where)


def _edges(
    nodes: Sequence[onnx.NodeProto],
    given: list[str],
    outputs: list[str],
    outer: frozenset[str],
    where: str,
) -> None:
    written = [name for node in nodes for name in node.output if name]
    _unique([*given, *written], where)
    own = frozenset((*given, *written))
    known = outer | own
    for node in nodes:
        for name in node.input:
            if name and name not in known:
                raise ModelError(
                    f"{where}: {described(node.op_type, node.name, list(node.output))} reads "
                    f"{name!r}, which nothing produces: export the network again"
                )
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _graph(inner, known, where)
    for name in outputs:
        if name not in own:
            raise ModelError(
                f"{where}: nothing produces the graph output {name!r}: export the network again"
            )


def _unique(names: list[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ModelError(
                f"{where}: {name!r} is produced more than once: give every value a name of its own"
            )
        seen.add(name)


def in_order(model: ir.Model, *, where: str) -> None:
    """Sort the nodes so that each comes after what it reads, in place.

    Raises:
        ModelError: Nodes wait for each other.
    """
    try:
        model.graph.sort()
    except ValueError as error:
        raise ModelError(
            f"{where}: {_cycle(model.graph)}: export the network without the loop"
        ) from error


def _cycle(graph: ir.Graph) -> str:
    before = {
        node: [made for value in node.inputs if value is not None and (made := value.producer())]
        for node in graph
    }
    try:
        graphlib.TopologicalSorter(before).prepare()
    except graphlib.CycleError as error:
        return f"{describe(error.args[1][0])} needs its own output"
    return "the nodes of a subgraph need their own outputs"


def not_quantized(model: ir.Model, *, where: str) -> None:
    """Refuse a model that has integer operators already.

    (Weights alone that are stored as integers, to be small, are constants.)

    Raises:
        UnsupportedError: There is one; it is named.
    """
    for node in model.graph.all_nodes():
        if is_integer(node) and not _is_stored_small(node):
            own = "spiq.method" in model.metadata_props
            raise UnsupportedError(
                f"{where}: the network is already quantized, see {describe(node)}: give the "
                f"float network{', or `spiq convert` this for another target' * own}"
            )


def is_integer(node: ir.Node | onnx.NodeProto) -> bool:
    """Return whether an operator is one of quantized networks."""
    if node.op_type in _INTEGER_OPERATORS or node.op_type.startswith("QLinear"):
        return True
    if node.domain != _MICROSOFT or node.op_type == "QuickGelu":
        return False
    return node.op_type.startswith(_MICROSOFT_INTEGER)


def _is_stored_small(node: ir.Node) -> bool:
    given = [value for value in node.inputs if value is not None]
    return node.op_type == "DequantizeLinear" and not node.domain and all(map(is_constant, given))


def inference_mode(model: ir.Model, *, where: str) -> None:
    """Refuse a BatchNormalization that normalizes with the statistics of its batch.

    (One that normalizes a constant, as standardized weights are written, computes a constant.)

    Raises:
        UnsupportedError: There is one; it is named.
    """
    fixed = _computed_from_constants(model.graph)
    for node in model.graph.all_nodes():
        if node.op_type != "BatchNormalization" or node.domain or node in fixed:
            continue
        used = [value for value in node.outputs[1:] if value.uses() or value.is_graph_output()]
        if node.attributes.get_int("training_mode", 0) or used:
            raise UnsupportedError(
                f"{where}: {describe(node)} is in training mode, it has no fixed statistics: "
                "call model.eval() and export the network with training=TrainingMode.PRESERVE"
            )


def _computed_from_constants(graph: ir.Graph) -> set[ir.Node]:
    """Return the nodes of a graph that compute the same numbers for each input."""
    fixed: set[ir.Node] = set()
    for node in graph:
        given = [value for value in node.inputs if value is not None]
        if given and all(is_constant(value) or value.producer() in fixed for value in given):
            fixed.add(node)
    return fixed


def variances(model: ir.Model, *, where: str) -> None:
    """Refuse a variance that is negative, or 0 with nothing added to it; hardly negative is 0.

    Raises:
        ModelError: There is one; node and channel are named.
    """
    for node in model.graph.all_nodes():
        if node.op_type != "BatchNormalization" or node.domain or len(node.inputs) < 5:
            continue
        value = node.inputs[4]
        variance = None if value is None else value.const_value
        if value is None or variance is None or variance.size == 0:
            continue
        values, epsilon = variance.numpy(), node.attributes.get_float("epsilon", 1e-5)
        channel = int(np.argmin(values))
        least = values.ravel()[channel]
        if least < -_ROUNDING * epsilon or least + epsilon <= 0:
            raise ModelError(
                f"{where}: {describe(node)} has the variance {least:g} in channel {channel}, but "
                "none can be negative, or 0 without an epsilon: the weights are damaged, export "
                "them again"
            )
        if least < 0:
            value.const_value = ir.Tensor(np.maximum(values, 0), name=value.name)


def finite(model: ir.Model, *, where: str) -> None:
    """Refuse weights that are not numbers.

    Infinity is refused only where a reader multiplies by it: elsewhere it is a mask or a bound.

    Raises:
        ModelError: A tensor has NaN or infinite values; it is named.
    """
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None or not tensor.dtype.is_floating_point():
                continue
            bad = _not_finite(tensor.numpy())
            if bad is None or (bad != "NaN" and _may_be_infinite(value)):
                continue
            raise ModelError(
                f"{where}: tensor {value.name!r} has {bad} values: the weights are damaged, "
                "train or export the network again"
            )


def _not_finite(array: np.ndarray) -> str | None:
    flat = array.reshape(-1)
    if flat.dtype in (np.float32, np.float64):
        # One pass at the speed of memory: x.x is finite only if all of x is. It overflows on
        # values above 1e19, which the exact test below then clears.
        with np.errstate(all="ignore"):
            if np.isfinite(np.dot(flat, flat)):
                return None
    if np.isfinite(flat).all():
        return None
    return "NaN" if np.isnan(flat).any() else "infinite"


def _may_be_infinite(value: ir.Value) -> bool:
    return not any(node.op_type in _MULTIPLIES for node in value.consumers())
