"""How many pictures a network takes at once, and which of its tensors have a row for each.

A file may say how many, and compute any number all the same: that is tried. Tensors without a row
per picture (windows, tokens of all pictures in one matrix, numbers that shapes are made of) cannot
be kept for some pictures and read for others, so no block ends where one is live.
"""

from collections.abc import Iterator
from dataclasses import replace

import onnx_ir as ir
import torch

from spiq.errors import UnsupportedError
from spiq.reconstruct.efforts import Effort
from spiq.reconstruct.program import Program, Values

_ROOM = 1.0e9
"""Bytes that the tensors of the pictures shown together may take, on a CPU; eight times that on a
GPU."""

_FEW = (2, 3)
"""Numbers of pictures that are tried where a network takes any, whatever the file says."""

_FAILED = (RuntimeError, ValueError, IndexError, TypeError)
"""What PyTorch raises where sizes do not fit each other."""


def declared_batch(graph: ir.Graph, program: Program) -> int | None:
    """Return how many pictures the file says that a network takes; None for any number."""
    shape = next(v for v in graph.inputs if v.name == program.inputs[0]).shape
    size = None if shape is None else shape[0]
    return size if isinstance(size, int) else None


def tried(declared: int | None) -> int:
    """Return how many pictures show what a network takes, and which tensors have a row for each."""
    return max(*_FEW, 2 * (declared or 0))


def batch_of(program: Program, pictures: torch.Tensor, declared: int | None) -> int | None:
    """Return how many pictures a network takes at once; None for any number.

    Args:
        program: The network.
        pictures: As many as :func:`tried` says.
        declared: How many the file says.

    Raises:
        UnsupportedError: PyTorch does not compute the network.
    """
    if declared is None:
        return None
    two = pictures[: 2 * declared]
    apart = [_outputs(program, part) for part in two.split(declared)]
    try:
        together = _outputs(program, two)
    except (UnsupportedError, *_FAILED):
        return declared
    same = (_alike(one, torch.cat(parts)) for one, *parts in zip(together, *apart, strict=True))
    return None if all(same) else declared


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors differ by no more than sums in another order, or a half's bits."""
    if one.shape != other.shape:
        return False
    size = float(other.abs().max()) if other.numel() else 0.0
    return bool(torch.allclose(one.float(), other.float(), atol=1e-3 * max(size, 1.0)))


def _outputs(program: Program, pictures: torch.Tensor) -> list[torch.Tensor]:
    values = computed(program, pictures)
    return [values[name] for name in program.outputs]


def computed(program: Program, pictures: torch.Tensor) -> Values:
    """Return all tensors of a network.

    Raises:
        UnsupportedError: PyTorch does not compute it.
    """
    try:
        with torch.no_grad():
            values = program.begin({program.inputs[0]: pictures})
            program.run(slice(0, len(program.steps)), values)
    except _FAILED as error:
        why = str(error).splitlines()[0]
        raise UnsupportedError(
            f"PyTorch does not compute this network as it stands ({why}): use effort seconds"
        ) from error
    return values


def rows_of(program: Program, pictures: torch.Tensor, batch: int | None) -> frozenset[str]:
    """Return names of the tensors of floats that have a row for each picture.

    Args:
        program: The network.
        pictures: As many as :func:`tried` says.
        batch: How many that is; None for any number.
    """
    counts = _FEW if batch is None else (batch,)
    return frozenset[str].intersection(
        *(frozenset(_with_rows(computed(program, pictures[:n]), n)) for n in counts)
    )


def _with_rows(values: Values, count: int) -> Iterator[str]:
    for name, x in values.items():
        if x.is_floating_point() and x.ndim > 0 and len(x) == count:
            yield name


def room_for(program: Program, one: torch.Tensor) -> int:
    """Return how many pictures may be shown together, as far as memory goes."""
    taken = 2 * sum(x.nbytes for x in computed(program, one).values())
    on_cpu = one.device.type == "cpu"
    room = _ROOM if on_cpu else 8 * _ROOM
    return int(min(max(room // taken, 1), 64 if on_cpu else 256))


def in_batches(effort: Effort, batch: int | None) -> Effort:
    """Return an effort whose numbers of pictures are multiples of what a network takes."""
    if batch is None:
        return effort

    def whole(count: int) -> int:
        return -(-count // batch) * batch

    held = whole(effort.held)
    pictures = max(whole(effort.pictures), held + batch)  # some are left to learn from
    return replace(effort, pictures=pictures, held=held, batch=whole(effort.batch))
