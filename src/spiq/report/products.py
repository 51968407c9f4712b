"""What products of two tensors cost: the rounding of both operands, which is nobody else's.

The planner charges it to the layers that write the operands where no layer reads them. That serves
where what is to be in float is weighed, but a reader who keeps the writer in float gains nothing:
the operand is rounded all the same, since the product reads integers. So here

    cost(product) = sum over operands of what storing the operand costs
    cost(writer) = what it cost, without that
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import onnx_ir as ir

from spiq.graph.query import data_inputs
from spiq.planning.errors.expected import Expected
from spiq.planning.placement.values import ROUNDS, Placement, is_layer, is_product


def operands(placement: Placement, rounded: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the tensors that are rounded for each product on integers alone, by its name.

    Args:
        placement: What goes together.
        rounded: Names of the stored tensors that are rounded as they are stored.
    """
    found = {}
    for node in placement.integer:
        if is_product(node):
            values = (_rounded(value, rounded) for value in data_inputs(node))
            own = [value for value in values if value is not None and not _by_layers(value)]
            found[str(node.name)] = tuple(dict.fromkeys(str(value.name) for value in own))
    return found


def charged(
    expected: Expected, placement: Placement, products: Mapping[str, tuple[str, ...]]
) -> Expected:
    """Return what is expected, where layers that write operands answer no more for these."""
    names = {name for each in products.values() for name in each}
    layers = dict(expected.layers)
    for node in placement.integer:
        written = placement.stored_output(node.outputs[0]) if is_layer(node) else None
        if written is not None and written.name in names and node.name in layers:
            own = layers[str(node.name)]
            less = max(own.activations - expected.tensors[str(written.name)], 0.0)
            layers[str(node.name)] = replace(own, activations=less)
    return replace(expected, layers=layers)


def and_before(value: ir.Value | None) -> Iterator[ir.Value]:
    """Yield a tensor, and those that it is nothing but another form of."""
    while value is not None:
        yield value
        node = value.producer()
        before = data_inputs(node) if node is not None and node.op_type not in ROUNDS else []
        value = before[0] if len(before) == 1 else None


def _rounded(value: ir.Value, rounded: Collection[str]) -> ir.Value | None:
    return next((each for each in and_before(value) if each.name in rounded), None)


def _by_layers(value: ir.Value) -> bool:
    return any(is_layer(node) for node in value.consumers())
