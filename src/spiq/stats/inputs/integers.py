"""What inputs of integers hold: bytes, or pixels of as many bits as first layers tell.

Bytes need no evidence. Wider integers hold what a camera, a scanner or a loader gave them; of the
usual depths the one is taken whose pictures have the mean and the deviation that are stated.
"""

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.errors import WARNING
from spiq.graph.indices import pixel_ends
from spiq.graph.query import dims
from spiq.passes.prepare import Prepared
from spiq.stats.input_axis import channel_axis, channel_count
from spiq.stats.inputs.conventions import PIXEL_MEAN, PIXEL_STD
from spiq.stats.inputs.first_layers import first_layers
from spiq.stats.inputs.given import Told, given_range, laid_out, pixel_stats
from spiq.stats.inputs.moments import moments
from spiq.stats.inputs.notes import HINT, span

_TOPS = np.array([2**bits - 1.0 for bits in (8, 10, 12, 14, 16)])
_EIGHT = frozenset({ir.DataType.INT8, ir.DataType.UINT8})
_SIXTEEN = frozenset({ir.DataType.INT16, ir.DataType.UINT16})


def of_integers(value: ir.Value, prepared: Prepared, config: Config) -> Told | None:
    """Return what is known of an input of integers, if they are pixels.

    Args:
        value: The input.
        prepared: The network.
        config: The options, which count where the type alone does not tell.
    """
    if (ends := pixel_ends(value)) is None:
        return None
    kind = "bytes" if value.dtype == ir.DataType.UINT8 else "integers in colour"
    shape = (1,) * len(dims(value) or [])
    if value.dtype in _EIGHT:
        return _between(shape, *ends, f"since it holds {kind}")
    channels = channel_count(value)
    if (given := given_range(value, config, channels)) is not None:
        return laid_out(given[0], value, channels), given[1]
    stated = moments(first_layers(value, prepared, channel_axis(value), pictures=True))
    if stated is not None:
        return _between(shape, 0.0, _brightest(*stated), f"since it holds {kind}")
    told = _between(shape, *ends, f"since it holds {kind}")
    if value.dtype not in _SIXTEEN:
        return told
    return told[0], f"{WARNING}{told[1]}, of how many bits nothing tells: {HINT} if that is wrong"


def _between(shape: tuple[int, ...], low: float, high: float, why: str) -> Told:
    ends = np.full(shape, low), np.full(shape, high)
    return pixel_stats(*ends), f"range {span(*ends)}, {why}"


def _brightest(mean: float | None, std: float) -> float:
    """Return the brightest pixel of the depth whose pictures are most like what is stated."""
    found = [std / PIXEL_STD, *([] if mean is None or mean <= 0 else [mean / PIXEL_MEAN])]
    return float(_TOPS[np.abs(np.log(_TOPS) - np.mean(np.log(found))).argmin()])
