"""A network that takes pixels: bytes go in, and it makes its numbers of them by itself.

What everybody does in front of a network, x = a p + b with p from 0 to 255, becomes part of it:

    first layers without padding, or b = 0     a and b fold into their weights and biases
    otherwise                                  Cast, Mul, Add in front

(With zeros around x, padding is p = -b/a, which no byte is, so b does not fold there.) In the first
case the first layer reads the bytes as they come (:mod:`spiq.emit.pixels`); nothing is quantized.
"""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.errors import ConfigError
from spiq.graph.edit import initializer, unique_name
from spiq.graph.query import dims, is_float32
from spiq.io.read import Source, read
from spiq.passes.layer_weights import fold_into_readers
from spiq.stats.channel import Array
from spiq.stats.input_axis import channel_axis
from spiq.stats.inputs.given import given_range

_LEVELS = 255


def with_pixels(model: Source, config: Config) -> tuple[ir.Model, Config]:
    """Return a network that takes bytes in the place of floats, and the options that are left.

    Args:
        model: The float network; it is left as it is.
        config: The options; they say what numbers pixels become.

    Raises:
        ConfigError: They do not, or the network has no input of pictures in floats.
        ModelError: The network cannot be used.
    """
    network = read(model)
    pictures = [v for v in network.graph.inputs if is_float32(v) and len(dims(v) or ()) == 4]
    if not pictures:
        raise ConfigError("uint8 input: the network has no input that takes pictures as floats")
    for value in pictures:
        told = given_range(value, config, (dims(value) or [])[channel_axis(value)] or 1)
        if told is None:
            raise ConfigError(
                f"uint8 input: say what the pixels of {value.name!r} become: input_range, or "
                "input_mean and input_std (--input-range, --input-mean, --input-std)"
            )
        _take_pixels(network.graph, value, told[0].low.reshape(-1), told[0].high.reshape(-1))
    left = {name: said for name, said in config.inputs.items() if name not in _names(pictures)}
    return network, replace(config, inputs=left, input_range=None, input_mean=None, input_std=None)


def _names(values: list[ir.Value]) -> set[str]:
    return {str(value.name) for value in values}


def _take_pixels(graph: ir.Graph, value: ir.Value, low: Array, high: Array) -> None:
    """Let an input be bytes, in place; what reads it reads a p + b."""
    axis, kind = channel_axis(value), value.type
    channels = (dims(value) or [])[axis] or 1
    a = np.broadcast_to((high - low) / _LEVELS, channels)
    b = np.broadcast_to(low, channels)
    folds = axis == 1 and fold_into_readers(value, a, b)

    first = next(iter(graph))
    made = ir.Value(name=unique_name(graph, f"{value.name}_float"), type=kind, shape=value.shape)
    cast = ir.node("Cast", [value], {"to": ir.DataType.FLOAT}, outputs=[made], name=made.name)
    readers = [(use.node, use.idx) for use in value.uses() if use.node is not cast]
    value.type = ir.TensorType(ir.DataType.UINT8)
    graph.insert_before(first, cast)
    if not folds:
        shape = tuple(channels if place == axis else 1 for place in range(4))
        for operator, array in (("Mul", a), ("Add", b)):
            made = _step(graph, first, made, operator, array.reshape(shape))
    for node, index in readers:
        node.replace_input_with(index, made)


def _step(
    graph: ir.Graph, before: ir.Node, value: ir.Value, operator: str, array: Array
) -> ir.Value:
    name = unique_name(graph, f"{value.name}_{operator.lower()}")
    made = ir.Value(name=name, type=value.type, shape=value.shape)
    given = initializer(graph, f"{name}_by", array.astype(np.float32))
    graph.insert_before(before, ir.node(operator, [value, given], outputs=[made], name=name))
    return made
