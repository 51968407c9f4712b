"""Networks of another precision as networks of float32: weights, results, and what names types."""

from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir

TYPE_NAMES = ("dtype", "output_dtype", "to")
"""Attributes that name the type of a result."""


def widened(
    model: ir.Model, kinds: Collection[ir.DataType | None], keep: Collection[ir.Value] = frozenset()
) -> None:
    """Make what is of some types float32, in place, in all graphs of a network.

    Args:
        model: The network.
        kinds: The types.
        keep: What keeps its type, and what it holds.
    """
    for value in _values(model):
        if value in keep:
            continue
        if value.dtype in kinds:
            value.dtype = ir.DataType.FLOAT
        if value.const_value is not None and value.const_value.dtype in kinds:
            value.const_value = _single(value.const_value)
    for node in model.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            node.attributes[name] = _attribute(attribute, kinds)


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.inputs
        yield from graph.initializers.values()
        for node in graph:
            yield from node.outputs


def _single(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    array = np.asarray(tensor.numpy(), np.float32)
    array.flags.writeable = False
    return ir.Tensor(array, name=tensor.name)


def _attribute(attribute: ir.Attr, kinds: Collection[ir.DataType | None]) -> ir.Attr:
    if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in kinds:
        return ir.AttrTensor(attribute.name, _single(attribute.value))
    names_one = attribute.type == ir.AttributeType.INT and attribute.name in TYPE_NAMES
    if names_one and ir.DataType(attribute.as_int()) in kinds:
        return ir.AttrInt64(attribute.name, int(ir.DataType.FLOAT))
    return attribute
