"""What is to be done to a network: placed and planned, and what the choice rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import onnx_ir as ir

from spiq import __version__
from spiq.analysis import Analysis
from spiq.config import Config
from spiq.methods import METHODS
from spiq.planning.choose.decide import choose, make_plan, placed
from spiq.planning.errors.expected import ExpectedError, expected_errors
from spiq.planning.placement.values import Placement
from spiq.planning.plan.values import Plan
from spiq.run import Run
from spiq.targets import TARGETS


@dataclass(frozen=True)
class Decided:
    """What is to be done to a network.

    Attributes:
        plan: The decisions.
        placement: What runs on integers, and what shares grids and scales.
        analysis: What is known of the network.
        errors: What each layer is expected to lose, by name, where layers may be given back for it.
        spared: Layers that would be in float for accuracy, whatever that takes, by name, and why.
    """

    plan: Plan
    placement: Placement
    analysis: Analysis
    errors: Mapping[str, ExpectedError] = field(default_factory=dict)
    spared: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> ir.Model:
        """The prepared network."""
        return self.analysis.prepared.model


def placed_by(plan: Plan, analysis: Analysis) -> Placement:
    """Return what a plan leaves on integers, and what shares grids and scales."""
    target, method = TARGETS[plan.target], METHODS[plan.method]
    return placed(analysis.graph, analysis.measured, target, method, plan.left_in_float)


def decide(
    run: Run,
    config: Config,
    model_hash: str,
    analysis: Analysis,
    in_float: Mapping[str, str] = MappingProxyType({}),
    *,
    relieve: bool = True,
) -> Decided:
    """Place and plan.

    Args:
        run: The call; what it knows of groups decided before is used, and added to.
        config: The options.
        model_hash: The network's, for the plan.
        analysis: What is known of the network.
        in_float: Nodes that stay in float, by name, and why.
        relieve: Whether layers that lose much stay there, too; if not, errors are worked out for
            those who choose by time and error (:mod:`spiq.speed`).
    """
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
