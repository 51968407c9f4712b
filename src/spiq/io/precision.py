"""Networks whose layers compute in double precision or bfloat16, read as networks of float32.

float32 holds every number of bfloat16, and enough of double for a network that is to end on 8 bits;
the runtime has no convolution for either. Inputs and outputs become float32, too, and so do Casts
between the two, which then do nothing. Half precision, which the runtime has, is for
:mod:`spiq.passes.single`.
"""

from collections.abc import Iterator

import onnx_ir as ir

from spiq.graph.query import weight_nodes
from spiq.graph.widened import widened

_NOTE = "spiq.precision"
"""Key under which a graph keeps the type that its layers had."""

_OTHERS = frozenset({ir.DataType.BFLOAT16, ir.DataType.DOUBLE})


def widen(model: ir.Model) -> None:
    """Make a network of float32 of one whose layers compute in another precision, in place."""
    found = {
        node.inputs[1].dtype
        for node in weight_nodes(model.graph)
        if len(node.inputs) > 1 and node.inputs[1] is not None
    } & _OTHERS
    if not found or any(isinstance(t, ir.LazyTensor) for t in _tensors(model)):
        return
    widened(model, found)
    model.meta[_NOTE] = " and ".join(sorted(kind.name.lower() for kind in found if kind))


def widened_from(model: ir.Model) -> str | None:
    """Return the precision that a network's layers had in its file, if it was another one."""
    return model.meta.get(_NOTE)


def _tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for graph in model.graphs():
        yield from (v.const_value for v in graph.initializers.values() if v.const_value is not None)
