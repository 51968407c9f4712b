"""A plan as tables for people: how each tensor is stored, how each layer is rounded, and why."""

from collections import Counter
from collections.abc import Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from spiq.cli.render import cells
from spiq.config import SECONDS
from spiq.planning.plan.entries import TensorPlan
from spiq.planning.plan.resolve import spread, zero_point
from spiq.planning.plan.values import Plan


def render_plan(plan: Plan, *, name: str) -> RenderableType:
    """Show a plan."""
    reasons = Counter(plan.left_in_float.values())
    parts: list[RenderableType] = [
        cells.facts(
            ("plan", name),
            ("of model", f"{plan.model_hash[:12]}, by spiq {plan.version}"),
            ("method", f"{plan.method}, W{plan.weight_bits}A{plan.activation_bits} where nothing "
             f"else is said, for {plan.target}"),
            *([("effort", f"{plan.effort}: roundings are learned when it is followed")]
              if plan.effort != SECONDS else []),
            *((f"input {n}", _span(low, high)) for n, (low, high) in plan.inputs.items()),
            *(("left in float", f"{count}: {reason}") for reason, count in reasons.items()),
        ),
    ]  # fmt: skip
    if plan.tensors:
        parts.append(_tensors(plan))
    parts.append(_layers(plan))
    notes = [
        "range: of all channels; zero: the integer that stands for 0; spread: the largest step of "
        "a channel over the median one, as far as its own range asks; shares: the numbers of the "
        "tensors that say its grid (bits, zero), its scales (alpha) or its step",
        *plan.notes,
    ]
    return cells.page(*parts, *map(cells.note, notes))


def _tensors(plan: Plan) -> Table:
    titles = ("#", "bits", "range", "zero", "channels", "alpha", "spread", "shares")
    table = cells.table("tensor", *titles)
    numbers = {name: number for number, name in enumerate(plan.tensors, start=1)}
    for name, entry in plan.tensors.items():
        table.add_row(
            cells.Name(name),
            str(numbers[name]),
            str(entry.bits),
            _span(entry.low, entry.high),
            str(zero_point(entry)),
            str(len(entry.low)),
            "by hand" if entry.alpha is None else f"{entry.alpha:g}",
            f"{spread(entry):.1f}",
            _shares(entry, numbers),
        )
    return table


def _layers(plan: Plan) -> Table:
    table = cells.table("layer", "bits", "rounding", "bias", "why", left=1)
    table.columns[-1].justify = "left"
    table.columns[-1].no_wrap = False
    for name, entry in plan.layers.items():
        if name not in plan.left_in_float:
            bias = "corrected" if entry.bias_correction else "as it is"
            table.add_row(cells.Name(name), str(entry.bits), entry.rounding, bias, entry.reason)
    for name, reason in plan.left_in_float.items():
        table.add_row(cells.Name(name), Text("float", style="yellow"), "", "", reason)
    return table


def _span(low: tuple[float, ...], high: tuple[float, ...]) -> str:
    return f"{min(low):.4g} … {max(high):.4g}"


def _shares(entry: TensorPlan, numbers: Mapping[str, int]) -> str:
    named = (("grid", entry.grid_of), ("scales", entry.scale_of), ("step", entry.step_of))
    return ", ".join(f"{kind} {numbers.get(other, 0)}" for kind, other in named if other)
