"""The two halves of the way: decide what is to be done to a network, and do it."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import onnx_ir as ir

from spiq import __version__
from spiq.analysis import Analysis, analyse
from spiq.config import SECONDS, Config
from spiq.errors import WARNING, ConfigError, UnsupportedError
from spiq.inspection.layers import layer_results
from spiq.io.read import beside
from spiq.io.write import serialize, size_of
from spiq.planning.choose.decide import choose, make_plan
from spiq.planning.choose.mixed import bits_per_weight, packed_bytes
from spiq.planning.choose.structure import structure_of
from spiq.planning.errors.expected import ExpectedError, expected_errors
from spiq.planning.placement.values import Placement
from spiq.planning.plan.resolve import resolve
from spiq.planning.plan.validate import check_hash
from spiq.planning.plan.values import Plan
from spiq.quantized import Quantized, QuantizeResult
from spiq.rewrite import rewrite, typed
from spiq.rewriting.round_weights import LearnedLayer
from spiq.run import Run
from spiq.runtime.verify import verify
from spiq.speed import Made
from spiq.targets import TARGETS


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
    in_float: Mapping[str, str] = MappingProxyType({}),
    *,
    relieve: bool = True,
) -> Decided:
    """Place and plan, with the nodes in ``in_float`` left in float."""
    run.tell("plan")
    graph, measured = analysis.graph, analysis.measured
    importance = analysis.importance
    chosen = choose(
        graph,
        measured,
        importance,
        config,
        next_names=analysis.prepared.next_names,
        in_float=in_float,
        relieve=relieve,
        before=run.decided,
    )
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


def carry_out(decided: Decided, run: Run, config: Config) -> Made:
    """Take the second half of the way: rewrite, emit and verify; and learn first, if asked to."""
    decided, learned, said = _learned(decided, run, config)
    plan, resolved = decided.plan, resolve(decided.plan, decided.placement)
    expected = {name: error.total for name, error in decided.errors.items()}
    following = decided.analysis.prepared.next_names
    structure = structure_of(decided.model.graph, decided.placement, expected, following)
    layers = layer_results(decided.model.graph, decided.analysis.measured, plan)
    mean_bits = bits_per_weight(decided.model.graph, plan)
    packed = packed_bytes(decided.model.graph, plan)

    rewritten = run.to_rewrite(decided.analysis)
    rewrite(rewritten, decided.analysis, plan, resolved, run.tell, learned)
    rewritten = typed(rewritten, TARGETS[plan.target])
    quantized = rewritten if run.in_parts else serialize(rewritten)

    run.tell("verify")
    verified = verify(run.reference(), quantized, resolved, TARGETS[plan.target])

    warned = (WARNING + doubt for doubt in verified.warnings)
    report = QuantizeResult(
        method=plan.method,
        target=plan.target,
        weight_bits=plan.weight_bits,
        activation_bits=plan.activation_bits,
        layers=layers,
        bytes_before=run.size + beside(decided.model),
        bytes_after=size_of(quantized),
        seconds=time.perf_counter() - run.start,
        bits_per_weight=mean_bits,
        packed_bytes=packed,
        snr_db={name: found.db for name, found in verified.snr.items()},
        snr_interval_db={name: (found.low, found.high) for name, found in verified.snr.items()},
        no_snr=verified.no_snr,
        notes=(*plan.notes, *said, *verified.notes, *warned),
    )
    source = os.fspath(run.source) if isinstance(run.source, (str, os.PathLike)) else None
    made = Quantized(quantized, plan, report, source)
    return Made(made, structure, decided.analysis.sizes, decided.spared)


def known_for(plan: Plan, run: Run, config: Config) -> Analysis:
    """Read the network that a plan was made for, and learn what its tensors look like.

    Raises:
        PlanError: The plan was made for another model.
        ConfigError: What is wanted beyond seconds is not there.
        ModelError: The model cannot be used.
    """
    if config.strong:
        check_strong(run, config)
    run.again = config.strong
    network = run.read()
    check_hash(plan, network)
    analysis = analyse(network, config, run.tell, plan.inputs, run.statistics)
    run.compare(analysis)
    return analysis


def following(
    plan: Plan,
    *,
    device: str = "auto",
    seed: int = 0,
    keep_pictures: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    input_order: str = Config.input_order,
) -> Config:
    """Return the options by which a plan is followed.

    Raises:
        ConfigError: Its target or method does not take its effort, or it has none to learn by.
    """
    target = plan.target if plan.effort != SECONDS else Config.target
    return Config(
        method=plan.method,
        target=target,
        input_size=plan.input_size,
        effort=plan.effort,
        device=device,
        seed=seed,
        keep_pictures=keep_pictures,
        images=images,
        input_order=input_order,
    )


def check_strong(run: Run, config: Config) -> None:
    """Check that more than seconds can be spent on a network, before any are.

    Raises:
        ConfigError: PyTorch is not installed, or has no such device.
        UnsupportedError: The network is worked on in parts.
    """
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            f"effort {config.effort} needs PyTorch: pip install 'spiq[torch]'"
        ) from error
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, and PyTorch finds none: choose cpu, or auto")
    if run.is_large:
        raise UnsupportedError(
            f"effort {config.effort}: the network is so large that it is worked on in parts, and "
            "blocks are learned in memory: use effort seconds"
        )


def _learned(
    decided: Decided, run: Run, config: Config
) -> tuple[Decided, Mapping[str, LearnedLayer], tuple[str, ...]]:
    """Learn what rounding in one go leaves to be found, if asked to; and say what was done."""
    if decided.plan.effort == SECONDS:
        return decided, {}, ()
    from spiq.reconstruct import reconstructed

    known, placement, plan = decided.analysis, decided.placement, decided.plan
    found = reconstructed(known, placement, plan, run.original, config, run.tell)
    return replace(decided, plan=found.plan), found.layers, found.notes
