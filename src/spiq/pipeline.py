"""The way through the house: from a model without data to a quantized model.

    read -> prepare -> measure -> place and plan -> rewrite -> emit -> verify

:func:`plan` is the first half, :func:`apply` the second, :func:`quantize` both.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from spiq import __version__
from spiq.analysis import Analysis, Progress, analyse, silent
from spiq.config import Config
from spiq.emit.channel_padding import pad_channels
from spiq.emit.dynamic import emit_dynamic
from spiq.emit.gates import gates_as_sums
from spiq.emit.products import scales_into_products
from spiq.emit.qdq import emit
from spiq.errors import WARNING, VerificationError
from spiq.graph.edit import remove_unused
from spiq.graph.fingerprint import fingerprint
from spiq.inspection.layers import layer_results
from spiq.io.read import beside
from spiq.io.write import serialize
from spiq.methods import METHODS
from spiq.planning.choose.decide import choose, make_plan, placed
from spiq.planning.choose.mixed import bits_per_weight, packed_bytes
from spiq.planning.errors.importance import importance_of
from spiq.planning.placement.values import Placement
from spiq.planning.plan.resolve import Resolved, resolve
from spiq.planning.plan.validate import check_fits, check_hash, check_settings
from spiq.planning.plan.values import Plan
from spiq.quantized import Quantized, QuantizeResult
from spiq.rewriting.float_layers import fold_factors
from spiq.rewriting.gates import gates_as_convolutions
from spiq.rewriting.prelu import prelu_as_max
from spiq.rewriting.round_layers import layer_inputs, round_stored, round_unstored
from spiq.rewriting.rounding import ROUNDINGS, needs_correlation
from spiq.run import Run, begun
from spiq.runtime.correlations import observe_correlations
from spiq.runtime.verify import verify
from spiq.stats.sidecar import Statistics
from spiq.targets import TARGETS

if TYPE_CHECKING:
    import onnx

    Source = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model

STEPS = ("read", "prepare", "measure", "plan", "rewrite", "emit", "verify")


def quantize(
    model: "Source",
    config: Config | None = None,
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a network without data.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> result = spiq.quantize(model_path())
    >>> result.report.snr_db["logits"] > 20
    True

    ``result.save("model.int8.onnx")`` writes it.

    Args:
        model: Path of an ONNX file, its bytes, an ``onnx.ModelProto`` or an ``onnx_ir.Model``
            (which is not changed).
        config: The options; the defaults are W8A8, method ``spiq``, target ``onnxruntime``.
        statistics: What BatchNorm said before it was folded away: :func:`spiq.torch.statistics`,
            or ``Statistics.load`` of :mod:`spiq.stats.sidecar`.
        progress: Told the name of each step of ``STEPS`` as it begins.

    Raises:
        ModelError: The model cannot be used; the message says why and what to do.
        ConfigError: The options or the statistics do not fit the model.
        VerificationError: The result fails its check in the runtime.
    """
    config, kept = config or Config(), dict[str, str]()
    with begun(model, progress or silent, statistics) as run:
        for _ in range(_TRIES - 1):
            try:
                return _quantized(run, config, kept)
            except VerificationError as error:
                more = {name: why for name, why in error.nodes.items() if name not in kept}
                if not more:
                    raise
                kept |= more
        return _quantized(run, config, kept)


def _quantized(run: Run, config: Config, kept: Mapping[str, str]) -> Quantized:
    model_hash, analysis = _learn(run, config)
    run.compare(analysis)
    return _carry_out(_decide(run, config, model_hash, analysis, kept), run)


_TRIES = 4
"""How often a network is quantized at most: each time with what the runtime cannot compute on
integers, as verification found, left in float."""


