"""Leave out conversions of what was only moved, for runtimes that carry grids along by themselves.

    DequantizeLinear -> Reshape -> QuantizeLinear -> DequantizeLinear -> Transpose ...
    DequantizeLinear -> Reshape -> Transpose ...

Numbers that an operator moves, or takes the largest of, are on the grid that they were on, so to
store them on it once more changes nothing. ONNX Runtime wants it all the same: it makes an integer
kernel of what it finds between both conversions. OpenVINO makes one of a shuffle of channels
(Reshape, Transpose, Reshape) only where nothing lies between.
"""

from collections.abc import Collection

import onnx_ir as ir

from spiq.graph.query import data_inputs

_Grid = tuple[ir.Value | None, ...]
"""Scale and zero point."""


def carry_grids(graph: ir.Graph, carried: Collection[str]) -> None:
    """Leave out the conversions behind operators of these types, in place."""
    on: dict[ir.Value, _Grid] = {}
    for node in list(graph):
        if node.op_type == "DequantizeLinear":
            on[node.outputs[0]] = tuple(node.inputs[1:])
        elif node.op_type in carried and node.domain == "":
            grids = {on.get(value) for value in data_inputs(node)}
            if len(grids) == 1 and (grid := grids.pop()) is not None:
                for value in node.outputs:
                    on[_unconverted(graph, value, grid)] = grid


def _unconverted(graph: ir.Graph, value: ir.Value, grid: _Grid) -> ir.Value:
    """Let what reads a tensor behind its conversions read the tensor; it takes their name."""
    for stored in value.consumers():
        if stored.op_type != "QuantizeLinear" or tuple(stored.inputs[1:]) != grid:
            continue
        for back in stored.outputs[0].consumers():
            result = back.outputs[0]
            if back.op_type != "DequantizeLinear" or result.is_graph_output():
                continue
            if tuple(back.inputs[1:]) == grid and not value.is_graph_output():
                result.replace_all_uses_with(value)
                name, result.name = result.name, None
                graph.remove(back, safe=True)
                value.name = name
        if not stored.outputs[0].uses() and not stored.outputs[0].is_graph_output():
            graph.remove(stored, safe=True)
    return value
