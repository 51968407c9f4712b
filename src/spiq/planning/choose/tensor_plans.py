"""What a plan says of the tensors of a group that were decided together."""

from collections.abc import Sequence

from spiq.planning.choose.group import Group, Scaled
from spiq.planning.errors.tensor_error import Channels
from spiq.planning.placement.values import Placement
from spiq.planning.plan.entries import TensorPlan


def planned_tensors(group: Group, scaled: Scaled, placement: Placement) -> dict[str, TensorPlan]:
    """Write down what was decided of each tensor of a group.

    Args:
        group: The group.
        scaled: What was decided of it.
        placement: What runs on integers.

    Returns:
        What the plan says of each tensor, by name; what some have in common stands with the first.
    """
    # what a grid or a class has in common stands with the first tensor
    names = [str(t.value.name) for t in group.tensors]
    first = {t.grid: str(t.value.name) for t in reversed(group.tensors)}
    return {
        name: TensorPlan(
            bits=group.bits[t.grid],
            zero=_short(scaled.zero_points[t.grid] / group.qmax[t.grid]),
            low=tuple(map(_short, t.low[:, scaled.widths[t.grid]].tolist())),
            high=tuple(map(_short, t.high[:, scaled.widths[t.grid]].tolist())),
            layout=placement.classes[t.value].shape,
            alpha=scaled.alpha if scaled.given is None else None,
            channel_scale=_given(t, scaled),
            grid_of=first[t.grid] if first[t.grid] != name else None,
            scale_of=names[0] if names[0] != name and scaled.given is None else None,
            step_of=_step_of(t, scaled, group.tensors),
        )
        for name, t in zip(names, group.tensors, strict=True)
    }


def _given(t: Channels, scaled: Scaled) -> tuple[float, ...] | None:
    if scaled.given is None:
        return None
    return tuple(scaled.channel_scales[int(name)] for name in t.classes)


def _short(number: float) -> float:
    """Return a number to six digits: what is written into a plan is what people will read."""
    return float(f"{number:.6g}") if number else number  # half of the ends are 0


def _step_of(t: Channels, scaled: Scaled, members: Sequence[Channels]) -> str | None:
    """Return the first tensor of another grid, if any, that shares the step of ``t``."""
    number = scaled.shared.get(t.grid, t.grid)
    first = next(other for other in members if scaled.shared.get(other.grid, other.grid) == number)
    return str(first.value.name) if first.grid != t.grid else None
