"""What a map from output to input entries is, see :mod:`spiq.stats.routing`."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Layout = tuple[int, ...]
Map = npt.NDArray[np.int64]
ZERO = -1
"""The entry of what no data input shows."""

Mover = Callable[[ir.Node, list[Map]], list[Map] | None]
"""Takes the numbered entries of the inputs; returns one map per output, if there is one."""

Mixer = Callable[[ir.Node, list[Map]], Map | None]
"""The same for a mixture: one map of shape (K, *layout)."""
