"""A network that is ready to run, in whatever runtime: what ONNX Runtime's sessions look like."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[np.generic]]
Tensors = dict[str, npt.NDArray[np.generic]]
"""Arrays by name: to read, and of one's own."""


class Port(Protocol):
    """An input or output of a network."""

    name: str
    type: str
    shape: list[Any]


class Opened(Protocol):
    """A network that is ready to run, as ONNX Runtime's sessions are."""

    def get_inputs(self) -> Sequence[Port]:
        """Return the inputs, in order."""

    def get_outputs(self) -> Sequence[Port]:
        """Return the outputs, in order."""

    def run(self, names: Sequence[str] | None, feeds: Arrays) -> list[Any]:
        """Return the outputs that are named, or all, for inputs by name."""
