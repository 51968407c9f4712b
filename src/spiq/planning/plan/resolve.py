"""What a plan means on a network: the numbers that rewriting and emission follow.

The plan says what was decided, the placement what has to go together; from both follow the scale
of each grid and the scale of each channel, see :mod:`spiq.planning.plan.derive`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.planning.placement.components import Ids
from spiq.planning.placement.groups import groups
from spiq.planning.placement.values import Placement, is_product
from spiq.planning.plan.derive import channel_scales, grid_steps, held_at_one, least_step
from spiq.planning.plan.entries import LayerPlan, TensorPlan
from spiq.planning.plan.grid import Grid
from spiq.planning.plan.values import Plan
from spiq.stats.channel import Array
from spiq.targets import TARGETS
from spiq.targets import Grids as Form


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """How one tensor is stored, in numbers.

    Attributes:
        grid: The grid, of the folded tensor x / channel_scale.
        channel_scale: One number per channel in the order of ``layout``; all 1 for a scalar scale.
        layout: Shape of ``channel_scale``: the tensor's rank, 1 along batch and space.
    """

    grid: Grid
    channel_scale: tuple[float, ...]
    layout: tuple[int, ...]

    @property
    def ends(self) -> tuple[Array, Array]:
        """The least and the greatest number that is stored of each channel, in the layout."""
        steps = self.grid.step * np.reshape(self.channel_scale, self.layout)
        low, high = (end - self.grid.zero_point for end in (self.grid.qmin, self.grid.qmax))
        return low * steps, high * steps


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What is to be done to a network.

    Attributes:
        integer: Names of the nodes that run on integers, in order.
        absorbed: Names of the activations that the grid behind them stands for.
        tensors: How each stored tensor is stored, by name.
        layers: How each quantized layer is rounded, by name.
        left_in_float: Names of the nodes that must not run on integers.
        products: Names of the products of two tensors among those on integers.
        shortcuts: Names of the operators in float that read what is stored.
    """

    integer: tuple[str, ...]
    absorbed: tuple[str, ...]
    tensors: dict[str, StoredTensor]
    layers: dict[str, LayerPlan]
    left_in_float: frozenset[str] = frozenset()
    products: tuple[str, ...] = ()
    shortcuts: frozenset[str] = frozenset()


def resolve(plan: Plan, placement: Placement) -> Resolved:
    """Work out the numbers of a plan that fits the placement."""
    tensors: dict[str, StoredTensor] = {}
    form = TARGETS[plan.target].grids
    for group in groups(placement):
        tensors.update(resolve_group(group, plan.tensors, placement, form))
    integer = tuple(str(node.name) for node in placement.integer)
    return Resolved(
        integer=integer,
        absorbed=tuple(str(node.name) for node in placement.absorbed),
        tensors={str(value.name): tensors[str(value.name)] for value in placement.grids},
        layers={name: plan.layers[name] for name in integer if name in plan.layers},
        left_in_float=frozenset(plan.left_in_float),
        products=tuple(str(node.name) for node in placement.integer if is_product(node)),
        shortcuts=frozenset(str(node.name) for node in placement.shortcuts),
    )


def resolve_group(
    group: Sequence[ir.Value],
    tensors: Mapping[str, TensorPlan],
    placement: Placement,
    form: Form,
) -> dict[str, StoredTensor]:
    """Work out the numbers of tensors that are decided together.

    Args:
        group: The tensors.
        tensors: What the plan says of them, by name.
        placement: What runs on integers.
        form: The grids that the target takes.
    """
    entries = [tensors[str(value.name)] for value in group]
    grids = [placement.grids[value] for value in group]
    classes = [placement.classes[value].reshape(-1) for value in group]
    names = np.unique(np.concatenate(classes))
    index: list[Ids] = [np.searchsorted(names, ids) for ids in classes]
    needs = [_need(entry) for entry in entries]
    held = held_at_one(names, placement.pinned)
    powers = form.powers_of_two
    sigma = _by_class(entries, needs, grids, index, held, powers_of_two=powers)
    scales = [sigma[place] for place in index]
    shared = _shared(tensors, group, placement)
    capped = {placement.grids[value] for value in group if placement.bound(value) is not None}
    steps = grid_steps(needs, scales, grids, shared, powers_of_two=powers, capped=capped)
    return {
        str(value.name): StoredTensor(
            grid=_grid(entry, float(steps[grid]) or 1.0, form),
            channel_scale=tuple(float(s) for s in scale),
            layout=entry.layout,
        )
        for value, entry, grid, scale in zip(group, entries, grids, scales, strict=True)
    }


def _grid(entry: TensorPlan, step: float, form: Form) -> Grid:
    unsigned, half = Grid(entry.bits, step, zero_point(entry)), 1 << (entry.bits - 1)
    if not form.signed and not (form.centred and unsigned.zero_point == half):
        return unsigned
    return Grid(entry.bits, step, unsigned.zero_point - half, signed=True)


def zero_point(entry: TensorPlan) -> int:
    """Return the integer that stands for 0 where grids begin at 0."""
    share = min(max(entry.zero, 0.0), 1.0)  # a plan that is only shown may say anything
    return round(share * ((1 << entry.bits) - 1))


def spread(entry: TensorPlan) -> float:
    """The largest step of a channel over the median one, as far as its own range asks."""
    scales = np.array(entry.channel_scale)
    if entry.channel_scale is None:
        ends = np.array(entry.low), np.array(entry.high)
        scales = least_step(*ends, zero_point(entry), 2**entry.bits - 1) ** (entry.alpha or 0.0)
    middle = float(np.median(scales[scales > 0])) if (scales > 0).any() else 0.0
    return float(scales.max() / middle) if middle > 0 else 1.0


def _need(entry: TensorPlan) -> Array:
    low, high = np.array(entry.low), np.array(entry.high)
    return least_step(low, high, zero_point(entry), 2**entry.bits - 1)


def _by_class(
    entries: Sequence[TensorPlan], needs: Sequence[Array], grids: Sequence[int],
    index: Sequence[Ids], held: np.ndarray, *, powers_of_two: bool,
) -> Array:  # fmt: skip
    """Return sigma of each class: as alpha says, which a group has in common, or as given."""
    alpha = entries[0].alpha
    if alpha is not None:
        return channel_scales(needs, grids, index, held, alpha, powers_of_two=powers_of_two)
    given = np.ones(len(held))
    for entry, place in zip(entries, index, strict=True):
        if entry.channel_scale is not None:
            given[place] = entry.channel_scale
    return given


def _shared(
    tensors: Mapping[str, TensorPlan], group: Sequence[ir.Value], placement: Placement
) -> dict[int, int]:
    """Return a number in common for the grids of the group that share a step."""
    grids = {str(value.name): placement.grids[value] for value in group}
    shared = {grid: grid for grid in grids.values()}
    for name, grid in grids.items():
        other = tensors[name].step_of
        if other in grids:
            one, two = shared[grid], shared[grids[other]]
            shared = {key: min(one, two) if n in (one, two) else n for key, n in shared.items()}
    return shared
