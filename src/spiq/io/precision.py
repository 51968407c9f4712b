"""Networks whose layers compute in double precision or bfloat16, read as networks of float32.

float32 holds every number of bfloat16, and enough of double for a network that is to end on 8 bits;
the runtime has no convolution for either. Inputs and outputs become float32, too, and so do Casts
between the two, which then do nothing. Half precision, which the runtime has, is for
:mod:`spiq.passes.single`.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from spiq.graph.query import weight_nodes

_NOTE = "spiq.precision"
"""Key under which a graph keeps the type that its layers had."""

_OTHERS = frozenset({ir.DataType.BFLOAT16, ir.DataType.DOUBLE})
_TYPES = ("dtype", "to")
"""Attributes that name the type of a result."""


def widen(model: ir.Model) -> None:
    """Make a network of float32 of one whose layers compute in another precision, in place."""
    found = {
        node.inputs[1].dtype
        for node in weight_nodes(model.graph)
        if len(node.inputs) > 1 and node.inputs[1] is not None
    } & _OTHERS
    if not found or any(isinstance(t, ir.LazyTensor) for t in _tensors(model)):
        return
    for value in _values(model):
        if value.dtype in found:
            value.dtype = ir.DataType.FLOAT
        if value.const_value is not None and value.const_value.dtype in found:
            value.const_value = _widened(value.const_value)
    for node in model.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            node.attributes[name] = _attribute(attribute, found)
    model.meta[_NOTE] = " and ".join(sorted(kind.name.lower() for kind in found if kind))


def widened_from(model: ir.Model) -> str | None:
    """Return the precision that a network's layers had in its file, if it was another one."""
    return model.meta.get(_NOTE)


def _tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for graph in model.graphs():
        yield from (v.const_value for v in graph.initializers.values() if v.const_value is not None)


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.inputs
        yield from graph.initializers.values()
        for node in graph:
            yield from node.outputs


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    array = np.asarray(tensor.numpy(), np.float32)
    array.flags.writeable = False
    return ir.Tensor(array, name=tensor.name)


def _attribute(attribute: ir.Attr, found: set[ir.DataType | None]) -> ir.Attr:
    if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in found:
        return ir.AttrTensor(attribute.name, _widened(attribute.value))
    names_one = attribute.type == ir.AttributeType.INT and attribute.name in _TYPES
    if names_one and ir.DataType(attribute.as_int()) in found:
        return ir.AttrInt64(attribute.name, int(ir.DataType.FLOAT))
    return attribute
