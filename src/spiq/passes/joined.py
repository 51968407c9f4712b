"""A BatchNormalization or a ReLU of what layers make side by side: one behind each.

    BN(Concat(W1 x1, W2 x2))    is    Concat(BN1(W1 x1), BN2(W2 x2)),

each with its own channels' parameters, as MixNets have convolutions of several sizes. Each then
folds into its layer, where the one behind the Concat would be a kernel of its own; and so do ReLUs
and Clips.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass, initializer, unique_name
from spiq.graph.query import constant, data_inputs, dims, sole_consumer
from spiq.passes.layer_weights import can_take_rows


def norms_of_parts(model: ir.Model) -> int:
    """Split in place; return how many BatchNormalizations were."""
    split = 0
    for node in list(model.graph):
        joint = node.inputs[0].producer() if _is_norm(node) and node.inputs[0] else None
        if joint is None or not _joins_layers(joint) or sole_consumer(joint.outputs[0]) is not node:
            continue
        sizes = [(dims(value) or [None, None])[1] for value in joint.inputs]
        known = [size for size in sizes if size is not None]
        shares = _shares(node, known) if len(known) == len(sizes) else None
        if shares is not None and bypass(node):
            _norm_parts(joint, shares, str(node.name), node.attributes.get_float("epsilon", 1e-5))
            split += 1
    return split


def bounds_of_parts(model: ir.Model) -> int:
    """Put ReLUs and Clips behind the parts instead, in place; return how many were."""
    split = 0
    for node in list(model.graph):
        bounds = node.op_type in ("Clip", "Relu") and len(data_inputs(node)) == 1
        joint = node.inputs[0].producer() if bounds and node.inputs[0] is not None else None
        if joint is None or sole_consumer(joint.outputs[0]) is not node or not _joins_layers(joint):
            continue
        kind, name, given = node.op_type, str(node.name), list(node.inputs[1:])
        if bypass(node):
            for place in range(len(joint.inputs)):
                _insert(
                    joint,
                    place,
                    ir.node(kind, [joint.inputs[place], *given], name=f"{name}_{place}"),
                )
            split += 1
    return split


def _is_norm(node: ir.Node) -> bool:
    held = [constant(value) for value in node.inputs[1:5]]
    return (
        node.op_type == "BatchNormalization"
        and node.domain == ""
        and len(node.outputs) == 1
        and all(array is not None for array in held)
    )


def _joins_layers(node: ir.Node) -> bool:
    """Return whether a node puts channels together that layers make for it alone."""
    if node.op_type != "Concat" or node.domain != "" or node.attributes.get_int("axis") != 1:
        return False
    values = [value for value in node.inputs if value is not None]
    if len({*values}) < len(values) or any(sole_consumer(value) is not node for value in values):
        return False
    return all(can_take_rows(_without_norm(value.producer())) for value in values)


def _without_norm(node: ir.Node | None) -> ir.Node | None:
    """Return the node in front of BatchNormalizations, or the node."""
    while node is not None and node.op_type == "BatchNormalization" and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node


def _shares(norm: ir.Node, sizes: list[int]) -> list[list[np.ndarray]]:
    """Return the parameters of each part of what is normalized."""
    ends = np.cumsum(sizes)[:-1].tolist()
    held = [np.asarray(constant(value)) for value in norm.inputs[1:5]]
    return [list(share) for share in zip(*(np.split(array, ends) for array in held), strict=True)]


def _norm_parts(joint: ir.Node, shares: list[list[np.ndarray]], name: str, epsilon: float) -> None:
    """Normalize each part of a Concat with its share of the parameters."""
    assert isinstance(joint.graph, ir.Graph)
    for place, share in enumerate(shares):
        own = f"{name}_{place}"
        given = [initializer(joint.graph, f"{own}_{at}", array) for at, array in enumerate(share)]
        inputs = [joint.inputs[place], *given]
        norm = ir.node("BatchNormalization", inputs, {"epsilon": epsilon}, name=own)
        _insert(joint, place, norm)


def _insert(joint: ir.Node, place: int, node: ir.Node) -> None:
    """Put a node that keeps its input's shape between a Concat and one of its inputs."""
    graph, value = joint.graph, joint.inputs[place]
    assert isinstance(graph, ir.Graph) and value is not None
    result = node.outputs[0]
    result.name = unique_name(graph, f"{value.name}_{node.op_type.lower()}")
    result.shape, result.type = value.shape, value.type
    graph.insert_before(joint, node)
    joint.replace_input_with(place, result)
