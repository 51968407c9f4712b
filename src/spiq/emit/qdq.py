"""Write QuantizeLinear and DequantizeLinear exactly where the plan says.

Each stored tensor becomes one QuantizeLinear (runtimes fall back to float where a tensor has
two), and one DequantizeLinear for each way in which it is read: integer operators compute on the
folded tensor; for float operators and graph outputs a Mul per channel restores real units. Behind
a float operator a Mul folds the tensor before it is quantized; what that operator writes, other
float operators and outputs read as it is. (One scale per channel in the QuantizeLinear or
DequantizeLinear itself says the same, but ONNX Runtime 1.32 computes that 10 to 20 times slower
than Mul and a scalar scale together, above all in its channels-last layout.)

A layer that stays in float reads its input behind a Mul, be it by 1: between a DequantizeLinear
and a QuantizeLinear the runtime would round its weights on its own, with one scale for all. The
Mul stands in front of the layer where operators that only move data lie between, since the runtime
carries DequantizeLinear through them. Any other operator that the plan leaves in float reads its
input behind an Einsum that copies: no pass of the runtime makes integers of what lies behind it,
nor carries a channels-last order through it.

Pads of channels run on the integers themselves, and so does the clip that holds grids of fewer
than 8 bits: in front of QuantizeLinear both would keep the runtime from its integer kernels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from spiq.emit.weights import emit_weight
from spiq.emit.wide import conversion_domain
from spiq.graph.edit import initializer, unique_name
from spiq.graph.query import is_constant, stored_shape
from spiq.planning.plan.resolve import Resolved, StoredTensor
from spiq.rewriting.fold_scales import channel_scale
from spiq.rewriting.round_weights import RoundedLayer
from spiq.stats.channel import Array

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

_CARRIED_THROUGH = frozenset({"Clip", "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten",
                              "Gather", "GatherElements", "Identity", "MaxPool", "Pad", "Relu",
                              "Reshape", "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze",
                              "Tile", "Transpose", "Unsqueeze"})  # fmt: skip
"""Operators that the runtime may move a DequantizeLinear behind, or drop."""


@dataclass
class _Emitter:
    graph: ir.Graph
    resolved: Resolved
    integer: frozenset[str]
    guards: bool
    grids: dict[tuple[float, int, str], tuple[ir.Value, ir.Value]] = field(default_factory=dict)
    bounds: dict[tuple[int, str], ir.Value] = field(default_factory=dict)

    def grid(self, tensor: StoredTensor) -> tuple[ir.Value, ir.Value]:
        """Return scale and zero point of a tensor's grid, one pair of initializers per grid."""
        kind = tensor.grid.dtype
        key = (tensor.grid.step, tensor.grid.zero_point, kind.name)
        if key not in self.grids:
            name = f"grid_{len(self.grids)}"
            self.grids[key] = (
                initializer(self.graph, f"{name}_scale", np.array(key[0], np.float32)),
                initializer(self.graph, f"{name}_zero_point", np.array(key[1], kind)),
            )
        return self.grids[key]

    def bound(self, bound: int, kind: np.dtype[np.integer]) -> ir.Value:
        """Return an integer that grids end at, one initializer for each."""
        key = (bound, kind.name)
        if key not in self.bounds:
            self.bounds[key] = initializer(self.graph, f"integer_{bound}", np.array(bound, kind))
        return self.bounds[key]


def emit(
    graph: ir.Graph,
    resolved: Resolved,
    rounded: Mapping[ir.Node, RoundedLayer],
    *,
    guards: bool,
) -> None:
    """Turn a folded float graph into a quantized one, in place.

    Args:
        graph: The network, scales folded.
        resolved: What is stored and how.
        rounded: The integers of each quantized layer.
        guards: Whether to keep operators in float from what ONNX Runtime's optimizer does to them.
    """
    folded = frozenset({*resolved.integer, *resolved.absorbed})
    emitter = _Emitter(graph, resolved, folded, guards)
    for node, integers in rounded.items():
        source = node.inputs[0]
        assert source is not None
        emit_weight(graph, resolved, node, integers, resolved.tensors[str(source.name)])
    values = {value.name: value for value in graph.inputs}
    values.update({value.name: value for node in graph for value in node.outputs})
    for name, tensor in resolved.tensors.items():
        _emit_tensor(emitter, values[name], tensor)
    for node in list(graph) if guards else ():
        if node.name in emitter.integer or node.domain != "" or not node.inputs:
            continue
        if node.op_type in _WEIGHTED and _is_carried(node.inputs[0]):
            _put_in_front(emitter, node, "Mul")
        elif node.op_type not in _WEIGHTED and node.name in resolved.left_in_float:
            _put_in_front(emitter, node, "Einsum")


