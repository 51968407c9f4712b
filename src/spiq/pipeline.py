"""The way through the house: from a model without data to a quantized model.

    read -> prepare -> measure -> place and plan -> rewrite -> emit -> verify

:func:`plan` is the first half, :func:`apply` the second, :func:`quantize` both.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq import __version__
from spiq.config import Config
from spiq.emit.dynamic import emit_dynamic
from spiq.emit.qdq import emit
from spiq.errors import PlanError
from spiq.graph.edit import remove_unused
from spiq.graph.fingerprint import fingerprint
from spiq.inspection.layers import layer_results
from spiq.inspection.results import WARNING, QuantizeResult
from spiq.io.read import read
from spiq.io.write import serialize, write
from spiq.methods import METHODS
from spiq.passes.equalize import equalize
from spiq.passes.prepare import Prepared, prepare
from spiq.planning.choose.decide import make_plan, placed
from spiq.planning.choose.mixed import bits_per_weight, packed_bytes
from spiq.planning.placement.place import Placement
from spiq.planning.plan.resolve import Resolved, resolve
from spiq.planning.plan.validate import check_fits, check_settings
from spiq.planning.plan.values import Plan
from spiq.rewriting.dense_groups import fill_groups
from spiq.rewriting.fold_scales import fold_scales
from spiq.rewriting.prelu import prelu_as_max
from spiq.rewriting.round_dynamic import round_dynamic
from spiq.rewriting.round_weights import round_layer
from spiq.rewriting.rounding import ROUNDINGS, needs_correlation
from spiq.runtime.correlations import observe_correlations
from spiq.runtime.observe import lacks_statistics, observe
from spiq.runtime.session import session
from spiq.runtime.verify import verify
from spiq.stats.consistency import range_doubts, statistics_doubts
from spiq.stats.correlation import Correlation
from spiq.stats.inputs import Ends, input_stats
from spiq.stats.propagate import Measured, measure
from spiq.targets import TARGETS, Target

if TYPE_CHECKING:
    import onnx

    Source = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model

Progress = Callable[[str], None]
"""Told the name of each step as it begins."""

STEPS = ("read", "prepare", "measure", "plan", "rewrite", "emit", "verify")


def _silent(step: str) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Quantized:
    """A quantized network.

    Attributes:
        model: The serialized ONNX model.
        plan: What was decided.
        report: What was done.
        source: Path of the float model, if it came from one.
    """

    model: bytes
    plan: Plan
    report: QuantizeResult
    source: str | None = None

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the model to ``path``, whole or not at all.

        Args:
            path: Where to.
            force: Overwrite even the float model.

        Raises:
            OutputError: The path cannot be written, or is that of the float model.
        """
        write(self.model, path, source=self.source, force=force)

    def run(self, inputs: dict[str, npt.NDArray[np.generic]]) -> dict[str, npt.NDArray[np.generic]]:
        """Run the model in ONNX Runtime; outputs by name."""
        opened = session(self.model)
        names = [output.name for output in opened.get_outputs()]
        return dict(zip(names, opened.run(names, inputs), strict=True))


def quantize(
    model: "Source", config: Config | None = None, *, progress: Progress | None = None
) -> Quantized:
    """Quantize a network without data.

    Args:
        model: Path of an ONNX file, its bytes, an ``onnx.ModelProto`` or an ``onnx_ir.Model``
            (which is not changed).
        config: The options; the defaults are W8A8, method ``spiq``, target ``onnxruntime``.
        progress: Told the name of each step of ``STEPS`` as it begins.

    Raises:
        ModelError: The model cannot be used; the message says why and what to do.
        ConfigError: The options do not fit the model.
        VerificationError: The result fails its check in the runtime.
    """
    start, tell = time.perf_counter(), progress or _silent
    tell("read")
    network = read(model)
    made, placement, prepared, measured = _decide(network, config or Config(), tell)
    return _carry_out(made, placement, prepared, measured, model, start, tell)


