"""One spelling for what networks write in several ways, chosen for its integer kernel.

=============================================  ====================================
written                                        becomes
=============================================  ====================================
ReduceMean or AveragePool over all of space    GlobalAveragePool (-> Flatten)
1x1 Conv on a 1x1 map -> Flatten               Flatten -> Gemm
Sum of several tensors                         Add -> Add ...
=============================================  ====================================
"""

import onnx_ir as ir

from spiq.graph.edit import bypass, initializer, named_after, replace, unique_name
from spiq.graph.lazy import Weight
from spiq.graph.lazy import changed as made_of
from spiq.graph.query import (
    constant,
    dims,
    ints,
    is_constant,
    is_float32,
    rank,
    sole_consumer,
    spatial,
    stored_shape,
)
from spiq.graph.shapes import infer
from spiq.passes.cleanup import kernel_shape


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
        graph, source, weight = model.graph, node.inputs[0], node.inputs[1]
        assert source is not None and weight is not None
        size = stored_shape(weight)[:2]
        flat = ir.Value(name=unique_name(graph, f"{source.name}_flat"), type=source.type)
        if source.shape is not None:
            flat.shape = ir.Shape(list(source.shape)[:2])
        flat_rows = made_of(weight, _matrix, size)
        rows = initializer(graph, named_after(weight, "_2d"), flat_rows)
        inputs = [flat, rows, *([node.inputs[2]] if len(node.inputs) > 2 else [])]
        flatten = ir.node("Flatten", [source], {"axis": 1}, outputs=[flat], name=after.name)
        graph.insert_before(after, flatten)
        replace(after, ir.node("Gemm", inputs, {"transB": 1}, name=node.name))
        graph.remove(node, safe=True)
        changed += 1
    return changed


def _matrix(kernel: Weight) -> Weight:
    """Return a kernel of one place, (out, in, 1...), as (out, in)."""
    return kernel.reshape(kernel.shape[:2])


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