def _is_carried(value: ir.Value | None) -> bool:
    """Return whether the runtime may carry a DequantizeLinear to ``value`` from further up."""
    start = None if value is None else value.producer()
    above, seen = [start], {start}
    while above:
        node = above.pop()
        if node is None or node.op_type not in _CARRIED_THROUGH:
            continue
        sources = {source.producer() for source in node.inputs if source is not None}
        if any(source is not None and source.op_type == "DequantizeLinear" for source in sources):
            return True
        above += sources - seen
        seen |= sources
    return False


def _put_in_front(emitter: _Emitter, node: ir.Node, operator: str) -> None:
    """Let ``node`` read its first input behind an operator that changes nothing."""
    value = node.inputs[0]
    if value is None or is_constant(value):
        return
    name, inputs, attributes = f"{value.name}_{operator.lower()}", [value], {}
    if operator == "Mul":
        inputs.append(initializer(emitter.graph, f"{name}_factor", _ones(node)))
    else:
        attributes["equation"] = "...->..."
    name = unique_name(emitter.graph, name)
    output = ir.Value(name=name, type=value.type, shape=value.shape)
    copy = ir.node(operator, inputs, attributes, outputs=[output], name=name)
    emitter.graph.insert_before(node, copy)
    node.replace_input_with(0, output)


def _ones(node: ir.Node) -> Array:
    """Return a 1 for each channel that a layer reads: the runtime drops a Mul by a single 1."""
    shape, kind = stored_shape(node.inputs[1]), node.op_type
    is_turned = kind == "Gemm" and node.attributes.get_int("transB", 0) == 1
    if kind in ("Gemm", "MatMul"):
        return np.ones(shape[1 if is_turned else 0], np.float32)
    groups = node.attributes.get_int("group", 1) if kind == "Conv" else 1
    channels = shape[0] if kind == "ConvTranspose" else shape[1] * groups
    return np.ones((channels, *(1,) * (len(shape) - 2)), np.float32)


def _emit_tensor(emitter: _Emitter, value: ir.Value, tensor: StoredTensor) -> None:
    """Store a tensor, and hand each of its readers its integers, or the numbers they stand for."""
    readers = [(use.node, use.idx) for use in value.uses()]
    is_output = value.is_graph_output()
    producer, name = value.producer(), str(value.name)
    if producer is None or producer.name not in emitter.integer:
        stored = _emit_quantizer(emitter, value, tensor)
        readers = [use for use in readers if _reads_stored(emitter, use[0])]
        is_output = False
    elif producer.op_type == "Pad" and emitter.guards:
        stored = _emit_pad(emitter, producer)
    else:
        stored = _emit_quantizer(emitter, value, tensor)
    folded = channel_scale(tensor) is not None
    in_float = [
        use
        for use in readers
        if use[0].name not in emitter.integer
        and (folded or (emitter.guards and use[0].op_type in _WEIGHTED))
    ]
    on_integers = [use for use in readers if use not in in_float]
    if on_integers or (is_output and not folded):
        result = _dequantize(emitter, stored, tensor, f"{name}_dequantized")
        _redirect(on_integers, result)
    if in_float or (is_output and folded):
        result = _restore(emitter, stored, tensor, f"{name}_real")
        _redirect(in_float, result)
    if is_output:
        _take_over(emitter, value, result)


