"""A hash of what a model computes: nodes, attributes and weights, not file layout."""

import hashlib

import numpy as np
import onnx_ir as ir


def fingerprint(model: ir.Model) -> str:
    """Return a hash that is equal for equal networks, whatever file they came from."""
    digest = hashlib.sha256()
    for node in model.graph.all_nodes():
        attributes = sorted(
            (name, str(attribute.value)) for name, attribute in node.attributes.items()
        )
        names = [[value.name if value is not None else "" for value in values]
                 for values in (node.inputs, node.outputs)]  # fmt: skip
        digest.update(repr((node.op_type, node.domain, names, attributes)).encode())
    for name, value in sorted(model.graph.initializers.items()):
        if value.const_value is not None:
            digest.update(f"{name}{value.const_value.shape}{value.const_value.dtype}".encode())
            digest.update(np.ascontiguousarray(value.const_value.numpy()).data.cast("B"))
    return digest.hexdigest()
