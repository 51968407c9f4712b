"""What stays in float as half precision, for runtimes that compute in the types that a graph has.

    x float32 | QuantizeLinear | int8 | DequantizeLinear | half ... half | Cast | y float32

Scales are half as well, since that is what makes the result of a DequantizeLinear half (ONNX from
opset 19 on). Inputs and outputs stay as they were: a Cast stands behind each and in front, save
where an input is stored as integers at once, which is exact in single precision. Whether an
operator takes half precision says ONNX's schema; what does not, and what has graphs of its own, is
computed in single between two Casts.

Numbers beyond 65504 (masks of -1e9) end there, and what is too small to be told from 0, as an
epsilon that is added in front of a division, is the least number that can.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from spiq.graph.edit import initializer, unique_name
from spiq.graph.query import constant
from spiq.graph.widened import TYPE_NAMES
from spiq.passes.single import cast_before_output

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT


def floats_as_half(graph: ir.Graph) -> None:
    """Let all that a network computes in single precision be half, in place."""
    halving = _Halving(graph)
    for node in list(graph):
        if _is_stored_at_once(node):
            _round_scale(graph, node)
        elif _has_graphs(node):
            halving.keep_single(node)
        else:
            halving.convert(node)
    for index, value in enumerate(graph.outputs):
        if value.dtype == _HALF and value in halving.made:
            cast_before_output(graph, index, inside=_HALF, outside=_SINGLE)


def nearest_half(array: npt.NDArray[np.generic]) -> npt.NDArray[np.float16]:
    """Return numbers as half precision: no finite one becomes infinite, and none but 0 becomes 0.

    >>> nearest_half(np.array([0.1, -1e9, 1e-12, 0.0])).tolist()
    [0.0999755859375, -65504.0, 5.960464477539063e-08, 0.0]
    """
    limit, least = np.finfo(np.float16).max, np.finfo(np.float16).smallest_subnormal
    wide = np.asarray(array, np.float64)
    bounded = np.where(np.isfinite(wide), np.clip(wide, -limit, limit), wide)
    small = (bounded != 0) & (np.abs(bounded) < least)
    return np.where(small, np.copysign(least, bounded), bounded).astype(np.float16)


def _is_stored_at_once(node: ir.Node) -> bool:
    """Return whether a node makes integers of an input of the network."""
    source = node.inputs[0] if node.inputs else None
    return node.op_type == "QuantizeLinear" and source is not None and source.is_graph_input()


def _round_scale(graph: ir.Graph, node: ir.Node) -> None:
    """Give a conversion the scale that those back from its integers have."""
    scale = constant(node.inputs[1])
    if scale is not None:
        rounded = nearest_half(scale).astype(np.float32)
        node.replace_input_with(1, initializer(graph, f"{node.inputs[1].name}_single", rounded))  # type: ignore[union-attr]


def _has_graphs(node: ir.Node) -> bool:
    kinds = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(attribute.type in kinds for attribute in node.attributes.values())


@dataclass
class _Halving:
    """A graph on the way to half precision.

    Attributes:
        graph: The graph.
        made: Its results that are half now.
        others: For a value that is read in both precisions, the other one.
    """

    graph: ir.Graph
    made: set[ir.Value] = field(default_factory=set)
    others: dict[ir.Value, ir.Value] = field(default_factory=dict)

    def convert(self, node: ir.Node) -> None:
        """Let a node read and write half precision where its schema has that."""
        takes, gives = _of_schema(node, self.graph.opset_imports.get("", 1))
        for index, value in enumerate(node.inputs):
            if value is not None:
                self._read(node, index, value, _HALF if takes(index) else _SINGLE)
        for index, value in enumerate(node.outputs):
            if value.dtype == _SINGLE and gives(index):
                value.dtype = _HALF
                self.made.add(value)
        for name, attribute in list(node.attributes.items()):
            node.attributes[name] = _renamed(attribute)

    def keep_single(self, node: ir.Node) -> None:
        """Let a node with graphs of its own, and these, read single precision."""
        for reader in (node, *_inside(node)):
            for index, value in enumerate(reader.inputs):
                if value is not None:
                    self._read(reader, index, value, _SINGLE)

    def _read(self, node: ir.Node, index: int, value: ir.Value, kind: ir.DataType) -> None:
        if {value.dtype, kind} == {_SINGLE, _HALF}:
            node.replace_input_with(index, self._other(value, kind))

    def _other(self, value: ir.Value, kind: ir.DataType) -> ir.Value:
        if value not in self.others:
            name = f"{value.name}_{'half' if kind == _HALF else 'single'}"
            array = constant(value)
            made = self._cast(value, name, kind) if array is None else self._rounded(name, array)
            self.others[value] = made
        return self.others[value]

    def _rounded(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        return initializer(self.graph, name, nearest_half(array))

    def _cast(self, value: ir.Value, name: str, kind: ir.DataType) -> ir.Value:
        name, producer = unique_name(self.graph, name), value.producer()
        made = ir.Value(name=name, type=ir.TensorType(kind), shape=value.shape)
        cast = ir.node("Cast", [value], {"to": int(kind)}, outputs=[made], name=name)
        if producer is None:
            self.graph.insert_before(next(iter(self.graph)), cast)
        else:
            self.graph.insert_after(producer, cast)
        return made


def _inside(node: ir.Node) -> Iterator[ir.Node]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield from attribute.as_graph().all_nodes()
        elif attribute.type == ir.AttributeType.GRAPHS:
            for graph in attribute.as_graphs():
                yield from graph.all_nodes()


def _of_schema(node: ir.Node, opset: int) -> tuple[Callable[[int], bool], Callable[[int], bool]]:
    """Return whether a node's inputs, and its outputs, may be half precision, by their number."""
    formals: list[list[onnx.defs.OpSchema.FormalParameter]] = [[], []]
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
        formals = [list(schema.inputs), list(schema.outputs)]
    except onnx.defs.SchemaError:
        pass  # of somebody's own: it goes on as it was

    def may(side: int, index: int) -> bool:
        known = formals[side]
        return bool(known) and "tensor(float16)" in known[min(index, len(known) - 1)].types

    return partial(may, 0), partial(may, 1)


def _renamed(attribute: ir.Attr) -> ir.Attr:
    """Return an attribute that names half precision where it named single."""
    if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype == _SINGLE:
        return ir.AttrTensor(attribute.name, ir.Tensor(nearest_half(attribute.value.numpy())))
    names_one = attribute.type == ir.AttributeType.INT and attribute.name in TYPE_NAMES
    if names_one and attribute.as_int() == int(_SINGLE):
        return ir.AttrInt64(attribute.name, int(_HALF))
    return attribute
