"""A group of tensors that is decided together, and what a choice of its grids means and costs.

With the least step r_c of each channel, sigma and the steps follow, see
:mod:`spiq.planning.plan.derive`; the cost is the expected error at the network's outputs,

    sum_t sum_c w_c (rounding + clipping)  +  weight rounding of the layers that read t,

with w_c the importance of the channel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import onnx_ir as ir

from spiq.graph.query import data_inputs
from spiq.planning.choose.worth import ANY
from spiq.planning.errors.tensor_error import Channels
from spiq.planning.errors.weight_error import WeightError
from spiq.planning.placement.components import Ids
from spiq.planning.placement.values import Placement
from spiq.planning.plan.derive import (
    channel_scales,
    grid_steps,
    held_at_one,
    least_step,
)
from spiq.stats.channel import Array
from spiq.targets import Grids as GridForm

Sum = tuple[int, int, int]
"""Grids of the two operands of an Add on integers, and of its result."""


@dataclass(frozen=True)
class Grids:
    """A choice: what is chosen for each grid, by its number.

    Attributes:
        alpha: The exponent, the same for all.
        zero_points: The integer that stands for 0.
        widths: Index of the width of the ranges.
        shared: A number that grids of one step have in common; empty where none do.
        given: Channel scale of each class in place of what alpha says; None where alpha holds.
    """

    alpha: float
    zero_points: Mapping[int, int]
    widths: Mapping[int, int]
    shared: Mapping[int, int]
    given: Mapping[int, float] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Scaled(Grids):
    """A choice, and what follows from it.

    Attributes:
        steps: Step of each grid, by its number.
        channel_scales: Of each class, by its number.
        cost: Expected error at the outputs, relative to their signal.
    """

    steps: Mapping[int, float]
    channel_scales: Mapping[int, float]
    cost: float


@dataclass(frozen=True)
class Group:
    """Tensors that are decided together, and all that their errors depend on.

    Attributes:
        tensors: The tensors.
        layers: The layers that read them.
        sums: The Adds among them that run on integers.
        pinned: Classes whose channel scale is 1.
        bits: Bits of each grid, by its number.
        worth: See :func:`spiq.planning.choose.worth.worth`.
        form: The grids that the target takes.
        others: Channel scale of every class, by its number, where the layers' errors depend on
            those of other groups; 1 at the end.
    """

    tensors: Sequence[Channels]
    layers: Sequence[WeightError]
    sums: Sequence[Sum]
    pinned: frozenset[int]
    bits: Mapping[int, int]
    worth: float = ANY
    form: GridForm = field(default_factory=GridForm)
    others: Array | None = None

    @cached_property
    def qmax(self) -> dict[int, int]:
        """The greatest integer of each grid."""
        return {grid: 2**count - 1 for grid, count in self.bits.items()}

    @cached_property
    def names(self) -> Ids:
        """Numbers of the classes, each once."""
        return np.unique(np.concatenate([t.classes for t in self.tensors]))

    @cached_property
    def index(self) -> list[Ids]:
        """Place of each channel's class in ``names``, for each tensor."""
        return [np.searchsorted(self.names, t.classes) for t in self.tensors]

    @cached_property
    def held(self) -> np.ndarray:
        """Whether the scale of each class is 1."""
        return held_at_one(self.names, self.pinned)

    @cached_property
    def grids(self) -> list[int]:
        """Number of each tensor's grid."""
        return [t.grid for t in self.tensors]

    @cached_property
    def widths(self) -> Array:
        """The widths that there are."""
        return self.tensors[0].widths

    def needs(
        self, zero_points: Mapping[int, int], widths: Mapping[int, int] | None
    ) -> list[Array]:
        """Return the least step of each channel, at one width per grid or at all of them."""
        every = [self._least(i, zero_points[grid]) for i, grid in enumerate(self.grids)]
        if widths is None:
            return every
        return [need[:, widths[t.grid]] for need, t in zip(every, self.tensors, strict=True)]

    def _least(self, i: int, zero_point: int) -> Array:
        """Return the least step of each channel of a tensor at all widths; asked for often."""
        if (i, zero_point) not in self._known:
            t = self.tensors[i]
            self._known[i, zero_point] = least_step(t.low, t.high, zero_point, self.qmax[t.grid])
        return self._known[i, zero_point]

    @cached_property
    def _known(self) -> dict[tuple[int, int], Array]:
        return {}

    def sigma(self, needs: Sequence[Array], alpha: float) -> Array:
        """Return the channel scale of each class, in the order of ``names``."""
        powers = self.form.powers_of_two
        return channel_scales(needs, self.grids, self.index, self.held, alpha, powers_of_two=powers)

    def spread(self, sigma: Array, *, wide: bool = False) -> list[Array]:
        """Return the channel scale of each channel, for each tensor; ``wide`` has an axis more."""
        return [sigma[place, None] if wide else sigma[place] for place in self.index]

    def steps(
        self,
        needs: Sequence[Array],
        sigma: Sequence[Array],
        shared: Mapping[int, int] | None = None,
    ) -> dict[int, Array]:
        """Return the step of each grid; ``shared`` numbers those that have one in common."""
        powers = self.form.powers_of_two
        capped = {t.grid for t in self.tensors if t.saturates and _is_clip(t.value)}
        return grid_steps(needs, sigma, self.grids, shared, powers_of_two=powers, capped=capped)

    def errors(
        self,
        steps: Mapping[int, Array],
        sigma: Sequence[Array],
        zero_points: Mapping[int, int],
        shared: Mapping[int, int],
    ) -> dict[int, Array]:
        """Return the expected error of the tensors of each grid in ``steps``, shape (...)."""
        exact = {
            out
            for a, b, out in self.sums
            if shared.get(a, a) == shared.get(b, b) == shared.get(out, out)
        }
        errors: dict[int, Array] = {}
        for t, scale in zip(self.tensors, sigma, strict=True):
            if t.grid in steps:
                step, zero = steps[t.grid] * scale, zero_points[t.grid]
                cost = t.cost(step, zero, self.qmax[t.grid], exact=t.grid in exact)
                errors[t.grid] = errors.get(t.grid, 0.0) + cost
        return errors

    def every_scale(self, own: Array) -> Array:
        """Return the scale of every class, by its number, with those of ``names`` given."""
        scales = np.ones(self.numbers) if self.others is None else self.others.copy()
        scales[self.names] = own
        return scales

    @cached_property
    def numbers(self) -> int:
        """How many scales there are, and one more for what has none."""
        met = [layer.classes for layer in self.layers]
        met += [layer.rows for layer in self.layers if layer.rows is not None]
        return 2 + max(int(classes.max(initial=0)) for classes in (self.names, *met))

    def evaluated(self, chosen: Grids) -> Scaled:
        """Work out what a choice means, and what it costs."""
        needs = self.needs(chosen.zero_points, chosen.widths)
        if chosen.given is None:
            by_class = self.sigma(needs, chosen.alpha)
        else:
            by_class = np.array([chosen.given[int(name)] for name in self.names])
        sigma = self.spread(by_class)
        steps = self.steps(needs, sigma, chosen.shared)

        by_name = dict(zip(self.names.tolist(), by_class.tolist(), strict=True))
        errors = self.errors(steps, sigma, chosen.zero_points, chosen.shared)
        cost = float(np.sum(list(errors.values())))
        scales = self.every_scale(by_class)
        cost += sum(layer.cost(scales) for layer in self.layers)

        return Scaled(
            **{key: getattr(chosen, key) for key in Grids.__dataclass_fields__},
            steps={grid: float(step) or 1.0 for grid, step in steps.items()},
            channel_scales=by_name,
            cost=cost,
        )


def sums_within(group: Sequence[ir.Value], placement: Placement) -> list[Sum]:
    """Return the Adds on integers within a group."""
    members, sums = set(group), []
    for node in placement.integer:
        operands = data_inputs(node) if node.op_type == "Add" else []
        if len(operands) == 2 and members.issuperset(operands):
            result = placement.stored_output(node.outputs[0])
            sums.append(tuple(placement.grids[value] for value in (*operands, result)))
    return sums  # type: ignore[return-value]


def _is_clip(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "Clip"
