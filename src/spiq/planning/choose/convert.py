"""What of a plan holds for another target, and what is to be chosen anew.

Ranges, zero points, channel scales and what shares a grid follow from a target's grids and
operators: they are chosen anew from the statistics. Inputs, bits, roundings and what was left in
float for its own sake stay. What is faster in float on some machine, or was refused by ONNX
Runtime, is no property of the network.
"""

from collections.abc import Mapping
from dataclasses import replace

from spiq.config import Config
from spiq.planning.placement.values import Placement
from spiq.planning.plan.values import Plan

_OF_A_MACHINE = ("ONNX Runtime", "faster in float")
"""How reasons begin that hold for one runtime or machine."""


def converted_options(plan: Plan, target: str) -> Config:
    """Return the options that a plan stands for, for another target.

    Raises:
        ConfigError: The target does not have them.
    """
    return Config(
        method=plan.method,
        target=target,
        weight_bits=plan.weight_bits,
        activation_bits=plan.activation_bits,
        input_size=plan.input_size,
        timing=False,
        effort=plan.effort,
    )


def left_by_choice(plan: Plan, able: Placement) -> dict[str, str]:
    """Return what a plan leaves in float though its own target could do otherwise, and why.

    Args:
        plan: The plan.
        able: What its target would run on integers if nothing were left in float.
    """
    unable = {str(node.name) for node in able.reasons}
    return {
        name: reason
        for name, reason in plan.left_in_float.items()
        if name not in unable and not reason.startswith(_OF_A_MACHINE)
    }


def with_layers_of(made: Plan, plan: Plan) -> Plan:
    """Return a plan with the bits and roundings that another one gives its layers."""
    layers = {name: plan.layers.get(name, layer) for name, layer in made.layers.items()}
    return replace(made, layers=layers)


def carried(plan: Plan) -> Plan:
    """Return what of a plan holds for another target: all but how tensors are stored.

    Tensors with bits of their own stay, of which another target is to know.
    """
    return replace(plan, tensors={name: plan.tensors[name] for name in bits_by_hand(plan)})


def bits_by_hand(plan: Plan) -> Mapping[str, int]:
    """Return the bits of tensors that have neither the plan's nor 8."""
    usual = (plan.activation_bits, 8)
    return {name: entry.bits for name, entry in plan.tensors.items() if entry.bits not in usual}
