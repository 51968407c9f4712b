"""What mends bad layers: commands and edits of a plan that can be followed as they stand.

A plan that is followed takes no other options, so where there is one, the plan is edited; otherwise
an option does where there is one.
"""

import glob
import json
import shlex
from dataclasses import replace

import numpy as np

from spiq.report.facts import Channels, Facts, InputFacts, LayerFacts
from spiq.report.findings import Remedy
from spiq.targets import WEIGHT_BITS

_WORST = 8
"""Layers that an edit names."""


def in_float(layer: LayerFacts, facts: Facts) -> Remedy:
    """Keep a layer in float, and what rounds its input, where that is what costs most."""
    names, what = [layer.name], "it"
    if layer.written_by and layer.weight_cost < layer.cost / 2:
        names, what = [layer.written_by, layer.name], "it and what writes its input"
    text = f"Keep {what} in float, which is exact and takes longer."
    layers = {layer.name for layer in facts.layers}
    if "--plan" in facts.command or not layers.issuperset(names):
        lines = (f'plan["left_in_float"][{_quoted(name)}] = "it costs too much"' for name in names)
        return Remedy(text=text, code="\n".join(lines), edits_plan=True)
    more = [word for name in names for word in ("--exclude", glob.escape(name))]
    return Remedy(text=text, code=_command(facts, *more))


def more_bits(layers: list[LayerFacts], facts: Facts) -> tuple[Remedy, ...]:
    """Give layers more bits: the worst of them, or all where they are needed most."""
    worst = sorted(layers, key=lambda layer: -layer.weight_cost)[:_WORST]
    edit = Remedy(
        text=f"Give {'it' if len(worst) == 1 else 'the worst of them'} {WEIGHT_BITS} bits.",
        code="\n".join(
            f'plan["layers"][{_quoted(one.name)}]["bits"] = {WEIGHT_BITS}' for one in worst
        ),
        edits_plan=True,
    )
    known = [layer for layer in facts.layers if layer.bits is not None]
    whole = sum(layer.parameters for layer in known) or 1
    mean = sum((layer.bits or 0) * layer.parameters for layer in known) / whole
    option = Remedy(
        text="Or spend one bit per weight more, where the error falls most for it.",
        code=_command(_without(facts, "--plan", "--max-bytes", "--weight-bits"),
                      "--bits-per-weight", f"{min(mean + 1, WEIGHT_BITS):.3g}"),
    )  # fmt: skip
    return (edit, option) if mean < WEIGHT_BITS else (edit,)


def for_wide_channel(layer: LayerFacts, facts: Facts) -> tuple[Remedy, ...]:
    """Give each channel a scale of its own, or keep the layer in float."""
    if facts.method == "spiq":
        return (in_float(layer, facts),)
    own = Remedy(
        text="Give each channel a scale of its own, folded into the weights: that is what the "
        "method spiq does, at no cost in time.",
        code=_command(_without(facts, "--plan", "--method"), "--method", "spiq"),
    )
    return own, in_float(layer, facts)


def beyond(channels: Channels) -> dict[int, float]:
    """Return the channels that reach beyond their grid, and how many times as far as it."""
    if channels.seen_low is None or channels.seen_high is None:
        return {}
    ends = (
        (channels.seen_low, channels.grid_low * channels.scale),
        (channels.seen_high, channels.grid_high * channels.scale),
    )
    factors = np.ones(len(channels.scale))
    for seen, end in ends:
        far = np.divide(seen, end, out=np.ones_like(factors), where=np.abs(end) > 0)
        factors = np.maximum(factors, far)
    return {int(index): float(factors[index]) for index in np.flatnonzero(factors > 1.001)}


def for_clipped(layer: LayerFacts, channels: Channels, facts: Facts) -> tuple[Remedy, ...]:
    """Widen the range of what is clipped, or keep the layer in float.

    A few real images are no remedy here: where a BatchNorm states too little, they were seen to
    lose half a dB in the network of the tests.
    """
    edit = Remedy(
        text="Widen its range: it helps if pictures come that reach as far as the synthetic ones. "
        "Keep it if the signal-to-noise ratio rises.",
        code=(
            f'tensor = plan["tensors"][{_quoted(channels.tensor)}]\n'
            'for end in ("low", "high"):\n'
            "    ends = tensor[end] if isinstance(tensor[end], list) else [tensor[end]]\n"
            f"    wider = [{layer.widen:g} * number for number in ends]\n"
            "    tensor[end] = wider if len(wider) > 1 else wider[0]"
        ),
        edits_plan=True,
    )
    return edit, in_float(layer, facts)


def for_unknown(facts: Facts) -> tuple[Remedy, ...]:
    """Let the file say it, or a few images."""
    bare = ("spiq", "quantize", "KEPT.onnx", *facts.command[3:])
    kept = Remedy(
        text="Export the network with BatchNorm kept, and spiq knows every range exactly "
        '(PyTorch: torch.onnx.export(model.eval(), (x,), "KEPT.onnx", dynamo=True, '
        "optimize=False)).",
        code=shlex.join(bare),
        needs="KEPT.onnx: the file so exported",
    )
    return kept, _with_images(facts)


def for_input(given: InputFacts, facts: Facts) -> tuple[Remedy, ...]:
    """Say what the input is, by name where there are several."""
    low, high = given.pictured
    which = f"{given.name}=" if len(facts.inputs) > 1 else ""
    less = _without(facts, "--plan", "--card", "--input-range", "--input-mean", "--input-std")
    told = Remedy(
        text=f"If pixels do go from {low:.4g} to {high:.4g} as the network gets them, say so.",
        code=_command(less, f"--input-range={which}{low:.6g},{high:.6g}"),
    )
    other = Remedy(
        text="If not, say what they are normalized by: the mean and deviation of ImageNet here.",
        code=_command(less, "--input-mean", f"{which}123.675,116.28,103.53",
                      "--input-std", f"{which}58.395,57.12,57.375"),
        needs="the mean and deviation of your own preprocessing",
    )  # fmt: skip
    return told, other


def _with_images(facts: Facts) -> Remedy:
    return Remedy(
        text="Show spiq a few real images, without labels: ten help much.",
        code=_command(_without(facts, "--plan", "--images"), "--images", "FOLDER"),
        needs="FOLDER: a folder of images",
    )


def _command(facts: Facts, *more: str) -> str:
    return shlex.join([*facts.command, *more])


def _without(facts: Facts, *options: str) -> Facts:
    """Return the facts with a command that lacks some options, each of which takes one word."""
    kept, words = list[str](), iter(facts.command)
    for word in words:
        if word in options:
            next(words, None)
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return replace(facts, command=tuple(kept))


def _quoted(name: str) -> str:
    return json.dumps(name)