def _take_over(emitter: _Emitter, value: ir.Value, result: ir.Value) -> None:
    """Make a tensor the network's output in place of another one, under its name."""
    name = str(value.name)
    outputs = [result if output is value else output for output in emitter.graph.outputs]
    emitter.graph.outputs.clear()
    value.name, result.name = unique_name(emitter.graph, f"{name}_folded"), name
    emitter.graph.outputs.extend(outputs)


def _emit_quantizer(emitter: _Emitter, value: ir.Value, tensor: StoredTensor) -> ir.Value:
    """Fold (behind a float operator), quantize and clip a tensor; return its integers."""
    producer, name = value.producer(), str(value.name)
    sigma = channel_scale(tensor)
    folded = value
    if sigma is not None and (producer is None or producer.name not in emitter.integer):
        folded = _scaled(emitter, value, 1 / sigma, tensor, f"{name}_folded")
    inputs = [folded, *emitter.grid(tensor)]
    kind = ir.DataType.from_numpy(tensor.grid.dtype)
    stored = _append(emitter, "QuantizeLinear", inputs, f"{name}_quantized", kind)
    if tensor.grid.is_full:
        return stored
    ends = (tensor.grid.qmin, tensor.grid.qmax)
    bounds = [emitter.bound(end, tensor.grid.dtype) for end in ends]
    return _append(emitter, "Clip", [stored, *bounds], f"{name}_clipped", kind)


def _emit_pad(emitter: _Emitter, node: ir.Node) -> ir.Value:
    """Pad the integers by the zero point; ``node`` so far reads a dequantized tensor."""
    back = node.inputs[0].producer() if node.inputs[0] is not None else None
    assert back is not None and back.op_type == "DequantizeLinear"
    node.replace_input_with(0, back.inputs[0])
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, back.inputs[2])
    value, stored = node.outputs[0], back.inputs[0]
    value.type = stored.type if stored is not None else None
    if not back.outputs[0].uses() and not back.outputs[0].is_graph_output():
        emitter.graph.remove(back, safe=True)
    return value


def _dequantize(emitter: _Emitter, stored: ir.Value, tensor: StoredTensor, name: str) -> ir.Value:
    inputs = [stored, *emitter.grid(tensor)]
    return _append(emitter, "DequantizeLinear", inputs, name, ir.DataType.FLOAT)


def _restore(emitter: _Emitter, stored: ir.Value, tensor: StoredTensor, name: str) -> ir.Value:
    """Dequantize to real units, by a Mul even where it changes nothing (see the module)."""
    sigma = np.array(tensor.channel_scale)
    folded = _dequantize(emitter, stored, tensor, f"{name}_folded")
    return _scaled(emitter, folded, sigma, tensor, name)


def _scaled(
    emitter: _Emitter, value: ir.Value, factor: Array, tensor: StoredTensor, name: str
) -> ir.Value:
    """Multiply a tensor by one factor per channel."""
    shaped = factor.reshape(tensor.layout).astype(np.float32)
    inputs = [value, initializer(emitter.graph, f"{name}_factor", shaped)]
    return _append(emitter, "Mul", inputs, name, ir.DataType.FLOAT)


def _append(
    emitter: _Emitter, operator: str, inputs: list[ir.Value], name: str, dtype: ir.DataType
) -> ir.Value:
    """Put a node behind the producer of its first input; return its output."""
    name = unique_name(emitter.graph, name)
    output = ir.Value(name=name, type=ir.TensorType(dtype), shape=inputs[0].shape)
    domain = conversion_domain(emitter.graph, inputs)
    node = ir.node(operator, inputs, domain=domain, outputs=[output], name=name)
    producer = inputs[0].producer()
    if producer is not None:
        emitter.graph.insert_after(producer, node)
    else:
        emitter.graph.insert_before(emitter.graph[0], node)
    return output


def _reads_stored(emitter: _Emitter, node: ir.Node) -> bool:
    """Return whether a node reads the integers of a tensor that is there in float, too."""
    return node.name in emitter.integer or node.name in emitter.resolved.shortcuts


def _redirect(uses: list[tuple[ir.Node, int]], value: ir.Value) -> None:
    for node, index in uses:
        node.replace_input_with(index, value)
