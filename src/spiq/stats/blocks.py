"""Maps of operators that rearrange or repeat blocks, see :mod:`spiq.stats.routing`."""

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, rank
from spiq.stats.maps import Map


def space_to_depth(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    """Channel k C + c of the output is channel c at the k-th place of each block."""
    entry = inputs[0]
    if any(size > 1 for size in entry.shape[2:]) or entry.shape[1] == 1:
        return [entry] if entry.size == 1 else None
    block = int(node.attributes["blocksize"].value)
    return [np.tile(entry, (1, block**2, *(1,) * (entry.ndim - 2)))]


def depth_to_space(node: ir.Node, inputs: list[Map]) -> Map | None:
    """Return the b^2 channels that each channel of the output is made of, shape (b^2, *layout)."""
    entry = inputs[0]
    if any(size > 1 for size in entry.shape[2:]) or entry.shape[1] == 1:
        return entry[None] if entry.size == 1 else None
    places = int(node.attributes["blocksize"].value) ** 2
    columns_first = node.attributes.get_string("mode", "DCR") == "CRD"
    split = entry.reshape((-1, places) if columns_first else (places, -1))
    mixed = split.T if columns_first else split
    return mixed.reshape(places, 1, -1, *(1,) * (entry.ndim - 2))


def tile(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    """Repeat a tensor along its axes; copies of what is alike are alike."""
    entry, repeats = inputs[0], constant(node.inputs[1])
    if repeats is None or len(repeats) != entry.ndim or repeats.min() < 1:
        return None
    counts = [int(n) if size > 1 else 1 for n, size in zip(repeats, entry.shape, strict=True)]
    return [np.tile(entry, counts)]


def expand(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    """Broadcast a tensor: what it is stretched along is alike."""
    entry, size = inputs[0], rank(node.outputs[0])
    if size is None or size < entry.ndim:
        return None
    return [entry.reshape((1,) * (size - entry.ndim) + entry.shape)]
