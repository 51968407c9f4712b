"""Float networks of half or double precision as they are read, to be run beside quantized ones.

So tensors have the names and types that the quantized network was made from; and the runtime has no
convolution for double precision.
"""

import os
from collections.abc import Iterator

import onnx

from spiq.errors import ModelError
from spiq.io.precision import widened_from
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes.single import half_as_single

_KINDS = frozenset({onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16})

Source = str | os.PathLike[str] | bytes


def in_single(source: Source) -> Source:
    """Return a network whose layers compute in single precision; the given one if they do.

    Args:
        source: Path or bytes of the network; one that cannot be read is returned, too.

    Raises:
        OSError: There is no such file.
        DecodeError: It is no network.
    """
    if isinstance(source, bytes):
        proto = onnx.load_from_string(source)
    else:
        proto = onnx.load(source, load_external_data=False)
    if _KINDS.isdisjoint(_kinds(proto.graph)):
        return source
    try:
        model = read(source)
        return serialize(model) if half_as_single(model) or widened_from(model) else source
    except ModelError:  # such as one that is quantized
        return source


def _kinds(graph: onnx.GraphProto) -> Iterator[int]:
    """Yield the types of what a network holds."""
    yield from (tensor.data_type for tensor in graph.initializer)
    for node in graph.node:
        yield from (one.t.data_type for one in node.attribute if one.HasField("t"))
