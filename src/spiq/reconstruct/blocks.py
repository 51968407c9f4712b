"""A network in blocks, which end where few tensors are live.

A block of four layers or more ends where a single tensor is live: behind a residual sum, say.
Blocks of two keep less where activations have 4 bits, too: MobileNetV1 and V2 0.5 dB (measured on
real images; with activations of 8 bits, and on ResNet-20, there is no difference). The more layers
a block has, the more tensors may be live at its end, so that networks with many branches
come apart, too. No block ends between a layer and the activation that the grid behind it stands
for, nor where a tensor is live that has no row for each picture.

A block is held to what it writes; where nothing of that is floats with a row for each picture (an
ArgMax at the end, say), to the last such tensor in it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from spiq.emulation.step import Step
from spiq.reconstruct.program import Program

_ALLOWED = ((4, 1), (8, 2), (12, 4), (16, 1_000))
"""How many tensors may be live behind a block of at least so many layers."""


@dataclass(frozen=True)
class Block:
    """A part of a program.

    Attributes:
        part: Its steps.
        layers: Names of the layers in it that are rounded.
        stored: Names of the tensors that it writes and that are stored.
        reads: Names of the tensors that it reads from before.
        writes: Names of the tensors that are read behind it, or are outputs with a row for each
            picture.
        held: Names of the tensors by which it is seen how well it does; none where there are none.
    """

    part: slice
    layers: tuple[str, ...]
    stored: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    held: tuple[str, ...]


def blocks_of(
    program: Program, layers: Collection[str], rows: Collection[str]
) -> tuple[Block, ...]:
    """Return a network's blocks, in order.

    Args:
        program: The network.
        layers: Names of the layers that are rounded.
        rows: Names of the tensors of floats that have a row for each picture.
    """
    cuts, start, live, count = list[slice](), 0, set(program.inputs), 0
    read = {name: n for n, step in enumerate(program.steps) for name in step.inputs if name}
    for place, step in enumerate(program.steps):
        live |= set(step.outputs)
        live = {name for name in live if program.last.get(name, -1) > place}
        count += step.name in layers
        crossing = {name for name in live if read.get(name, -1) > place}
        if crossing.issubset(rows) and _may_end(program, place, live, count):
            cuts.append(slice(start, place + 1))
            start, count = place + 1, 0
    return tuple(_block(program, part, layers, rows) for part in _joined(program, cuts, layers))


def _may_end(program: Program, place: int, live: Collection[str], layers: int) -> bool:
    """Return whether a block may end behind a step."""
    if place + 1 == len(program.steps):
        return True
    following = program.steps[place + 1]
    inside = following.name in program.on_integers and not program.stored.issuperset(live)
    most = max((number for least, number in _ALLOWED if layers >= least), default=0)
    return not inside and len([name for name in live if name not in program.outputs]) <= most


def _joined(program: Program, cuts: list[slice], layers: Collection[str]) -> list[slice]:
    """Join the last part with the one before if it has no layer."""
    if len(cuts) > 1 and not _layers(program.steps[cuts[-1]], layers):
        cuts[-2:] = [slice(cuts[-2].start, cuts[-1].stop)]
    return cuts


def _block(program: Program, part: slice, layers: Collection[str], rows: Collection[str]) -> Block:
    steps = program.steps[part]
    written = {name for step in steps for name in step.outputs}
    read = {name for step in steps for name in step.inputs if name} - written
    stored = written if part.start else written.union(program.inputs)
    writes = sorted(name for name in written if program.last.get(name, -1) >= part.stop)
    last = [name for step in steps for name in step.outputs if name in rows][-1:]
    return Block(
        part,
        _layers(steps, layers),
        tuple(sorted(stored & program.stored)),
        tuple(sorted(read.difference(program.constants))),
        tuple(name for name in writes if name in rows),
        tuple(name for name in writes if name in rows) or tuple(last),
    )


def _layers(steps: tuple[Step, ...], layers: Collection[str]) -> tuple[str, ...]:
    return tuple(step.name for step in steps if step.name in layers)
