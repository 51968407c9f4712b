"""Constants of sums, products and the like on integers: one asymmetric grid of 8 bits each.

Where a target takes integers alone, the operands that are constants have to be some, too:

    c  ->  DequantizeLinear(q, s, z),    s = (max(c, 0) - min(c, 0)) / 255,  z = -min(c, 0) / s
"""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.edit import initializer, unique_name
from spiq.graph.query import constant

_OPERATORS = frozenset({"Add", "Div", "Max", "Min", "Mul", "PRelu", "Sub"})


def store_constants(graph: ir.Graph) -> int:
    """Store the constant operands of operators in place; return how many."""
    stored: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        if node.op_type not in _OPERATORS or node.domain != "":
            continue
        for index, value in enumerate(node.inputs):
            array = constant(value)
            if value is None or array is None or array.dtype != np.float32 or not array.size:
                continue
            if value not in stored:
                stored[value] = _read_back(graph, node, value, array)
            node.replace_input_with(index, stored[value])
    return len(stored)


def _read_back(
    graph: ir.Graph, before: ir.Node, value: ir.Value, array: npt.NDArray[np.generic]
) -> ir.Value:
    floats = array.astype(np.float64)
    low, high = min(floats.min(), 0.0), max(floats.max(), 0.0)
    step = np.float32(max((high - low) / 255, 1e-30))
    zero = round(-low / float(step))
    integers = np.clip(np.rint(floats / step) + zero, 0, 255)

    name = str(value.name)
    inputs = [
        initializer(graph, f"{name}_uint8", integers.astype(np.uint8)),
        initializer(graph, f"{name}_scale", np.asarray(step)),
        initializer(graph, f"{name}_zero_point", np.array(zero, np.uint8)),
    ]
    output = ir.Value(
        name=unique_name(graph, f"{name}_dequantized"),
        type=ir.TensorType(ir.DataType.FLOAT),
        shape=value.shape,
    )
    back = ir.node("DequantizeLinear", inputs, outputs=[output], name=output.name)
    graph.insert_before(before, back)
    return output