def plan(
    model: "Source", config: Config | None = None, *, progress: Progress | None = None
) -> Plan:
    """Decide how to quantize a network, and change nothing: arguments as for :func:`quantize`."""
    tell = progress or _silent
    tell("read")
    return _decide(read(model), config or Config(), tell)[0]


def apply(model: "Source", plan: Plan, *, progress: Progress | None = None) -> Quantized:
    """Quantize a network by a plan.

    Args:
        model: The model that the plan was made for.
        plan: From :func:`plan`, or :meth:`Plan.load`.
        progress: Told the name of each step as it begins.

    Raises:
        PlanError: The plan was made for another model, or was edited beyond sense.
        ModelError: The model cannot be used.
        VerificationError: The result fails its check in the runtime.
    """
    start, tell = time.perf_counter(), progress or _silent
    tell("read")
    network = read(model)
    found = fingerprint(network)
    if found != plan.model_hash:
        raise PlanError(
            f"the plan was made for another model (its hash is {plan.model_hash[:12]}, this one's "
            f"{found[:12]}): make a new plan with --save-plan"
        )
    check_settings(plan, ROUNDINGS)
    prepared, measured, _ = analyse(network, Config(method=plan.method), tell, plan.inputs)
    graph, method = prepared.model.graph, METHODS[plan.method]
    placement = placed(graph, measured, TARGETS[plan.target], method, plan.left_in_float)
    followed = check_fits(graph, plan, placement)
    return _carry_out(followed, placement, prepared, measured, model, start, tell)


def analyse(
    network: ir.Model,
    config: Config,
    tell: Progress = _silent,
    known_ends: Mapping[str, Ends] | None = None,
) -> tuple[Prepared, Measured, tuple[str, ...]]:
    """Prepare a network, in place, and learn what its tensors look like.

    Args:
        network: The network.
        config: The options.
        tell: Told the name of each step as it begins.
        known_ends: Ranges of inputs that a plan has decided, by name.

    Returns:
        The prepared network, the statistics of its tensors, and the assumptions made; what
        casts doubt on the result begins with ``WARNING``.
    """
    tell("prepare")
    prepared = prepare(network)
    tell("measure")
    known, notes = input_stats(prepared, config, known_ends)
    stated = not lacks_statistics(prepared)
    if not stated:
        prepared = observe(prepared, known)
        notes.append(
            "the file holds no BatchNorm statistics to speak of: moments were observed on "
            "synthetic images instead; export with BatchNorm kept for better ranges"
        )
    measured = measure(prepared, known)
    doubts = statistics_doubts(prepared, measured) if stated else []
    if config.input_range is not None or config.input_mean is not None:
        doubts += range_doubts(prepared, known)
    notes.extend(WARNING + doubt for doubt in doubts)
    if METHODS[config.method].equalizes:
        prepared = equalize(prepared)
        measured = measure(prepared, known)
    if measured.unknown:
        notes.append(
            f"no statistics rule for {', '.join(measured.unknown[:3])}"
            f"{' and others' if len(measured.unknown) > 3 else ''}: layers behind it stay in float "
            "until the next BatchNorm"
        )
    return prepared, measured, tuple(notes)


def _decide(
    network: ir.Model, config: Config, tell: Progress
) -> tuple[Plan, Placement, Prepared, Measured]:
    hashed = fingerprint(network)
    prepared, measured, notes = analyse(network, config, tell)
    tell("plan")
    made, placement = make_plan(
        prepared.model.graph,
        measured,
        config,
        model_hash=hashed,
        version=__version__,
        notes=notes,
    )
    return made, placement, prepared, measured


