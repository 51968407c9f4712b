"""Check a quantized network in the runtime before success is reported.

1. The very bytes that ship load with the runtime's default optimizations and run; each output has
   the type and shape of the float network's, and is finite if that is. (Its sizes
   may differ only where they depend on what is found, such as the boxes that are kept.)
2. Every layer that the plan quantizes ended in an integer kernel there.
3. The signal-to-noise ratio of each float output is that of these bytes, against the float
   network, with what it may be on real images, see :mod:`spiq.runtime.agreement`; or it is said why
   there is none.
4. Layer by layer, what the kernels store is within two steps of what the graph means, see
   :mod:`spiq.runtime.layerwise`.

A large network is opened and checked in parts, see :mod:`spiq.runtime.parted_check`.

Of a network for another runtime 1 and 3 hold, computed as it is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from spiq.errors import ModelError, VerificationError
from spiq.graph.skeleton import skeleton
from spiq.planning.plan.resolve import Resolved
from spiq.runtime.agreement import Agreement, doubtful
from spiq.runtime.kernels import check_kernels
from spiq.runtime.layerwise import QUANTIZED, check_layers
from spiq.runtime.opened import Tensors
from spiq.runtime.parted_check import checked_in_parts
from spiq.runtime.reference import Reference, is_finite, is_number, results
from spiq.runtime.scratch import scratch_file
from spiq.runtime.session import Opening, session
from spiq.targets import ONNXRUNTIME, Target

_SIZED_BY_DATA = frozenset({"Compress", "If", "Loop", "NonMaxSuppression", "NonZero", "Range",
                            "Scan", "Unique"})  # fmt: skip
"""Operators whose results are as large as their numbers say."""

_IN_PARTS = (
    "so large a network was run and checked in parts, each with the runtime's own kernels: that "
    "the runtime opens the whole file was not checked, nor was it timed"
)


@dataclass(frozen=True)
class Verified:
    """How far the outputs are from the float network's.

    Attributes:
        snr: Signal-to-noise ratio, by output.
        no_snr: Why there is none, by output.
        notes: What else is to be said.
    """

    snr: dict[str, Agreement]
    no_snr: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What is to be said of poor outputs."""
        return doubtful(self.snr)


def verify(
    float_network: Reference,
    quantized: bytes | ir.Model,
    resolved: Resolved,
    target: Target = ONNXRUNTIME,
) -> Verified:
    """Check ``quantized``; return the SNR of each float output, or why there is none.

    Args:
        float_network: What the float network makes of some pictures.
        quantized: The quantized one; one that is given as a graph is opened in parts.
        resolved: What was done to it.
        target: The runtime that it is for. If that is not ONNX Runtime, the network is computed as
            it is written.

    Raises:
        VerificationError: It does not load, does not run, is not finite, lost an integer kernel,
            has other outputs, or computes something else than the graph says. Where a node is to
            blame, the error names it.
    """
    proto = skeleton(quantized) if isinstance(quantized, ir.Model) else _parsed(quantized)
    batches, lean = float_network.every, float_network.lean
    try:
        how = Opening(lean=lean, signed=target.grids.signed)
        if isinstance(quantized, ir.Model):
            actual = checked_in_parts(quantized, resolved, batches, how, fuses=target.fuses_here)
        elif target.fuses_here:
            actual = _run_shipped(quantized, resolved, batches, how)
        else:
            opened = session(quantized, lean=lean, optimize=False, name=QUANTIZED)
            take = _one_by_one if target.static else _at_once
            actual = [take(opened, inputs) for inputs in batches]
        for wanted, found in zip(float_network.outputs, actual, strict=False):
            _check_outputs(wanted, found, _open_sized(proto.graph))
        if target.fuses_here and isinstance(quantized, bytes):
            check_layers(proto, batches[0], how)
    except ModelError as error:
        raise VerificationError(str(error), nodes=_suspects(str(error), resolved)) from error
    estimates = float_network.estimates(actual)
    return Verified(
        {name: one for name, one in estimates.items() if not isinstance(one, str)},
        {name: why for name, why in estimates.items() if isinstance(why, str)},
        (_IN_PARTS,) if isinstance(quantized, ir.Model) else (),
    )


def _parsed(quantized: bytes) -> onnx.ModelProto:
    return onnx.load_from_string(quantized)


def _run_shipped(
    quantized: bytes, resolved: Resolved, batches: Iterable[Tensors], how: Opening
) -> list[Tensors]:
    """Open the very bytes as any user would, see that the kernels are integer ones, and run."""
    with scratch_file() as optimized:
        opened = session(quantized, **how, optimized_path=optimized, name=QUANTIZED)
        check_kernels(optimized, resolved.layers, resolved.products)
    return [results(opened, inputs, where=QUANTIZED) for inputs in batches]


def _at_once(opened: ort.InferenceSession, inputs: Tensors) -> Tensors:
    return results(opened, inputs, where=QUANTIZED)


def _one_by_one(opened: ort.InferenceSession, inputs: Tensors) -> Tensors:
    """Run a network whose batch is fixed, as many times as the inputs have batches of that size."""
    size = next((v.shape[0] for v in opened.get_inputs() if len(v.shape) > 1), 1)
    count = next((len(array) for array in inputs.values() if array.ndim > 1), size)
    if count == size or count % size:
        return _at_once(opened, inputs)
    parts = [
        _at_once(opened, {k: a[start : start + size] for k, a in inputs.items()})
        for start in range(0, count, size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_outputs(expected: Tensors, actual: Tensors, open_sized: frozenset[str]) -> None:
    for name, array in expected.items():
        found = actual.get(name)
        if found is None:
            raise VerificationError(f"output '{name}' is missing in the quantized network")
        same = found.ndim == array.ndim if name in open_sized else found.shape == array.shape
        if found.dtype != array.dtype or not same:
            raise VerificationError(
                f"output '{name}' of the quantized network is {found.dtype} {list(found.shape)}, "
                f"but {array.dtype} {list(array.shape)} in float: report this"
            )
        if not (is_finite(found) or (is_number(found) and not is_finite(array))):
            raise VerificationError(f"output '{name}' of the quantized network is not finite")


def _open_sized(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the tensors whose sizes may depend on what is found, by name."""
    found: set[str] = set()
    for node in graph.node:
        if node.op_type in _SIZED_BY_DATA or node.domain or not found.isdisjoint(node.input):
            found.update(node.output)
    return frozenset(found)


def _suspects(message: str, resolved: Resolved) -> dict[str, str]:
    """Return the operators to leave in float where the runtime refuses the network.

    Those that its message names, or else all operators between the layers.
    """
    quoted = (f"({name})" in message or f"'{name}'" in message or f'"{name}"' in message
              for name in resolved.integer)  # fmt: skip
    named = [name for name, is_named in zip(resolved.integer, quoted, strict=True) if is_named]
    between = [name for name in resolved.integer if name not in resolved.layers]
    return dict.fromkeys(named or between, "ONNX Runtime refuses its integer form")
