"""Names for operators that have none, so that their kernels can be told apart.

The runtime calls what it joins after the operators, and where they have no names it numbers them
as it pleases: FusedConv_69. Files of old exporters have none, Caffe2's for one, and those that an
optimizer wrote have some.
"""

from pathlib import Path

import onnx


def named(network: bytes | str) -> bytes | str:
    """Return a network whose operators are called after what they write, if they have no names.

    As it is where all have names, or where weights lie beside the file.
    """
    plain = network if isinstance(network, bytes) else Path(network).read_bytes()
    proto = onnx.load_from_string(plain)
    beside = onnx.TensorProto.EXTERNAL
    if any(tensor.data_location == beside for tensor in proto.graph.initializer):
        return network
    return proto.SerializeToString() if name_all(proto.graph) else network


def name_all(graph: onnx.GraphProto) -> bool:
    """Call the operators that have no name after what they write; return whether there are any."""
    without = [node for node in graph.node if not node.name]
    for node in without:
        node.name = node.output[0]
    return bool(without)
