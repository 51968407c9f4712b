"""Write layers on integers that measure the range of their input as the network runs.

    x -> DynamicQuantizeLinear -> q, s, z
    ConvInteger(q, W, z, 128) -> Cast -> BatchNormalization(s w, b, 0, 1)       y = (s w) acc + b
    MatMulInteger(q, W, z, 128) -> Cast -> Mul(s w) -> Add(b)

with w the steps of the weight, one per output channel, and b the bias. This is the fastest form
that ONNX Runtime 1.32 has for it, and about four times as fast as what its own ``quantize_dynamic``
writes:

* Weights are uint8 with zero point 128. Its ConvInteger takes 7.2 ms with them where it takes 30.1
  with int8 (128 channels, 56x56, 3x3), and fails on a zero point per channel as the network runs.
* s w is a product of a scalar and a vector. BatchNormalization multiplies by it and adds the bias
  in one pass. (Mul and Add are fused with a MatMulInteger before them, but not with a ConvInteger.)
* A tensor that several layers read is quantized once.

Everything else stays in float. DynamicQuantizeLinear knows 8 bits only; for fewer, the same
arithmetic is written in plain operators,

    s = (max(x, 0) - min(x, 0)) / (2^bits - 1),    z = round(-min(x, 0) / s),

and QuantizeLinear and a Clip follow. That is there to study accuracy and slower than 8 bits are.
The range is that of the whole tensor: of all images of a batch together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, replace, unique_name
from spiq.rewriting.round_dynamic import DynamicLayer

_ZERO_POINT = 128
_LEAST_STEP = 1e-30
"""Of a tensor that holds nothing but zeros."""

Stored = tuple[ir.Value, ir.Value, ir.Value]
"""The integers of a tensor, their step and their zero point."""


@dataclass
class _Emitter:
    graph: ir.Graph
    before: ir.Node
    """Where new nodes go."""
    stored: dict[tuple[ir.Value, int], Stored] = field(default_factory=dict)
    constants: dict[tuple[str, bytes], ir.Value] = field(default_factory=dict)

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        """Return an initializer, one for all layers that want the same."""
        key = (f"{array.dtype}{array.shape}", array.tobytes())
        if key not in self.constants:
            self.constants[key] = initializer(self.graph, name, array)
        return self.constants[key]

    def add(
        self,
        operator: str,
        inputs: list[ir.Value],
        name: str,
        dtype: ir.DataType = ir.DataType.FLOAT,
        attributes: Mapping[str, int] | None = None,
    ) -> ir.Value:
        """Append a node; return its output."""
        name = unique_name(self.graph, name)
        output = ir.Value(name=name, type=ir.TensorType(dtype))
        node = ir.node(operator, inputs, attributes, outputs=[output], name=name)
        self.graph.insert_before(self.before, node)
        return output


def emit_dynamic(graph: ir.Graph, rounded: Mapping[ir.Node, DynamicLayer]) -> None:
    """Write the layers in place.

    Args:
        graph: The float network.
        rounded: The integers of each layer that is to run on them, in order.
    """
    emitter = _Emitter(graph, graph[0])
    for node, layer in rounded.items():
        emitter.before = node
        source = node.inputs[0]
        assert source is not None
        key = (source, layer.input_bits)
        if key not in emitter.stored:
            emitter.stored[key] = _quantize(emitter, *key)
        write = _emit_convolution if node.op_type == "Conv" else _emit_product
        write(emitter, node, layer, emitter.stored[key])


def _quantize(emitter: _Emitter, source: ir.Value, bits: int) -> Stored:
    """Round a tensor on the range that it has."""
    if bits < 8:
        return _quantize_narrow(emitter, source, bits)
    outputs = [
        ir.Value(
            name=unique_name(emitter.graph, f"{source.name}_{part}"),
            type=ir.TensorType(dtype),
            shape=shape,
        )
        for part, dtype, shape in (
            ("quantized", ir.DataType.UINT8, source.shape),
            ("step", ir.DataType.FLOAT, ir.Shape([])),
            ("zero_point", ir.DataType.UINT8, ir.Shape([])),
        )
    ]
    node = ir.node("DynamicQuantizeLinear", [source], outputs=outputs, name=outputs[0].name)
    emitter.graph.insert_before(emitter.before, node)
    return outputs[0], outputs[1], outputs[2]


def _quantize_narrow(emitter: _Emitter, source: ir.Value, bits: int) -> Stored:
    """Do what DynamicQuantizeLinear does, in fewer bits."""
    name, add, kind = str(source.name), emitter.add, ir.DataType.UINT8
    zero = emitter.constant("nothing", np.array(0, np.float32))
    top = emitter.constant(f"steps_of_{bits}_bits", np.array(2**bits - 1, np.float32))
    least = emitter.constant("least_step", np.array(_LEAST_STEP, np.float32))
    ends = [emitter.constant(f"integer_{n}", np.array(n, np.uint8)) for n in (0, 2**bits - 1)]
    scalar = {"keepdims": 0}
    lowest = add("ReduceMin", [source], f"{name}_lowest", attributes=scalar)
    highest = add("ReduceMax", [source], f"{name}_highest", attributes=scalar)
    low = add("Min", [lowest, zero], f"{name}_low")
    high = add("Max", [highest, zero], f"{name}_high")
    width = add("Sub", [high, low], f"{name}_width")
    exact = add("Div", [width, top], f"{name}_exact_step")
    step = add("Max", [exact, least], f"{name}_step")
    below = add("Sub", [zero, low], f"{name}_below")
    place = add("Div", [below, step], f"{name}_place_of_zero")
    whole = add("Round", [place], f"{name}_whole_place_of_zero")
    point = add("Cast", [whole], f"{name}_zero_point", kind, {"to": int(kind)})
    plain = add("QuantizeLinear", [source, step, point], f"{name}_unclipped", kind)
    return add("Clip", [plain, *ends], f"{name}_quantized", kind), step, point


def _emit_convolution(
    emitter: _Emitter, node: ir.Node, layer: DynamicLayer, source: Stored
) -> None:
    name, graph = str(node.outputs[0].name), emitter.graph
    floats = _sums(emitter, node, layer.weight, source)
    step = _step(emitter, node, layer, source)
    outputs = len(layer.bias)
    bias = initializer(graph, f"{name}_bias", layer.bias)
    zeros = emitter.constant(f"zeros_{outputs}", np.zeros(outputs, np.float32))
    ones = emitter.constant(f"ones_{outputs}", np.ones(outputs, np.float32))
    inputs = [floats, step, bias, zeros, ones]
    last = ir.node("BatchNormalization", inputs, {"epsilon": 0.0}, name=node.name)
    replace(node, last)


def _emit_product(emitter: _Emitter, node: ir.Node, layer: DynamicLayer, source: Stored) -> None:
    weight = layer.weight.T if node.op_type == "Gemm" else layer.weight
    floats = _sums(emitter, node, weight, source)
    inputs = [floats, _step(emitter, node, layer, source)]
    if node.op_type == "MatMul":
        replace(node, ir.node("Mul", inputs, name=node.name))
        return
    name = str(node.outputs[0].name)
    bias = initializer(emitter.graph, f"{name}_bias", layer.bias)
    scaled = emitter.add("Mul", inputs, f"{name}_scaled")
    replace(node, ir.node("Add", [scaled, bias], name=node.name))


def _sums(emitter: _Emitter, node: ir.Node, weight: np.ndarray, source: Stored) -> ir.Value:
    """Multiply integers and sum up; return the sums in float."""
    name, is_conv = str(node.outputs[0].name), node.op_type == "Conv"
    plain = (weight.astype(np.int16) + _ZERO_POINT).astype(np.uint8)
    own = node.inputs[1]
    assert own is not None
    inputs = [
        source[0],
        initializer(emitter.graph, f"{own.name}_uint8", plain),
        source[2],
        emitter.constant("weight_zero_point", np.array(_ZERO_POINT, np.uint8)),
    ]
    operator = "ConvInteger" if is_conv else "MatMulInteger"
    sums = emitter.add(operator, inputs, f"{name}_sums", ir.DataType.INT32)
    producer = sums.producer()
    assert producer is not None
    for attribute in node.attributes.values() if is_conv else ():
        producer.attributes.add(attribute)
    return emitter.add("Cast", [sums], f"{name}_floats", attributes={"to": int(ir.DataType.FLOAT)})


def _step(emitter: _Emitter, node: ir.Node, layer: DynamicLayer, source: Stored) -> ir.Value:
    """Return the step of the sums, one per output channel."""
    name = str(node.outputs[0].name)
    scale = initializer(emitter.graph, f"{name}_weight_step", layer.step)
    return emitter.add("Mul", [source[1], scale], f"{name}_sums_step")