def _carry_out(
    made: Plan,
    placement: Placement,
    prepared: Prepared,
    measured: Measured,
    source: "Source",
    start: float,
    tell: Progress,
) -> Quantized:
    graph = prepared.model.graph
    layers = layer_results(graph, measured, made)
    mean_bits, packed = bits_per_weight(graph, made), packed_bytes(graph, made)
    target = TARGETS[made.target]
    tell("rewrite")
    resolved = resolve(made, placement)
    ends = {
        str(value.name): (known.low, known.high)
        for value in graph.inputs
        if (known := measured.stats.get(value)) is not None
    }
    write_integers = _write_dynamic if METHODS[made.method].dynamic else _write_static
    coarse = [name for name, layer in resolved.layers.items() if needs_correlation(layer)]
    correlations = observe_correlations(prepared.model, coarse, measured.stats)
    write_integers(graph, resolved, measured, correlations, target, tell)
    if target.slow_prelu:
        prelu_as_max(graph)
    remove_unused(graph)
    _sign(prepared.model, made)
    quantized = serialize(prepared.model)
    tell("verify")
    original, size = _original(source)
    verified = verify(original, quantized, resolved, ends)
    report = QuantizeResult(
        method=made.method,
        target=made.target,
        weight_bits=made.weight_bits,
        activation_bits=made.activation_bits,
        layers=layers,
        bytes_before=size,
        bytes_after=len(quantized),
        seconds=time.perf_counter() - start,
        bits_per_weight=mean_bits,
        packed_bytes=packed,
        snr_db=verified.snr_db,
        no_snr=verified.no_snr,
        notes=made.notes,
    )
    return Quantized(quantized, made, report, original if isinstance(original, str) else None)


def _write_static(
    graph: ir.Graph,
    resolved: Resolved,
    measured: Measured,
    correlations: Mapping[str, Correlation],
    target: Target,
    tell: Progress,
) -> None:
    """Rewrite and emit with ranges that are known beforehand."""
    sources = {
        str(node.name): measured.stats[node.inputs[0]]
        for node in graph
        if node.name in resolved.layers and node.inputs[0] is not None
    }
    folded = fold_scales(graph, resolved)
    fill_groups(folded, target.dense_groups)
    rounded = {
        node: round_layer(
            node,
            resolved.layers[str(node.name)],
            resolved.tensors[str(node.inputs[0].name)],
            sources[str(node.name)],
            correlations.get(str(node.name)),
        )
        for node in folded
        if node.inputs[0] is not None
    }
    tell("emit")
    emit(graph, resolved, rounded)


def _write_dynamic(
    graph: ir.Graph,
    resolved: Resolved,
    measured: Measured,
    correlations: Mapping[str, Correlation],
    target: Target,
    tell: Progress,
) -> None:
    """Rewrite and emit with ranges that are measured as the network runs."""
    layers = [node for node in graph if node.name in resolved.layers]
    fill_groups(layers, target.dense_groups)
    rounded = {
        node: round_dynamic(
            node,
            resolved.layers[str(node.name)],
            measured.stats.get(node.inputs[0]) if node.inputs[0] is not None else None,
            correlations.get(str(node.name)),
        )
        for node in layers
    }
    tell("emit")
    emit_dynamic(graph, rounded)


def _sign(model: ir.Model, made: Plan) -> None:
    """Write method, version and options into the model's metadata."""
    model.metadata_props["spiq.version"] = made.version
    model.metadata_props["spiq.method"] = made.method
    options = {
        "target": made.target,
        "weight_bits": made.weight_bits,
        "activation_bits": made.activation_bits,
        "model_hash": made.model_hash,
        "plan_hash": hashlib.sha256(made.to_json().encode()).hexdigest(),
        "notes": made.notes,
    }
    model.metadata_props["spiq.options"] = json.dumps(options, sort_keys=True)


def _original(source: "Source") -> tuple[bytes | str, int]:
    """Return the float model for the runtime, and its size in bytes."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source), Path(source).stat().st_size
    plain = source if isinstance(source, bytes) else serialize(source)
    return plain, len(plain)
