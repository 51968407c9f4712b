"""Whether a target takes the grid that a plan gives a tensor."""

from spiq.planning.plan.entries import TensorPlan
from spiq.planning.plan.resolve import zero_point
from spiq.targets import TARGETS, bits_text


def form_problem(tensor: TensorPlan, target: str) -> str:
    """Return what is wrong with a tensor's grid, to stand behind its name; empty if nothing is."""
    form = TARGETS[target].grids
    if tensor.bits not in form.bits:
        return f" has {tensor.bits} bits, and target {target} takes {bits_text(form.bits)}"
    middle = 1 << (tensor.bits - 1)
    if form.symmetric and zero_point(tensor) != middle:
        return (
            f": zero is {tensor.zero:.4g}, and target {target} has it in the middle of the grid, "
            f"{middle / (2 * middle - 1):.6g}"
        )
    return ""
