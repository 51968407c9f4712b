"""Along which axes of a tensor its channels lie, as the operators before it say.

Images have them second, tokens last, heads of attention in two axes. Conv, Gemm and batch
normalization have them second, a matrix product where its right operand has them; Transpose and
Reshape move them, an operator on single numbers keeps those of whatever it reads. Where what makes
a tensor does not tell (a branch, a loop), what reads it does.
"""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from spiq.graph.extents import is_one_picture
from spiq.graph.query import constant, data_inputs, dims, ints, is_constant, rank
from spiq.graph.runs import runs
from spiq.stats.input_axis import channel_axis

Axes = tuple[int, ...]
Size = int | None

_SECOND = frozenset({"BatchNormalization", "Col2Im", "Conv", "ConvTranspose", "Gemm"})
_KEEPS_PLACES = frozenset({"Add", "Cast", "InstanceNormalization", "LayerNormalization", "Mul",
                           "RMSNormalization", "Sub"})  # fmt: skip
_OF_ROWS, _OF_TOKENS = 2, 3
"""Axes of an input of rows, and of one that may be of tokens, or of a signal."""

_STEPS = 6
"""Operators whose output is laid out as what they read first, and how many are looked past."""

_NORMS = frozenset({"LayerNormalization", "RMSNormalization"})


def channel_axes(graph: ir.Graph) -> dict[ir.Value, Axes]:
    """Return the axes of the channels of each tensor of which they can be told, in order."""
    found: dict[ir.Value, Axes] = {
        value: _of_input(value) for value in graph.inputs if (rank(value) or 0) > 1
    }
    for node in graph:
        known = [found.get(value) for value in data_inputs(node)]
        for value in node.outputs:
            size = rank(value)
            axes = _axes_of(node, known) if size is not None and size > 1 else None
            if node.op_type == "Reshape" and (origin := _restored(node)) is not None:
                axes = found.get(origin, axes)
            if axes is not None and any(axis >= (size or 0) for axis in axes):
                axes = None
            read = _as_read(value)
            if axes is None or (node.op_type == "MatMul" and {*(read or axes)} < {*axes}):
                axes = read
            if axes is not None:
                found[value] = axes
    return found


def _of_input(value: ir.Value) -> Axes:
    """Return where an input's channels are: nowhere in rows of words, of masks, of samples."""
    size, kind = rank(value), value.dtype
    whole = kind is not None and not kind.is_floating_point()
    if size == _OF_ROWS and (whole or (dims(value) or [])[1] is None):
        return ()
    axis = channel_axis(value) if size in (_OF_ROWS, _OF_TOKENS) else 1
    alike = axis == 0 and not is_one_picture(dims(value) or [])
    return () if alike else (axis,)


def _axes_of(node: ir.Node, known: list[Axes | None]) -> Axes | None:
    if node.domain != "":
        return None
    if node.op_type in _SECOND:
        return (1,)
    size, first = rank(node.outputs[0]) or 0, known[0] if known else None
    if node.op_type == "Gather" and is_constant(node.inputs[0]):  # an embedding
        return (size - 1,)
    if node.op_type in _NORMS and first is None:
        return (size - 1,)
    if node.op_type == "MatMul":
        return _of_product(node, known)
    rule = _reduced if node.op_type.startswith("Reduce") else _RULES.get(node.op_type)
    if rule is not None:
        return None if first is None else rule(node, first)
    return _of_all(node, known)


def _restored(node: ir.Node) -> ir.Value | None:
    """Return the tensor whose shape a Reshape restores, behind another one and steps in between.

    As of a GroupNorm, which sees (N, C, H, W) as (N, G, C H W / G): channels are where they were.
    """
    value, after = node.inputs[0], dims(node.outputs[0])
    for _ in range(_STEPS):
        producer = value.producer() if value is not None else None
        if producer is None or producer.domain != "":
            return None
        if producer.op_type == "Reshape":
            before = producer.inputs[0]
            return before if dims(before) == after and (after or [0]).count(None) <= 1 else None
        if producer.op_type not in _KEEPS_PLACES:
            return None
        value = producer.inputs[0]
    return None


def _as_read(value: ir.Value) -> Axes | None:
    """Return the axes along which a convolution or a matrix takes channels of this tensor.

    Of a product of two tensors that is fewer than there are: rows of one, columns of the other.
    """
    size = rank(value)
    for node in value.consumers():
        if node.domain != "" or node.inputs[0] is not value:
            continue
        if node.op_type in ("Conv", "ConvTranspose"):
            return (1,)
        if node.op_type == "MatMul" and is_constant(node.inputs[1]) and size and size > 1:
            return (size - 1,)
    return None


