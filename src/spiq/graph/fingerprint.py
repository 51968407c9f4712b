"""A hash of what a model computes: nodes, attributes and weights, not file layout."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Part = bytes | ir.TensorProtocol


def fingerprint(model: ir.Model) -> str:
    """Return a hash that is equal for equal networks, whatever file they came from."""
    return digest(contents(model))


def digest(parts: Iterable[Part]) -> str:
    """Return the hash of what :func:`contents` tells."""
    made = hashlib.sha256()
    for part in parts:
        made.update(part if isinstance(part, bytes) else _content(part.numpy()))
    return made.hexdigest()


def contents(model: ir.Model) -> Iterator[Part]:
    """Yield all that a model computes; its weights are not looked at."""
    for node in model.graph.all_nodes():
        names = [[value.name if value is not None else "" for value in values]
                 for values in (node.inputs, node.outputs)]  # fmt: skip
        yield repr((node.op_type, node.domain, names)).encode()
        for name, attribute in sorted(node.attributes.items()):
            if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
                continue  # its nodes and weights come in their turn
            if attribute.type == ir.AttributeType.TENSOR:
                yield name.encode()
                yield attribute.value
            else:
                yield f"{name}{attribute.value}".encode()
    for graph in model.graphs():
        for name, value in sorted(graph.initializers.items()):
            if value.const_value is not None:
                yield f"{name}{value.const_value.shape}{value.const_value.dtype}".encode()
                yield value.const_value


def _content(array: npt.NDArray[np.generic]) -> bytes | memoryview:
    if array.dtype == object:
        return repr(array.tolist()).encode()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
