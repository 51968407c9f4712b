"""The second half of the way, from what was decided to a quantized network that is checked."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import onnx_ir as ir

from spiq.config import SECONDS, Config
from spiq.decision import Decided
from spiq.errors import WARNING
from spiq.inspection.layers import layer_results
from spiq.io.read import beside
from spiq.io.write import serialize, size_of
from spiq.lower import for_target, lower
from spiq.planning.choose.mixed import bits_per_weight, packed_bytes
from spiq.planning.choose.structure import Structure, structure_of
from spiq.planning.plan.resolve import Resolved, resolve
from spiq.quantized import Quantized, QuantizeResult
from spiq.rewriting.round_weights import LearnedLayer
from spiq.run import Run
from spiq.runtime.verify import verify
from spiq.speed import Attempt
from spiq.targets import TARGETS


def realize(decided: Decided, run: Run, config: Config) -> Attempt:
    """Make the quantized network: rewrite, emit and verify; and learn first, if asked to.

    Args:
        decided: What is to be done.
        run: The call.
        config: Says how what is to be learned is learned.

    Raises:
        VerificationError: The result fails its check in the runtime.
    """
    decided, learned, said = _learned(decided, run, config)
    plan, target = decided.plan, TARGETS[decided.plan.target]
    resolved = resolve(plan, decided.placement)
    structure, report = _structure(decided), _begun_report(decided, run)

    lowered = _lowered(decided, resolved, run, learned)
    quantized = lowered if run.in_parts else serialize(lowered)

    run.tell("verify")
    verified = verify(run.reference(), quantized, resolved, target)
    warned = (WARNING + doubt for doubt in verified.warnings)
    finished = report(
        bytes_after=size_of(quantized),
        seconds=time.perf_counter() - run.start,
        snr_db={name: found.db for name, found in verified.snr.items()},
        snr_interval_db={name: (found.low, found.high) for name, found in verified.snr.items()},
        no_snr=verified.no_snr,
        notes=(*plan.notes, *said, *verified.notes, *warned),
    )
    source = os.fspath(run.source) if isinstance(run.source, (str, os.PathLike)) else None
    made = Quantized(quantized, plan, finished, source)
    return Attempt(made, structure, decided.analysis.sizes, decided.spared)


def _structure(decided: Decided) -> Structure:
    """Return how the float network hangs together, and what of it runs on integers."""
    expected = {name: error.total for name, error in decided.errors.items()}
    following = decided.analysis.prepared.next_names
    return structure_of(decided.model.graph, decided.placement, expected, following)


def _begun_report(decided: Decided, run: Run) -> partial[QuantizeResult]:
    """Return the report as far as the float network tells it, which is changed in place then."""
    graph, plan = decided.model.graph, decided.plan
    return partial(
        QuantizeResult,
        method=plan.method,
        target=plan.target,
        weight_bits=plan.weight_bits,
        activation_bits=plan.activation_bits,
        layers=layer_results(graph, decided.analysis.measured, plan),
        bytes_before=run.size + beside(decided.model),
        bits_per_weight=bits_per_weight(graph, plan),
        packed_bytes=packed_bytes(graph, plan),
    )


def _lowered(
    decided: Decided, resolved: Resolved, run: Run, learned: Mapping[str, LearnedLayer]
) -> ir.Model:
    model, plan = run.to_rewrite(decided.analysis), decided.plan
    lower(model, decided.analysis, plan, resolved, run.tell, learned)
    return for_target(model, TARGETS[plan.target])


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
