"""One call: the network that was given, and what is worked out beside the way through.

The float network's outputs, which the quantized one is compared with at the end, depend on nothing
but its inputs' ranges. The runtime computes them in a thread, while planning keeps one core busy;
for large images at the end, since then memory counts for more than time.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from spiq.analysis import Analysis, Progress
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.runtime.reference import Reference, is_large, reference
from spiq.stats.sidecar import Statistics

if TYPE_CHECKING:
    from spiq.io.read import Source


@dataclass
class Run:
    """One call.

    Attributes:
        source: The network as it was given.
        tell: Told the name of each step as it begins.
        beside: A thread of its own.
        statistics: Statistics that are kept beside the network, if there are any.
        start: When the call began.
    """

    source: "Source"
    tell: Progress
    beside: Executor
    statistics: Statistics | None = None
    start: float = field(default_factory=time.perf_counter)
    _reference: Callable[[], Reference] | None = None

    def read(self) -> ir.Model:
        """Read the network."""
        self.tell("read")
        return read(self.source)

    @cached_property
    def original(self) -> tuple[bytes | str, int]:
        """The float network for the runtime, and its size in bytes."""
        if isinstance(self.source, (str, os.PathLike)):
            return os.fspath(self.source), Path(self.source).stat().st_size
        plain = self.source if isinstance(self.source, bytes) else serialize(self.source)
        return plain, len(plain)

    def compare(self, analysis: Analysis) -> None:
        """Begin to work out what the quantized network is compared with, if nobody did."""
        if self._reference is not None:
            return
        lean = is_large(analysis.graph)
        run = partial(
            reference, self.original[0], analysis.pictured, sizes=analysis.sizes, lean=lean
        )
        self._reference = cache(run) if lean else self.beside.submit(run).result

    def reference(self) -> Reference:
        """Wait for what :meth:`compare` began.

        Raises:
            ModelError: The float network does not load or run, or is not finite.
        """
        assert self._reference is not None
        return self._reference()


@contextmanager
def begun(source: "Source", tell: Progress, statistics: Statistics | None = None) -> Iterator[Run]:
    """Begin a call; its thread ends with it."""
    with ThreadPoolExecutor(1, thread_name_prefix="spiq") as beside:
        yield Run(source, tell, beside, statistics)
