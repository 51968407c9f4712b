"""From the plan of one target to a network for another."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from spiq.analysis import Progress, silent
from spiq.config import Config
from spiq.decision import decide, placed_by
from spiq.effort import with_effort
from spiq.errors import PlanError
from spiq.follow import known_for
from spiq.planning.choose.convert import (
    bits_by_hand,
    converted_options,
    left_by_choice,
    with_layers_of,
)
from spiq.planning.plan.validate import check_settings
from spiq.planning.plan.values import Plan
from spiq.quantized import Quantized
from spiq.realize import realize
from spiq.rewriting.rounding import ROUNDINGS
from spiq.run import begun
from spiq.stats.sidecar import Statistics

if TYPE_CHECKING:
    from spiq.pipeline import Source


def convert(
    model: "Source",
    plan: Plan,
    target: str,
    *,
    statistics: Statistics | None = None,
    images: str | os.PathLike[str] | None = None,
    input_order: str = Config.input_order,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a network for another target than a plan was made for.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> from spiq.convert import convert
    >>> made = spiq.plan(model_path(), spiq.Config(weight_bits=6))
    >>> other = convert(model_path(), made, "tensorrt").plan
    >>> other.target, other.weight_bits
    ('tensorrt', 6)

    Inputs, bits, roundings and what was left in float stay; grids are chosen anew, see
    :mod:`spiq.planning.choose.convert`, and learned anew where the plan has an effort of minutes.

    Args:
        model: The float model that the plan was made for.
        plan: The plan.
        target: One of :data:`spiq.targets.TARGETS`.
        statistics: Those that the plan was made with, if any.
        images: The same.
        input_order: Order of colours, for images.
        progress: Told the name of each step as it begins.

    Raises:
        PlanError: The plan was made for another model, or the target has no such grids.
        ConfigError: The target does not have such bits.
        VerificationError: The result fails its check in the runtime.
    """
    config = replace(converted_options(plan, target), images=images, input_order=input_order)
    if by_hand := bits_by_hand(plan):
        name, bits = next(iter(by_hand.items()))
        raise PlanError(
            f"tensor '{name}' has {bits} bits of its own, and grids are chosen anew for target "
            f"{config.target}: convert the plan without, and edit what comes out"
        )
    check_settings(plan, ROUNDINGS)
    with begun(model, progress or silent, statistics) as run:
        analysis = known_for(plan, run, config)
        able = placed_by(replace(plan, left_in_float={}), analysis)
        left = left_by_choice(plan, able)
        decided = decide(run, config, plan.model_hash, analysis, left)
        made = with_layers_of(decided.plan, plan)
        decided = replace(decided, plan=made)
        result = realize(decided, run, config).quantized
        return with_effort(decided, result, run, config) if config.strong else result
