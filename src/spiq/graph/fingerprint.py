"""A hash of what a model computes: nodes, attributes and weights, not file layout."""

import hashlib

import numpy as np
import numpy.typing as npt
import onnx_ir as ir


def fingerprint(model: ir.Model) -> str:
    """Return a hash that is equal for equal networks, whatever file they came from."""
    digest = hashlib.sha256()
    for node in model.graph.all_nodes():
        names = [[value.name if value is not None else "" for value in values]
                 for values in (node.inputs, node.outputs)]  # fmt: skip
        digest.update(repr((node.op_type, node.domain, names)).encode())
        for name, attribute in sorted(node.attributes.items()):
            if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
                continue  # its nodes and weights come in their turn
            if attribute.type == ir.AttributeType.TENSOR:
                digest.update(name.encode())
                digest.update(_content(attribute.value.numpy()))
            else:
                digest.update(f"{name}{attribute.value}".encode())
    for graph in model.graphs():
        for name, value in sorted(graph.initializers.items()):
            if value.const_value is not None:
                digest.update(f"{name}{value.const_value.shape}{value.const_value.dtype}".encode())
                digest.update(_content(value.const_value.numpy()))
    return digest.hexdigest()


def _content(array: npt.NDArray[np.generic]) -> bytes | memoryview:
    if array.dtype == object:
        return repr(array.tolist()).encode()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