def _transposed(node: ir.Node, axes: Axes) -> Axes:
    size = rank(node.inputs[0]) or 0
    perm = ints(node, "perm", list(range(size))[::-1])
    return tuple(sorted(perm.index(axis) for axis in axes if axis in perm))


def _reshaped(node: ir.Node, axes: Axes) -> Axes | None:
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    groups = runs(before, after) if before is not None and after is not None else None
    if groups is None:
        return None
    found: list[int] = []
    old = new = 0
    lost = False
    for theirs, ours in groups:
        inside = [axis - old for axis in axes if old <= axis < old + len(theirs)]
        wide = [place for place, size in enumerate(ours) if size != 1]
        if not any(theirs[axis] != 1 for axis in inside):
            pass
        elif old == 0 and theirs[0] is None:  # beside an open batch, as heads: all alike from here
            lost = True
        else:
            found += [new + place for place in (wide[:1] if _led(theirs, ours, inside) else wide)]
        old, new = old + len(theirs), new + len(ours)
    return None if lost and not found else tuple(found)


def _led(theirs: Sequence[Size], ours: Sequence[Size], inside: Sequence[int]) -> bool:
    """Return whether channels come first and are taken in groups, as for a GroupNorm.

    (C, H, W) is seen as (G, C H W / G), or back: pixels are no channels for that.
    """
    before, after = ([size for size in sizes if size != 1] for sizes in (theirs, ours))
    first = next((place for place, size in enumerate(theirs) if size != 1), None)
    if len(before) < 2 or not after or [at for at in inside if theirs[at] != 1] != [first]:
        return False
    many, few = before[0], after[0]
    return many is not None and few is not None and 0 in (many % few, few % many)


def _reduced(node: ir.Node, axes: Axes) -> Axes | None:
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    gone = ints(node, "axes", []) if given is None else [int(axis) for axis in given.reshape(-1)]
    size = rank(node.inputs[0])
    if size is None or not gone:
        return None
    gone = [axis % size for axis in gone]
    left = [axis for axis in axes if axis not in gone]
    if node.attributes.get_int("keepdims", 1):
        return tuple(left)
    return tuple(axis - sum(other < axis for other in gone) for axis in left)


def _gathered(node: ir.Node, axes: Axes) -> Axes | None:
    size, indices = rank(node.inputs[0]), rank(node.inputs[1])
    if size is None or indices is None or indices > 1:
        return None
    at = node.attributes.get_int("axis", 0) % size
    return axes if indices else tuple(axis - (axis > at) for axis in axes if axis != at)


def _of_product(node: ir.Node, known: list[Axes | None]) -> Axes | None:
    """Return the axes of a matrix product: those of either operand that it does not sum over."""
    size = rank(node.outputs[0]) or 0
    ranks = [rank(value) for value in data_inputs(node)]
    if len(known) < 2:
        return (size - 1,)
    found: set[int] = set()
    for place, (axes, own) in enumerate(zip(known, ranks, strict=True)):
        if axes is None or own is None:
            return None
        shifted = [axis + size - own for axis in axes]
        summed = size - 2 if place else size - 1
        found.update(axis for axis in shifted if axis != summed)
    return tuple(sorted(found))


def _of_all(node: ir.Node, known: list[Axes | None]) -> Axes | None:
    """Return the axes of all inputs that keep the rank of the output, or are broadcast to it."""
    size, found = rank(node.outputs[0]) or 0, set[int]()
    for value, axes in zip(data_inputs(node), known, strict=True):
        own = rank(value)
        if own is None or own > size:
            return None
        if axes is not None:
            found.update(axis + size - own for axis in axes)
    return tuple(sorted(found)) if any(axes is not None for axes in known) else None


def _without(node: ir.Node, axes: Axes) -> Axes | None:
    """Squeeze, by axes that are given."""
    gone, size = constant(node.inputs[1]) if len(node.inputs) > 1 else None, rank(node.inputs[0])
    if gone is None or size is None:
        return _reshaped(node, axes)
    lost = {int(axis) % size for axis in gone.reshape(-1)}
    return tuple(axis - sum(other < axis for other in lost) for axis in axes if axis not in lost)


def _with_more(node: ir.Node, axes: Axes) -> Axes | None:
    """Unsqueeze, by axes that are given."""
    new, size = constant(node.inputs[1]), rank(node.outputs[0])
    if new is None or size is None:
        return _reshaped(node, axes)
    added = {int(axis) % size for axis in new.reshape(-1)}
    old = [axis for axis in range(size) if axis not in added]
    return tuple(old[axis] for axis in axes)


_RULES: dict[str, Callable[[ir.Node, Axes], Axes | None]] = {
    **dict.fromkeys(("Flatten", "Reshape"), _reshaped),
    "Gather": _gathered,
    "Squeeze": _without,
    "Transpose": _transposed,
    "Unsqueeze": _with_more,
}
