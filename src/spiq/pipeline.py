"""The way through the house: from a model without data to a quantized model.

    read -> prepare -> measure -> place and plan -> rewrite -> emit -> verify -> time

:func:`plan` is the first half, :func:`apply` the second, :func:`quantize` both.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import onnx_ir as ir

from spiq import __version__
from spiq.analysis import Analysis, Progress, analyse, silent
from spiq.config import Config
from spiq.errors import WARNING, ConfigError, VerificationError
from spiq.inspection.layers import layer_results
from spiq.io.read import beside
from spiq.io.write import serialize, size_of
from spiq.methods import METHODS
from spiq.planning.choose.decide import choose, make_plan, placed
from spiq.planning.choose.mixed import bits_per_weight, packed_bytes
from spiq.planning.choose.structure import structure_of
from spiq.planning.errors.expected import ExpectedError, expected_errors
from spiq.planning.placement.values import Placement
from spiq.planning.plan.resolve import resolve
from spiq.planning.plan.validate import check_fits, check_hash, check_settings
from spiq.planning.plan.values import Plan
from spiq.quantized import Quantized, QuantizeResult
from spiq.rewrite import rewrite
from spiq.rewriting.rounding import ROUNDINGS
from spiq.run import Run, begun
from spiq.runtime.verify import verify
from spiq.speed import SLACK, Made, ParetoResult, no_slower
from spiq.speed import pareto as costs_of_accuracy
from spiq.stats.sidecar import Statistics
from spiq.targets import TARGETS

if TYPE_CHECKING:
    import onnx

    Source = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model

STEPS = ("read", "prepare", "measure", "plan", "rewrite", "emit", "verify", "time")


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
    config = config or Config()
    with begun(model, progress or silent, statistics) as run:
        if config.timing and TARGETS[config.target].is_here and not run.is_large:
            timed = _timed(run, config)
            if timed is not None:
                return timed
        return _quantized(run, config, {}).quantized


def _timed(run: Run, config: Config) -> Quantized | None:
    """Quantize what is faster, or little slower and more exact; None where that cannot be told."""
    gives_back = run.again = config.gives_back
    made = _quantized(run, config, {}, relieve=not gives_back)
    run.tell("time")
    again = partial(_quantized, run, config, relieve=False) if gives_back else None
    return no_slower(run.original[0], made, again, SLACK[config.prefer])


def _quantized(run: Run, config: Config, kept: Mapping[str, str], *, relieve: bool = True) -> Made:
    """Quantize with the nodes in ``kept`` in float, and those besides that the runtime refuses."""
    for _ in range(_TRIES - 1):
        try:
            return _tried(run, config, kept, relieve)
        except VerificationError as error:
            more = {name: why for name, why in error.nodes.items() if name not in kept}
            if not more:
                raise
            kept = {**kept, **more}
    return _tried(run, config, kept, relieve)


def _tried(run: Run, config: Config, kept: Mapping[str, str], relieve: bool) -> Made:
    model_hash, analysis = run.learn(config)
    run.compare(analysis)
    decided = decide(run, config, model_hash, analysis, kept, relieve=relieve)
    return carry_out(decided, run)


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
        return decide(run, config, *run.learn(config)).plan


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
        return carry_out(Decided(followed, placement, analysis), run).quantized


def pareto(
    model: "Source",
    config: Config | None = None,
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> ParetoResult:
    """Work out what accuracy costs in time on this machine: arguments as for :func:`quantize`.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> spiq.pareto(model_path()).points[0].slack
    0.0

    Raises:
        ConfigError: Nothing would go back to float by these options.
    """
    config = config or Config()
    if not config.gives_back:
        raise ConfigError("pareto needs method spiq, 8 bits and a target that runs on this machine")
    with begun(model, progress or silent, statistics) as run:
        made = _quantized(run, config, {}, relieve=False)
        run.tell("time")
        return costs_of_accuracy(run.original[0], made)


@dataclass(frozen=True)
class Decided:
    """What is to be done to a network, what is known of it, and at times what layers may lose."""

    plan: Plan
    placement: Placement
    analysis: Analysis
    errors: Mapping[str, ExpectedError] = field(default_factory=dict)
    spared: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> ir.Model:
        """The prepared network."""
        return self.analysis.prepared.model


def decide(
    run: Run,
    config: Config,
    model_hash: str,
    analysis: Analysis,
    kept: Mapping[str, str] | None = None,
    *,
    relieve: bool = True,
) -> Decided:
    """Place and plan, with the nodes in ``kept`` in float."""
    run.tell("plan")
    graph, measured = analysis.graph, analysis.measured
    importance = analysis.importance
    chosen = choose(graph, measured, config, kept, importance, relieve=relieve, before=run.decided)
    run.decided.update(chosen.decided)
    made = make_plan(
        graph,
        measured,
        chosen,
        config,
        model_hash=model_hash,
        version=__version__,
        notes=analysis.notes,
    )
    placement = chosen.placement
    errors = {} if relieve else expected_errors(graph, measured, made, placement, importance)
    return Decided(made, placement, analysis, errors, chosen.spared)


def carry_out(decided: Decided, run: Run) -> Made:
    """Take the second half of the way: rewrite, emit and verify."""
    plan, resolved = decided.plan, resolve(decided.plan, decided.placement)
    expected = {name: error.total for name, error in decided.errors.items()}
    following = decided.analysis.prepared.next_names
    structure = structure_of(decided.model.graph, decided.placement, expected, following)
    layers = layer_results(decided.model.graph, decided.analysis.measured, plan)
    mean_bits = bits_per_weight(decided.model.graph, plan)
    packed = packed_bytes(decided.model.graph, plan)

    rewritten = run.to_rewrite(decided.analysis)
    rewrite(rewritten, decided.analysis, plan, resolved, run.tell)
    quantized = rewritten if run.in_parts else serialize(rewritten)

    run.tell("verify")
    original, size = run.original
    verified = verify(run.reference(), quantized, resolved, TARGETS[plan.target])

    report = QuantizeResult(
        method=plan.method,
        target=plan.target,
        weight_bits=plan.weight_bits,
        activation_bits=plan.activation_bits,
        layers=layers,
        bytes_before=size + beside(decided.model),
        bytes_after=size_of(quantized),
        seconds=time.perf_counter() - run.start,
        bits_per_weight=mean_bits,
        packed_bytes=packed,
        snr_db={name: found.db for name, found in verified.snr.items()},
        snr_interval_db={name: (found.low, found.high) for name, found in verified.snr.items()},
        no_snr=verified.no_snr,
        notes=(*plan.notes, *verified.notes, *(WARNING + doubt for doubt in verified.warnings)),
    )
    source = original if isinstance(original, str) else None
    made = Quantized(quantized, plan, report, source)
    return Made(made, structure, decided.analysis.sizes, decided.spared)
