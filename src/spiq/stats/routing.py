"""Operators that only move data, as maps from output channels to input channels.

Such an operator computes nothing, so its statistics, its classes of channels that share a scale,
and the importance of its inputs all follow from one map: for each entry of the output's layout,
the index of the entry of the (concatenated, flattened) input layouts that it shows, or -1 for the
zeros of a Pad. A layout is a shape with size 1 along axes over which channels do not vary, see
:class:`spiq.stats.channel.ChannelStats`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.query import constant, dims, ints

Layout = tuple[int, ...]
Map = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
ZERO = -1


def route(node: ir.Node, layouts: Sequence[Layout]) -> list[Map] | None:
    """Return one map per output of ``node``; None where it is no mover or sizes are unknown.

    Args:
        node: Any node.
        layouts: The layout of each data input, in order.
    """
    rule = MOVERS.get(node.op_type) if node.domain == "" else None
    if rule is None:
        return None
    start, indices = 0, []
    for layout in layouts:
        count = int(np.prod(layout))
        indices.append(np.arange(start, start + count, dtype=np.int64).reshape(layout))
        start += count
    return rule(node, indices)


def gather(entry: Map, arrays: Sequence[Array], zero: float = 0.0) -> Array:
    """Read ``arrays`` (one per data input, in their layouts) through a map."""
    flat = np.concatenate([*(array.reshape(-1) for array in arrays), [zero]])
    return flat[entry]


def scatter(entry: Map, values: Array, layouts: Sequence[Layout]) -> list[Array]:
    """Add ``values`` (in the output's layout) up where a map reads them: gather's transpose."""
    sizes = [int(np.prod(layout)) for layout in layouts]
    total = np.zeros(sum(sizes) + 1)
    np.add.at(total, entry, values)
    ends = np.cumsum(sizes)
    return [
        total[end - size : end].reshape(layout)
        for end, size, layout in zip(ends, sizes, layouts, strict=True)
    ]


def _same(node: ir.Node, inputs: list[Map]) -> list[Map]:
    return [inputs[0]]


def _concat(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    axis = (node.attributes.get_int("axis") or 0) % inputs[0].ndim
    if axis != 1 and all(entry.shape[axis] == 1 for entry in inputs):
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


def _reshape(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    entry, before, after = inputs[0], dims(node.inputs[0]), dims(node.outputs[0])
    groups = _aligned(before, after) if before is not None and after is not None else None
    if groups is None:
        return None
    spread: list[int] = []
    shape: list[int] = []
    position = 0
    for old, new in groups:
        own = entry.shape[position : position + len(old)]
        position += len(old)
        if all(size == 1 for size in own):
            spread += [1] * len(old)
            shape += [1] * len(new)
        elif None in old or None in new:
            return None
        else:
            spread += [size for size in old if size is not None]
            shape += [size for size in new if size is not None]
    return [np.broadcast_to(entry, spread).reshape(shape)]


Sizes = list[int | None]


def _aligned(before: Sizes, after: Sizes) -> list[tuple[Sizes, Sizes]] | None:
    """Split two shapes of one tensor into the shortest runs that hold equally many elements."""
    groups: list[tuple[Sizes, Sizes]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        old, new = [before[i]], [after[j]]
        i, j = i + 1, j + 1
        if old[0] is None or new[0] is None:
            if old[0] is not new[0]:
                return None
        else:
            left, right = old[0], new[0]
            while left != right:
                grow_old = left < right
                side, at = (before, i) if grow_old else (after, j)
                size = side[at] if at < len(side) else None
                if size is None:
                    return None
                if grow_old:
                    left, i = left * size, i + 1
                    old.append(size)
                else:
                    right, j = right * size, j + 1
                    new.append(size)
        groups.append((old, new))
    if any(size != 1 for size in [*before[i:], *after[j:]]):
        return None
    if groups:
        groups[-1] = (groups[-1][0] + before[i:], groups[-1][1] + after[j:])
    return groups


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
    if entry.shape[1] == 1 and (before[1] or after[1]):
        size = (dims(node.inputs[0]) or [None] * 2)[1]
        if size is None:
            return None
        entry = np.repeat(entry, size, 1)
    width = [
        (int(b), int(a)) if axis == 1 or size > 1 else (0, 0)
        for axis, (b, a, size) in enumerate(zip(before, after, entry.shape, strict=True))
    ]
    if any(map(any, width)) and not _pads_zero(node):
        return None
    return [np.pad(entry, width, constant_values=ZERO)]


def _pads_zero(node: ir.Node) -> bool:
    fill = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
    mode = node.attributes.get_string("mode", "constant")
    return mode == "constant" and fill is not None and not fill.any()


def _pads_space_by_itself(node: ir.Node) -> bool:
    pads = constant(node.inputs[1])
    assert pads is not None
    half = len(pads) // 2
    channels_kept = not pads[:2].any() and not pads[half : half + 2].any()
    return channels_kept and node.attributes.get_string("mode", "constant") in ("edge", "reflect")


def _gather(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    indices = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if indices is None or indices.ndim > 1:
        return None
    entry = inputs[0]
    axis = node.attributes.get_int("axis", 0) % entry.ndim
    if entry.shape[axis] == 1:
        return [entry if indices.ndim else np.squeeze(entry, axis)]
    return [np.take(entry, indices.astype(np.int64), axis)]


Rule = Callable[[ir.Node, list[Map]], list[Map] | None]

MOVERS: dict[str, Rule] = {
    "Concat": _concat,
    "Dropout": _same,
    "Flatten": _reshape,
    "Gather": _gather,
    "Identity": _same,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
