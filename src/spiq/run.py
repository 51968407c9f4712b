"""One call: the network that was given, what is known of it, and what is worked out beside.

A network may be quantized more than once in a call, with other layers in float each time: what is
known of it, and decided of tensors that this does not touch, holds for all of them.

The float network's outputs, which the quantized one is compared with at the end, depend on nothing
but its inputs' ranges. The runtime computes them in a thread, while planning keeps one core busy;
for large images at the end, since then memory counts for more than time. (Of a large network only
parts are in memory, so there it is no matter.)
"""

import os
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from spiq.analysis import Analysis, Progress, analyse
from spiq.config import Config
from spiq.graph.fingerprint import contents, digest
from spiq.io.precision import widened_from
from spiq.io.read import read
from spiq.io.told import is_told
from spiq.io.write import serialize
from spiq.passes.float_form import computes_parameters, with_norms_folded
from spiq.planning.choose.by_group import DecidedGroup
from spiq.runtime.parts import Parted, is_parted, parted
from spiq.runtime.reference import Reference, is_large, reference
from spiq.runtime.session import spare_threads
from spiq.stats.exponential import exponential
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
        decided: What was decided of groups of tensors, by all that it depends on.
        again: Whether the network may be quantized once more: its weights stay in memory then.
    """

    source: "Source"
    tell: Progress
    beside: Executor
    statistics: Statistics | None = None
    start: float = field(default_factory=time.perf_counter)
    decided: dict[Hashable, DecidedGroup] = field(default_factory=dict)
    again: bool = False
    _learned: tuple[str, Analysis] | None = None
    _reference: Callable[[], Reference] | None = None
    _in_parts: Parted | None = None
    _single: bytes | None = None
    _computes_parameters: bool = False
    _read: ir.Model | None = None

    def read(self) -> ir.Model:
        """Read the network."""
        network, self._read = self._read or self._loaded(), None
        return network

    @property
    def is_large(self) -> bool:
        """Whether the network is so large that it is worked on piece by piece: it is read now."""
        if self._read is None:
            self._read = self._loaded()
        return self.in_parts

    @property
    def in_parts(self) -> bool:
        """Whether the network that was read is so large."""
        return self._in_parts is not None

    def _loaded(self) -> ir.Model:
        self.tell("read")
        network = read(self.source)
        if widened_from(network) or is_told(network):
            self._single = serialize(network)
        if is_parted(network):
            self._in_parts = parted(network)
        self._computes_parameters = computes_parameters(network)
        return network

    def learn(self, config: Config) -> tuple[str, Analysis]:
        """Read, prepare and measure: return the network's hash, and what is known of it."""
        if self._learned is None:
            network = self.read()
            model_hash = self._hashed(network)
            known = analyse(network, config, self.tell, statistics=self.statistics)
            self._learned = model_hash(), known
        return self._learned

    def _hashed(self, network: ir.Model) -> Callable[[], str]:
        """Return what waits for the network's hash, which a thread works out."""
        return self.beside.submit(digest, list(contents(network))).result

    def to_rewrite(self, known: Analysis) -> ir.Model:
        """Return the prepared network to be changed: a copy where it may be needed once more."""
        if self.again:
            return known.prepared.model.clone(deep_copy=True)
        self._learned = None
        self.decided.clear()
        return known.prepared.model

    @cached_property
    def original(self) -> bytes | str:
        """The float network for the runtime."""
        if isinstance(self.source, (str, os.PathLike)):
            return self._single or os.fspath(self.source)
        return self._single or self._plain

    @cached_property
    def quickest(self) -> bytes | str:
        """The float network that the result is timed beside, BatchNorm folded if need be."""
        if not self._computes_parameters:
            return self.original
        return serialize(with_norms_folded(read(self.source)))

    @cached_property
    def _plain(self) -> bytes:
        """What was handed over, as bytes."""
        assert not isinstance(self.source, (str, os.PathLike))
        return self.source if isinstance(self.source, bytes) else serialize(self.source)

    @property
    def size(self) -> int:
        """Bytes of the network as it was given, without what lies beside its file."""
        if isinstance(self.source, (str, os.PathLike)):
            return Path(self.source).stat().st_size
        if isinstance(self.source, onnx.ModelProto):
            return int(self.source.ByteSize())
        return len(self._plain)

    def compare(self, analysis: Analysis) -> None:
        """Begin to work out what the quantized network is compared with, if nobody did."""
        if self._reference is not None:
            return
        lean = self.in_parts or is_large(analysis.graph)
        network = self._in_parts or self.original
        made = exponential(analysis.graph, analysis.measured)
        wait = lean and not self.in_parts
        run = partial(
            reference,
            network,
            analysis.pictured,
            sizes=analysis.sizes,
            lean=lean,
            exponential=made,
            threads=0 if wait else spare_threads(),
            rivals=analysis.rivals,
        )
        self._reference = cache(run) if wait else self.beside.submit(run).result

    def reference(self) -> Reference:
        """Wait for what :meth:`compare` began.

        Raises:
            ModelError: The float network does not load or run, or is not finite.
        """
        assert self._reference is not None
        return self._reference()


@contextmanager
def begun(source: "Source", tell: Progress, statistics: Statistics | None = None) -> Iterator[Run]:
    """Begin a call; its thread ends with it.

    Args:
        source: The network as it is given.
        tell: Told the name of each step as it begins.
        statistics: Statistics that are kept beside the network, if there are any.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="spiq") as beside:
        yield Run(source, tell, beside, statistics)
