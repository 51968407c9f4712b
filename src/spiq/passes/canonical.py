"""One spelling for what networks write in several ways, chosen for its integer kernel.

=============================================  ====================================
written                                        becomes
=============================================  ====================================
Pad (zeros, space only) -> Conv                Conv with these pads
ReduceMean or AveragePool over all of space    GlobalAveragePool (-> Flatten)
MatMul -> Add (rank 2), Gemm of any form       Gemm, alpha = beta = 1, transB = 1 (-> Add)
1x1 Conv on a 1x1 map -> Flatten               Flatten -> Gemm
Sum of several tensors                         Add -> Add ...
=============================================  ====================================
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass, initializer, replace, unique_name
from spiq.graph.query import (
    constant,
    dims,
    feeds_only,
    ints,
    is_constant,
    is_float32,
    rank,
    sole_consumer,
    spatial,
)
from spiq.graph.shapes import infer
from spiq.passes.cleanup import kernel_shape


def fold_pads(model: ir.Model) -> int:
    """Move zero padding of space into the convolutions that read it."""
    folded = 0
    for node in list(model.graph):
        pads = _spatial_zero_pads(node)
        if pads is None or not feeds_only(node.outputs[0], "Conv"):
            continue
        consumers = node.outputs[0].consumers()
        if any(c.attributes.get_string("auto_pad", "NOTSET") != "NOTSET" for c in consumers):
            continue
        for consumer in consumers:
            own = ints(consumer, "pads", [0] * len(pads))
            added = [a + b for a, b in zip(own, pads, strict=True)]
            consumer.attributes.add(ir.AttrInt64s("pads", added))
            consumer.replace_input_with(0, node.inputs[0])
        model.graph.remove(node, safe=True)
        folded += 1
    return folded


def _spatial_zero_pads(node: ir.Node) -> list[int] | None:
    if node.op_type != "Pad" or node.domain != "":
        return None
    if node.attributes.get_string("mode", "constant") != "constant":
        return None
    pads = constant(node.inputs[1])
    fill = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
    axes = len(node.inputs) > 3 and node.inputs[3] is not None
    if pads is None or axes or fill is None or fill.any() or pads.min() < 0:
        return None
    half = len(pads) // 2
    if half < 3 or pads[:2].any() or pads[half : half + 2].any():
        return None
    return [int(pad) for pad in (*pads[2:half], *pads[half + 2 :])]


def split_sums(model: ir.Model) -> int:
    """Write sums of several tensors as sums of two, for which an integer kernel exists."""
    changed = 0
    for node in list(model.graph):
        if node.op_type != "Sum" or node.domain != "" or not is_float32(node.outputs[0]):
            continue
        terms, name = [value for value in node.inputs if value is not None], node.name
        for index, term in enumerate(terms[1:-1]):
            part = ir.node("Add", [terms[0], term], name=f"{name}_{index}")
            part.outputs[0].name = unique_name(model.graph, f"{node.outputs[0].name}_{index}")
            part.outputs[0].type = node.outputs[0].type
            model.graph.insert_before(node, part)
            terms[0] = part.outputs[0]
        if len(terms) > 1:
            replace(node, ir.node("Add", [terms[0], terms[-1]], name=name))
        elif not bypass(node):
            continue
        changed += 1
    if changed:
        infer(model)
    return changed


def pool_means(model: ir.Model) -> int:
    """Write means over all of space as GlobalAveragePool, for which an integer kernel exists."""
    changed = 0
    for node in list(model.graph):
        if node.domain != "" or not node.inputs or rank(node.inputs[0]) != 4:
            continue
        if node.op_type == "ReduceMean" and _reduced_axes(node) == [2, 3]:
            keep = node.attributes.get_int("keepdims", 1)
            _to_global_pool(node, flatten=not keep)
        elif node.op_type == "AveragePool" and _covers_all(node):
            _to_global_pool(node, flatten=False)
        else:
            continue
        changed += 1
    return changed


def _reduced_axes(node: ir.Node) -> list[int]:
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    found = ints(node, "axes", []) if axes is None else [int(axis) for axis in axes]
    return sorted(axis % 4 for axis in found)


def _covers_all(node: ir.Node) -> bool:
    return spatial(node.inputs[0]) == kernel_shape(node) and not any(ints(node, "pads", [0]))


def _to_global_pool(node: ir.Node, *, flatten: bool) -> None:
    graph, result = node.graph, node.outputs[0]
    assert isinstance(graph, ir.Graph)
    pool = ir.node("GlobalAveragePool", [node.inputs[0]], name=node.name)
    if not flatten:
        replace(node, pool)
        return
    pooled = pool.outputs[0]
    pooled.name = unique_name(graph, f"{result.name}_pooled")
    pooled.type = result.type
    if result.shape is not None:
        pooled.shape = ir.Shape([*result.shape, 1, 1])
    graph.insert_before(node, pool)
    replace(node, ir.node("Flatten", [pooled], {"axis": 1}, name=f"{node.name}_flatten"))


def dense_heads(model: ir.Model) -> int:
    """Write a 1x1 convolution of a 1x1 map that is flattened next as Flatten and Gemm.

    An integer Gemm may end in float; an integer convolution has to round its output.
    """
    changed = 0
    for node in list(model.graph):
        if node.op_type != "Conv" or node.domain != "":
            continue
        after = sole_consumer(node.outputs[0])
        if after is None or not _is_dense(node) or not _is_flatten(after):
            continue
        graph, source, weight = model.graph, node.inputs[0], constant(node.inputs[1])
        assert source is not None and weight is not None
        flat = ir.Value(name=unique_name(graph, f"{source.name}_flat"), type=source.type)
        if source.shape is not None:
            flat.shape = ir.Shape(list(source.shape)[:2])
        rows = initializer(graph, _named(node.inputs[1], "_2d"), weight.reshape(weight.shape[:2]))
        inputs = [flat, rows, *([node.inputs[2]] if len(node.inputs) > 2 else [])]
        flatten = ir.node("Flatten", [source], {"axis": 1}, outputs=[flat], name=after.name)
        graph.insert_before(after, flatten)
        replace(after, ir.node("Gemm", inputs, {"transB": 1}, name=node.name))
        graph.remove(node, safe=True)
        changed += 1
    return changed


def _is_dense(node: ir.Node) -> bool:
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    on_point = spatial(node.inputs[0]) == [1, 1] or (
        producer is not None and producer.op_type == "GlobalAveragePool" and producer.domain == ""
    )
    return (
        on_point
        and is_constant(node.inputs[1])
        and set(kernel_shape(node)) == {1}
        and node.attributes.get_int("group", 1) == 1
        and not any(ints(node, "pads", [0]))
    )


def _is_flatten(node: ir.Node) -> bool:
    if node.domain != "":
        return False
    if node.op_type == "Flatten":
        return node.attributes.get_int("axis", 1) == 1
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    if before is None or after is None or node.op_type not in ("Reshape", "Squeeze"):
        return False
    return after[1:] == before[1:2] and None not in after[1:]


def canonical_gemm(model: ir.Model) -> int:
    """Give every Gemm with a constant weight the form x W^T + b; join MatMul and Add into one."""
    changed = 0
    for node in list(model.graph):
        if node.domain != "" or len(node.inputs) < 2 or rank(node.inputs[0]) != 2:
            continue
        weight = constant(node.inputs[1])
        if weight is None or weight.ndim != 2:
            continue
        if node.op_type == "MatMul":
            changed += _join_matmul_add(node, weight)
        elif node.op_type == "Gemm" and not node.attributes.get_int("transA", 0):
            changed += _normalise_gemm(node, weight)
    return changed


def _join_matmul_add(node: ir.Node, weight: np.ndarray) -> bool:
    graph, add = node.graph, sole_consumer(node.outputs[0])
    assert isinstance(graph, ir.Graph)
    if add is None or add.op_type != "Add" or add.domain != "":
        return False
    other = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
    bias = constant(other)
    if bias is None or not _is_per_output(bias, weight.shape[1]):
        return False
    assert other is not None
    rows = initializer(graph, _named(node.inputs[1], "_t"), weight.T)
    full = np.broadcast_to(bias.reshape(-1), weight.shape[1]).copy()
    shift = initializer(graph, _named(other, "_b"), full)
    replace(add, ir.node("Gemm", [node.inputs[0], rows, shift], {"transB": 1}, name=node.name))
    graph.remove(node, safe=True)
    return True


def _named(value: ir.Value | None, ending: str) -> str:
    """Return a name that says which constant the new one comes from."""
    assert value is not None
    return f"{value.name}{ending}"


def _is_per_output(bias: np.ndarray, outputs: int) -> bool:
    """Return whether a bias of a matrix (N, outputs) varies with the output alone.

    A mask, which may be infinite, is none.
    """
    if not np.isfinite(bias).all():
        return False
    return bias.ndim <= 2 and (bias.size == 1 or bias.size == bias.shape[-1] == outputs)


def _normalise_gemm(node: ir.Node, weight: np.ndarray) -> bool:
    alpha = node.attributes.get_float("alpha", 1.0)
    beta = node.attributes.get_float("beta", 1.0)
    transposed = node.attributes.get_int("transB", 0)
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    rows = weight if transposed else weight.T
    if alpha == beta == 1 and transposed and (bias is None or bias.shape == (len(rows),)):
        return False
    if len(node.inputs) > 2 and node.inputs[2] is not None and bias is None:
        return False
    if bias is not None and not _is_per_output(bias, len(rows)):
        shift = (beta * bias.astype(np.float64)).astype(bias.dtype)
        _normalise_gemm(_bias_apart(node, shift), weight)
        return True
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    scaled = (alpha * rows.astype(np.float64)).astype(weight.dtype)
    inputs = [node.inputs[0], initializer(graph, _named(node.inputs[1], "_t"), scaled)]
    if bias is not None:
        full = np.broadcast_to(beta * bias.astype(np.float64).reshape(-1), len(rows)).astype(
            weight.dtype
        )
        inputs.append(initializer(graph, _named(node.inputs[2], "_b"), full))
    replace(node, ir.node("Gemm", inputs, {"transB": 1}, name=node.name))
    return True


def _bias_apart(node: ir.Node, bias: np.ndarray) -> ir.Node:
    """Add a bias that differs from row to row behind the Gemm; return the Gemm without it."""
    graph, result = node.graph, node.outputs[0]
    assert isinstance(graph, ir.Graph)
    product = ir.node("Gemm", node.inputs[:2], name=node.name)
    for name in ("alpha", "transB"):
        if name in node.attributes:
            product.attributes.add(node.attributes[name])
    made = product.outputs[0]
    made.name = unique_name(graph, f"{result.name}_product")
    made.type, made.shape = result.type, result.shape
    shift = initializer(graph, _named(node.inputs[2], "_b"), bias)
    graph.insert_before(node, product)
    replace(node, ir.node("Add", [made, shift], name=f"{node.name}_bias"))
    return product
