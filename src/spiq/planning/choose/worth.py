"""What several scales have to gain where they take time.

Where a layer or a normalization takes them in they cost nothing. A gate needs a convolution for
them: they are taken from 1 dB on (and a Sigmoid one more than without, see
:mod:`spiq.planning.choose.given_up`). Around layers on tokens, operators in float are many and
multiplications by scales add up: what an operator writes that is no normalization, and what a
normalization reads, have several scales from 3 dB on. (On a
ConvNeXt, 43.0 dB and 1.12 times the time of ``quantize_static``'s with every gain taken, 42.7 and
1.07 from 1 dB on for all tensors, 40.5 and 0.93 from 4 dB.)
"""

from collections.abc import Sequence

import onnx_ir as ir

from spiq.planning.placement.values import GATES, Placement, is_layer
from spiq.stats.movers import MOVERS
from spiq.stats.rules.norms import NORMS

_GATED, _ON_TOKENS = 0.8, 0.5
ANY = 1 - 1e-9
"""Shares of the error with one scale."""


def worth(values: Sequence[ir.Value], placement: Placement) -> float:
    """Return the share of the error with one scale under which that with several has to stay."""
    readers = [node for value in values for node in value.consumers()]
    if any(node.op_type in GATES and node in placement.integer for node in readers):
        return _GATED
    return _ON_TOKENS if any(_is_multiplied(value, placement) for value in values) else ANY


def _is_multiplied(value: ir.Value, placement: Placement) -> bool:
    """Return whether a tensor around layers on tokens is multiplied by its scales."""
    if _feeds_norm(value):
        return True
    node, layout = value.producer(), placement.classes[value].shape
    if node is None or node in placement.integer or node.op_type in NORMS:
        return False
    layers = [reader for reader in value.consumers() if is_layer(reader)]
    before_norm = any(_feeds_norm(layer.outputs[0]) for layer in layers)
    return before_norm or (len(layout) > 2 and layout[-1] > 1)


def _feeds_norm(value: ir.Value) -> bool:
    """Return whether a normalization in float reads a tensor, moved or not."""
    for reader in value.consumers():
        if reader.op_type in NORMS:
            return True
        if reader.op_type in MOVERS and any(map(_feeds_norm, reader.outputs)):
            return True
    return False