def plan(
    model: "Source",
    config: Config | None = None,
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Decide how to quantize a network, and change nothing: arguments as for :func:`quantize`.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> made = spiq.plan(model_path(), spiq.Config(weight_bits=6))
    >>> made.layers["/stem/conv/Conv"].bits
    6
    """
    config = config or Config()
    with begun(model, progress or silent, statistics) as run:
        return _decide(run, config, *_learn(run, config)).plan


def apply(
    model: "Source",
    plan: Plan,
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a network by a plan.

    >>> import spiq
    >>> from dataclasses import replace
    >>> from spiq.demo import model_path
    >>> made = spiq.plan(model_path())
    >>> edited = replace(made, left_in_float={"/classifier/Gemm": "I want it exact"})
    >>> spiq.apply(model_path(), edited).report.float_layers[0].reason
    'I want it exact'

    Args:
        model: The model that the plan was made for.
        plan: From :func:`plan`, or :meth:`Plan.load`.
        statistics: Those that the plan was made with, if any.
        progress: Told the name of each step as it begins.

    Raises:
        PlanError: The plan was made for another model, or was edited beyond sense.
        ModelError: The model cannot be used.
        VerificationError: The result fails its check in the runtime.
    """
    with begun(model, progress or silent, statistics) as run:
        network = run.read()
        check_hash(plan, network)
        check_settings(plan, ROUNDINGS)

        config = Config(method=plan.method, input_size=plan.input_size)
        analysis = analyse(network, config, run.tell, plan.inputs, statistics)
        run.compare(analysis)
        target, method = TARGETS[plan.target], METHODS[plan.method]
        placement = placed(analysis.graph, analysis.measured, target, method, plan.left_in_float)
        followed = check_fits(analysis.graph, plan, placement)
        return _carry_out(_Decided(followed, placement, analysis), run)


@dataclass(frozen=True)
class _Decided:
    """What is to be done to a network: the plan, the placement that it is for, what is known."""

    plan: Plan
    placement: Placement
    analysis: Analysis

    @property
    def model(self) -> ir.Model:
        """The prepared network, which rewriting changes."""
        return self.analysis.prepared.model


def _learn(run: Run, config: Config) -> tuple[str, Analysis]:
    """Read, prepare and measure: return the hash of the network, and what is known of it."""
    network = run.read()
    model_hash = fingerprint(network)
    return model_hash, analyse(network, config, run.tell, statistics=run.statistics)


def _decide(
    run: Run,
    config: Config,
    model_hash: str,
    analysis: Analysis,
    kept: Mapping[str, str] | None = None,
) -> _Decided:
    """Place and plan, with the nodes in ``kept`` in float."""
    run.tell("plan")
    graph, measured = analysis.graph, analysis.measured
    importance = importance_of(graph, measured)
    chosen = choose(graph, measured, config, kept, importance)
    made = make_plan(
        graph,
        measured,
        chosen,
        config,
        model_hash=model_hash,
        version=__version__,
        notes=analysis.notes,
    )
    return _Decided(made, chosen.placement, analysis)


def _carry_out(decided: _Decided, run: Run) -> Quantized:
    """Take the second half of the way: rewrite, emit and verify."""
    plan, resolved = decided.plan, resolve(decided.plan, decided.placement)
    layers = layer_results(decided.model.graph, decided.analysis.measured, plan)
    mean_bits = bits_per_weight(decided.model.graph, plan)
    packed = packed_bytes(decided.model.graph, plan)

    _rewrite(decided, resolved, run.tell)
    _sign(decided.model, plan)
    quantized = serialize(decided.model)

    run.tell("verify")
    original, size = run.original
    verified = verify(run.reference(), quantized, resolved)

    report = QuantizeResult(
        method=plan.method,
        target=plan.target,
        weight_bits=plan.weight_bits,
        activation_bits=plan.activation_bits,
        layers=layers,
        bytes_before=size + beside(decided.model),
        bytes_after=len(quantized),
        seconds=time.perf_counter() - run.start,
        bits_per_weight=mean_bits,
        packed_bytes=packed,
        snr_db={name: found.db for name, found in verified.snr.items()},
        snr_interval_db={name: (found.low, found.high) for name, found in verified.snr.items()},
        no_snr=verified.no_snr,
        notes=(*plan.notes, *(WARNING + doubt for doubt in verified.warnings)),
    )
    return Quantized(quantized, plan, report, original if isinstance(original, str) else None)


def _rewrite(decided: _Decided, resolved: Resolved, tell: Progress) -> None:
    """Fold, round and write integers, in place."""
    model, target = decided.model, TARGETS[decided.plan.target]
    stats = decided.analysis.measured.stats

    tell("rewrite")
    coarse = [name for name, layer in resolved.layers.items() if needs_correlation(layer)]
    correlations = observe_correlations(
        model, coarse, stats, decided.analysis.images, size=decided.analysis.sizes.quick
    )
    inputs = layer_inputs(model.graph, resolved, stats, correlations)

    if METHODS[decided.plan.method].dynamic:
        unstored = round_unstored(model.graph, resolved, inputs, target.dense_groups)
        tell("emit")
        emit_dynamic(model.graph, unstored)
    else:
        stored = round_stored(model.graph, resolved, inputs, target.dense_groups)
        gates = gates_as_convolutions(model.graph, resolved, target.weight_bits)
        tell("emit")
        emit(model.graph, gates.resolved, stored | gates.rounded)
        gates_as_sums(model.graph, resolved)
        scales_into_products(model.graph, resolved)
        fold_factors(model.graph)
        pad_channels(model.graph, target.channel_multiple)

    if target.slow_prelu:
        prelu_as_max(model.graph)
    remove_unused(model.graph)


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
