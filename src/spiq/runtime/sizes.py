"""Of what size a network is shown pictures, where it leaves that open.

320 pixels square to observe it, 128 to compare it, 64 to see only a little; less where a tensor
would take all memory (a transposed convolution that enlarges a hundredfold makes gigabytes of a
small picture). A network may leave open what it cannot do without, as readers of lines of text do,
that end at a height of 1. So it is run once, and where it fails, sizes that networks are often made
for are tried.
"""

from collections.abc import Iterator
from itertools import chain

import onnx_ir as ir

from spiq.errors import ModelError
from spiq.graph.extents import Extent, has_open_sizes, largest
from spiq.runtime.expose import expose
from spiq.runtime.opened import Opened
from spiq.runtime.ports import DYNAMIC_SIZE, PICTURE_SIZE, SOFT_SIZE, Sizes, is_pictured
from spiq.runtime.session import call
from spiq.runtime.synthetic import synthetic_inputs

_SMALLER = (160, 64, 32, 16, 8)
"""Tried where pictures of the usual sizes make tensors too large."""

_USUAL = ((224, 224), (48, 320), (32, 320), (64, 320), (32, 100), (96, 96), (112, 112), (256, 256),
          (299, 299), (384, 384), (512, 512), (640, 640))  # fmt: skip
"""Tried where the network does not run at the usual sizes: of classifiers, readers of text, faces,
segmenters and detectors."""

_STEP, _WIDEST = 8, 640
"""After these, squares of so many pixels less each: tables of positions have one size that fits.
(One position is added to all of a table, so the smallest come last.)"""

_LENGTHS = (128, 64, 32, 16, 8, 512, 1000, 1500, 3000, 16000, 100, 200, 300, 400, 500, 2000, 32000,
            48000)  # fmt: skip
"""Of words, of frames of sound and its samples, tried where the usual ones do not run."""

_MOST, _TOGETHER = 1 << 26, 1 << 22
"""Numbers that a tensor may have, for one image and for a batch: 270 MB, and 17, since the outputs
of all batches are kept."""


def sizes_for(model: ir.Model, given: Extent | None = None) -> Sizes:
    """Return what a network can be shown.

    Args:
        model: The network, shapes inferred.
        given: Height and width where they are open, if they are said: then that is taken.
    """
    if given is not None or not has_open_sizes(model.graph):
        return _together(
            model, *(given or size for size in (PICTURE_SIZE, SOFT_SIZE, DYNAMIC_SIZE))
        )
    tried = (PICTURE_SIZE[0], *_SMALLER)
    most = next((size for size in tried if largest(model, (size, size)) <= _MOST), tried[-1])
    usual = (
        (min(height, most), min(width, most))
        for height, width in (PICTURE_SIZE, SOFT_SIZE, DYNAMIC_SIZE)
    )
    sizes = _together(model, *usual)
    other = _other(model, sizes)
    return sizes if other is None else _together(model, other, other, other)


def _together(model: ir.Model, observe: Extent, compare: Extent, quick: Extent) -> Sizes:
    """Return these sizes, and how many images to a batch they allow."""
    batch = _TOGETHER // max(largest(model, compare), 1)
    return Sizes(observe, compare, quick, min(max(batch, 1), Sizes.batch))


def small_size(opened: Opened) -> Extent:
    """Return a size of inputs that leave it open at which a network runs: the usual one if it can.

    Args:
        opened: The network.
    """
    tried = chain([DYNAMIC_SIZE], _others(opened))
    return next((size for size in tried if _runs(opened, size)), DYNAMIC_SIZE)


def _other(model: ir.Model, sizes: Sizes) -> Extent | None:
    """Return the first other size that the network runs at, if it fails at its own."""
    opened = expose(model, ()).session
    # a sequence is often shorter than what is observed; a picture that runs small runs large
    observed = () if _has_pictures(opened) else (sizes.observe,)
    if all(_runs(opened, size) for size in (sizes.quick, sizes.compare, *observed)):
        return None
    fitting = (size for size in _others(opened) if largest(model, size) <= _MOST)
    return next((size for size in fitting if _runs(opened, size)), None)


def _others(opened: Opened) -> Iterator[Extent]:
    if _has_pictures(opened):
        yield from _USUAL
        yield from ((side, side) for side in range(_WIDEST, 0, -_STEP))
    else:
        yield from ((length, length) for length in _LENGTHS)


def _has_pictures(opened: Opened) -> bool:
    return any(map(is_pictured, opened.get_inputs()))


def _runs(opened: Opened, size: Extent) -> bool:
    try:
        call(opened, None, synthetic_inputs(opened, images=1, size=size), where="")
    except ModelError:
        return False
    return True
