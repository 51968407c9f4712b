"""One spelling for layers on rows of numbers: Gemm, alpha = beta = 1, transB = 1.

=========================================  =========================================
written                                    becomes
=========================================  =========================================
MatMul, or with Add of one per output      Gemm
alpha W, beta b, W transposed or not       Gemm on other constants
transA                                     Transpose -> Gemm
any other C, constant or computed          Gemm -> Add, a Mul by beta in front of it
=========================================  =========================================
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, named_after, replace, unique_name
from spiq.graph.lazy import Later, changed
from spiq.graph.query import constant, is_constant, rank, sole_consumer, stored_dtype, stored_shape


def canonical_gemm(model: ir.Model) -> int:
    """Give every Gemm and MatMul of a constant weight the form x W^T + b."""
    count = 0
    for node in list(model.graph):
        if node.domain != "" or len(node.inputs) < 2 or rank(node.inputs[0]) != 2:
            continue
        if not is_constant(node.inputs[1]) or len(stored_shape(node.inputs[1])) != 2:
            continue
        if node.op_type == "MatMul":
            count += _matmul_as_gemm(node)
        elif node.op_type == "Gemm":
            upright = _upright(node)
            plain = _bias_apart(upright) if _has_other_bias(upright) else upright
            count += _normalise_gemm(plain) or plain is not node
    return count


def _upright(node: ir.Node) -> ir.Node:
    """Turn what a Gemm reads transposed in front of it; return the Gemm that reads it as it is."""
    graph, source = node.graph, node.inputs[0]
    assert isinstance(graph, ir.Graph) and source is not None
    if not node.attributes.get_int("transA", 0):
        return node
    turn = ir.node("Transpose", [source], {"perm": [1, 0]}, name=f"{node.name}_turned")
    turned = turn.outputs[0]
    turned.name, turned.type = unique_name(graph, f"{source.name}_turned"), source.type
    if source.shape is not None:
        turned.shape = ir.Shape([source.shape[1], source.shape[0]])
    graph.insert_before(node, turn)
    node.replace_input_with(0, turned)
    del node.attributes["transA"]
    return node


def _has_other_bias(node: ir.Node) -> bool:
    """Return whether a Gemm adds something else than one constant per output."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(value)
    outputs = stored_shape(node.inputs[1])[0 if node.attributes.get_int("transB", 0) else 1]
    return value is not None and (bias is None or not is_per_output(bias, outputs))


def _matmul_as_gemm(node: ir.Node) -> bool:
    """Write a MatMul, and the Add of one constant per output behind it, as one Gemm."""
    graph, result, outputs = node.graph, node.outputs[0], stored_shape(node.inputs[1])[1]
    assert isinstance(graph, ir.Graph)
    rows = initializer(graph, named_after(node.inputs[1], "_t"), turned(node.inputs[1]))
    add = sole_consumer(result)
    other = added(add, result) if add is not None else None
    bias = constant(other)
    if add is None or other is None or bias is None or not is_per_output(bias, outputs):
        return _to_gemm(node, node.name, [node.inputs[0], rows])
    full = np.broadcast_to(bias.reshape(-1), outputs).copy()
    shift = initializer(graph, named_after(other, "_b"), full)
    _to_gemm(add, node.name, [node.inputs[0], rows, shift])
    graph.remove(node, safe=True)
    return True


def turned(value: ir.Value | None) -> np.ndarray | Later:
    """Return a constant matrix, transposed."""
    return changed(value, np.transpose, stored_shape(value)[::-1])


def added(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """Return what ``node`` adds to ``value``; None where it is no Add."""
    if node.op_type != "Add" or node.domain != "":
        return None
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def _to_gemm(node: ir.Node, name: str | None, inputs: list[ir.Value | None]) -> bool:
    replace(node, ir.node("Gemm", inputs, {"transB": 1}, name=name))
    return True


def is_per_output(bias: np.ndarray, outputs: int) -> bool:
    """Return whether a bias of a matrix (N, outputs) varies with the output alone.

    A mask, which may be infinite, is none.
    """
    if not np.isfinite(bias).all():
        return False
    return bias.ndim <= 2 and (bias.size == 1 or bias.size == bias.shape[-1] == outputs)


def _normalise_gemm(node: ir.Node) -> bool:
    alpha = node.attributes.get_float("alpha", 1.0)
    beta = node.attributes.get_float("beta", 1.0)
    transposed = node.attributes.get_int("transB", 0)
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    shape = stored_shape(node.inputs[1])[:: 1 if transposed else -1]
    if alpha == beta == 1 and transposed and (bias is None or bias.shape == shape[:1]):
        return False
    graph = node.graph
    assert isinstance(graph, ir.Graph)

    def rows(weight: np.ndarray) -> np.ndarray:
        upright = weight if transposed else weight.T
        return upright if alpha == 1 else (alpha * upright.astype(np.float64)).astype(weight.dtype)

    scaled = changed(node.inputs[1], rows, shape)
    inputs = [node.inputs[0], initializer(graph, named_after(node.inputs[1], "_t"), scaled)]
    if bias is not None:
        wide = np.broadcast_to(beta * bias.astype(np.float64).reshape(-1), shape[0])
        full = wide.astype(stored_dtype(node.inputs[1]).numpy())
        inputs.append(initializer(graph, named_after(node.inputs[2], "_b"), full))
    return _to_gemm(node, node.name, inputs)


def _bias_apart(node: ir.Node) -> ir.Node:
    """Add a bias that is no constant per output behind the Gemm; return the Gemm without it."""
    graph, result, bias = node.graph, node.outputs[0], node.inputs[2]
    assert isinstance(graph, ir.Graph) and bias is not None
    product = ir.node("Gemm", node.inputs[:2], name=node.name)
    for name in ("alpha", "transB"):
        if name in node.attributes:
            product.attributes.add(node.attributes[name])
    made = product.outputs[0]
    made.name = unique_name(graph, f"{result.name}_product")
    made.type, made.shape = result.type, result.shape
    graph.insert_before(node, product)
    shift = _times(node, bias, node.attributes.get_float("beta", 1.0))
    replace(node, ir.node("Add", [made, shift], name=f"{node.name}_bias"))
    return product


def _times(node: ir.Node, value: ir.Value, factor: float) -> ir.Value:
    """Return ``factor`` times ``value``, computed in front of ``node`` if it is no constant."""
    graph, array = node.graph, constant(value)
    assert isinstance(graph, ir.Graph)
    if factor == 1:
        return value
    if array is not None:
        scaled = (factor * array.astype(np.float64)).astype(array.dtype)
        return initializer(graph, named_after(value, "_b"), scaled)
    assert value.dtype is not None
    by = initializer(graph, named_after(value, "_beta"), np.array(factor, value.dtype.numpy()))
    step = ir.node("Mul", [value, by], name=f"{node.name}_beta")
    made = step.outputs[0]
    made.name = unique_name(graph, f"{value.name}_scaled")
    made.type, made.shape = value.type, value.shape
    graph.insert_before(node, step)
    return made
