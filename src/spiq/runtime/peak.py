"""How fast the runtime's int8 kernel is at its best, and how much of that a network reaches.

Its best is what it makes of layers that suit it: chains of convolutions of 256 channels and more,
whose weights fit the cache. They are timed in turns with the networks, so that the machine's drift
cancels. A network's products are those of its layers, whatever runs on integers and whatever the
rest takes, so the share says what is left to gain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from spiq.errors import SpiqError
from spiq.graph.query import layer_nodes
from spiq.graph.work import macs
from spiq.io.read import Source, read

_CHAINS = ((256, 3, 14), (512, 1, 14))
"""Channels, kernel and size of the map of what is timed."""

_LAYERS = 4


@dataclass(frozen=True)
class Chain:
    """Layers that suit the kernel.

    Attributes:
        model: The network, bytes of an ONNX file; its input has a dynamic batch.
        macs: Its multiply-accumulates for one image.
    """

    model: bytes
    macs: int


def chains() -> list[Chain]:
    """Return what the kernel is at its best with."""
    return [_chain(*one) for one in _CHAINS]


def work(model: Source) -> int | None:
    """Return a float network's multiply-accumulates for one image; None where they are not known.

    Args:
        model: Path or bytes of an ONNX file.
    """
    try:
        network = read(model)
    except SpiqError:
        return None
    counts = [macs(node) for node in layer_nodes(network.graph)]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def best_of(seconds: Sequence[float], timed: Sequence[Chain]) -> float:
    """Return the most multiply-accumulates per second, of what took so long for one image each."""
    return max(one.macs / taken for one, taken in zip(timed, seconds, strict=True))


def _chain(channels: int, kernel: int, size: int) -> Chain:
    rng = np.random.default_rng(0)
    constants: dict[str, np.ndarray] = {
        "step": np.array(0.05, np.float32),
        "zero": np.array(128, np.uint8),
        "weight_step": np.array(0.01, np.float32),
        "weight_zero": np.array(0, np.int8),
    }
    nodes = []
    for layer in range(_LAYERS):
        shape = (channels, channels, kernel, kernel)
        constants[f"w{layer}"] = rng.integers(-127, 128, shape, np.int8)
        read_here = [f"x{layer}", "step", "zero", f"w{layer}", "weight_step", "weight_zero"]
        inputs, pads = [*read_here, "step", "zero"], [kernel // 2] * 4
        nodes.append(onnx.helper.make_node("QLinearConv", inputs, [f"x{layer + 1}"], pads=pads))
    ends = [
        onnx.helper.make_tensor_value_info(
            name, onnx.TensorProto.UINT8, ["N", channels, size, size]
        )
        for name in ("x0", f"x{_LAYERS}")
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(nodes, "peak", ends[:1], ends[1:], weights)
    opset = [onnx.helper.make_opsetid("", 13)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    content: bytes = model.SerializeToString()
    return Chain(content, _LAYERS * channels**2 * kernel**2 * size**2)
