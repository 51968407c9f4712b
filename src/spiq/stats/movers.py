"""Maps of each operator that only moves data, see :mod:`spiq.stats.routing`."""

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, dims, ints, rank
from spiq.stats.blocks import depth_to_space, expand, space_to_depth, tile
from spiq.stats.maps import ZERO, Map, Mixer, Mover
from spiq.stats.reshape import reshape, reshape_mixture


def _same(node: ir.Node, inputs: list[Map]) -> list[Map]:
    return [inputs[0]]


def _concat(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    if len({entry.ndim for entry in inputs}) > 1:
        return None
    axis = (node.attributes.get_int("axis") or 0) % inputs[0].ndim
    alike = all(entry.shape[axis] == 1 for entry in inputs)
    if alike and rolled(node) is not None:
        return [inputs[0]]
    if axis != 1 and alike:
        return None
    parts = []
    for entry, value in zip(inputs, node.inputs, strict=True):
        shape = dims(value)
        if shape is None or len(shape) != entry.ndim or shape[axis] is None:
            return None
        parts.append(np.repeat(entry, shape[axis] or 1, axis) if entry.shape[axis] == 1 else entry)
    others = np.max([part.shape for part in parts], axis=0)
    full = [
        np.broadcast_to(part, [*others[:axis], part.shape[axis], *others[axis + 1 :]])
        for part in parts
    ]
    return [np.concatenate(full, axis)]


def rolled(node: ir.Node) -> ir.Value | None:
    """Return the tensor whose parts, cut along its axis, a Concat joins in another order."""
    parts = [value.producer() if value is not None else None for value in node.inputs]
    cut = [part for part in parts if part is not None and part.op_type == "Slice"]
    size = rank(node.inputs[0])
    if len(cut) < max(len(parts), 2) or len({part.inputs[0] for part in cut}) > 1 or size is None:
        return None
    given = [constant(part.inputs[3]) if len(part.inputs) > 3 else None for part in cut]
    axis = (node.attributes.get_int("axis") or 0) % size
    along = [axes is not None and axes.tolist() in ([axis], [axis - size]) for axes in given]
    return cut[0].inputs[0] if all(along) else None


def _concat_mixture(node: ir.Node, inputs: list[Map]) -> Map | None:
    """Join along an axis over which channels do not vary, parts taken as equal."""
    return np.stack(inputs) if len({entry.shape for entry in inputs}) == 1 else None


def _transpose(node: ir.Node, inputs: list[Map]) -> list[Map]:
    entry = inputs[0]
    return [entry.transpose(ints(node, "perm", list(range(entry.ndim))[::-1]))]


def _axes(node: ir.Node, rank: int) -> list[int] | None:
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = ints(node, "axes", []) if given is None else [int(axis) for axis in given]
    return sorted(axis % rank for axis in axes) if axes else None


def _squeeze(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    axes = _axes(node, inputs[0].ndim)
    if axes is None or any(inputs[0].shape[axis] != 1 for axis in axes):
        return None
    return [np.squeeze(inputs[0], tuple(axes))]


def _unsqueeze(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    after = dims(node.outputs[0])
    axes = _axes(node, len(after)) if after is not None else None
    return None if axes is None else [np.expand_dims(inputs[0], tuple(axes))]


def _slice(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    given = [constant(value) for value in node.inputs[1:]]
    if any(g is None and v is not None for g, v in zip(given, node.inputs[1:], strict=True)):
        return None
    starts, ends = ([int(n) for n in array] for array in given[:2] if array is not None)
    axes = [int(n) for n in given[2]] if len(given) > 2 and given[2] is not None else None
    steps = [int(n) for n in given[3]] if len(given) > 3 and given[3] is not None else None
    entry = inputs[0]
    for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = (axes[k] if axes else k) % entry.ndim
        if entry.shape[axis] > 1:
            step = steps[k] if steps else 1
            stop = None if step < 0 and end < -entry.shape[axis] else end
            entry = entry[(slice(None),) * axis + (slice(start, stop, step),)]
    return [entry]


def _split(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    entry = inputs[0]
    axis = node.attributes.get_int("axis", 0) % entry.ndim
    sizes = [shape[axis] if (shape := dims(value)) is not None else None for value in node.outputs]
    if entry.shape[axis] == 1:
        return [entry] * len(node.outputs)
    if any(size is None for size in sizes):
        return None
    ends = np.cumsum([size or 0 for size in sizes])[:-1]
    return list(np.split(entry, ends, axis))


def _pad(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    entry, pads = inputs[0], constant(node.inputs[1])
    named = len(node.inputs) > 3 and node.inputs[3] is not None
    if pads is None or named or entry.ndim < 2 or len(pads) != 2 * entry.ndim or pads.min() < 0:
        return None
    if not _pads_zero(node) and not _pads_space_by_itself(node):
        return None
    before, after = pads[: entry.ndim], pads[entry.ndim :]
    if before[0] or after[0]:
        return None
    first = space_from(entry.shape)
    if first > 1 and entry.shape[1] == 1 and (before[1] or after[1]):
        size = (dims(node.inputs[0]) or [None] * 2)[1]
        if size is None:
            return None
        entry = np.repeat(entry, size, 1)
    width = [
        (int(b), int(a)) if axis == first - 1 or size > 1 else (0, 0)
        for axis, (b, a, size) in enumerate(zip(before, after, entry.shape, strict=True))
    ]
    if any(map(any, width)) and not _pads_zero(node):
        return None
    return [np.pad(entry, width, constant_values=ZERO)]


def space_from(layout: tuple[int, ...]) -> int:
    """Return the first axis of space: the second where channels come last, else the third."""
    return 1 if len(layout) > 2 and layout[1] == 1 and layout[-1] > 1 else 2


def _pad_mixture(node: ir.Node, inputs: list[Map]) -> Map | None:
    """Pad space by a number: the entries stay what they are, see the rule for the number."""
    pads, entry = constant(node.inputs[1]), inputs[0]
    named = len(node.inputs) > 3 and node.inputs[3] is not None
    if pads is None or named or len(pads) != 2 * entry.ndim or any(n > 1 for n in entry.shape[2:]):
        return None
    half = len(pads) // 2
    return None if pads[:2].any() or pads[half : half + 2].any() else entry[None]


def _no_map(node: ir.Node, inputs: list[Map]) -> None:
    """Show entries of the first input in an order that only running the network tells."""


def _pads_zero(node: ir.Node) -> bool:
    fill = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
    mode = node.attributes.get_string("mode", "constant")
    return mode == "constant" and fill is not None and not fill.any()


def _pads_space_by_itself(node: ir.Node) -> bool:
    pads = constant(node.inputs[1])
    assert pads is not None
    half = len(pads) // 2
    channels_kept = not pads[:2].any() and not pads[half : half + 2].any()
    return channels_kept and node.attributes.get_string("mode", "constant") in (
        "edge",
        "reflect",
        "wrap",
    )


def _gather(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    indices = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if indices is None or indices.ndim > 1:
        return None
    entry = inputs[0]
    axis = node.attributes.get_int("axis", 0) % entry.ndim
    if entry.shape[axis] == 1:
        return [entry if indices.ndim else np.squeeze(entry, axis)]
    return [np.take(entry, indices.astype(np.int64), axis)]


MOVERS: dict[str, Mover] = {
    "Compress": _no_map,
    "Concat": _concat,
    "DepthToSpace": _no_map,
    "Dropout": _same,
    "Expand": expand,
    "Flatten": reshape,
    "Gather": _gather,
    "GatherND": _no_map,
    "Identity": _same,
    "Pad": _pad,
    "Reshape": reshape,
    "Slice": _slice,
    "SpaceToDepth": space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

MIXERS: dict[str, Mixer] = {
    "Concat": _concat_mixture,
    "DepthToSpace": depth_to_space,
    "Flatten": reshape_mixture,
    "Pad": _pad_mixture,
    "Reshape": reshape_mixture,
}
