"""What learning starts from: the rounding in one go, and synthetic pictures."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import torch

from spiq.analysis import Analysis
from spiq.errors import UnsupportedError
from spiq.graph.query import holds_floats
from spiq.lower import what_layers_read
from spiq.passes.layer_weights import weight_and_bias
from spiq.planning.placement.values import Placement
from spiq.planning.plan.derive import least_step
from spiq.planning.plan.entries import TensorPlan
from spiq.planning.plan.resolve import Resolved, StoredTensor, zero_point
from spiq.planning.plan.values import Plan
from spiq.reconstruct.form import Learned
from spiq.reconstruct.grids import Stored
from spiq.reconstruct.program import Program
from spiq.reconstruct.weights import Weight
from spiq.rewriting.fold_scales import folding, scales_beside
from spiq.rewriting.round_layers import round_stored
from spiq.rewriting.round_weights import LearnedLayer, RoundedLayer
from spiq.runtime.session import session
from spiq.runtime.synthetic import synthetic_pictures
from spiq.targets import TARGETS

_LAYERS = ("Conv", "Gemm", "MatMul")


class Layers:
    """The layers of a network that are learned, in and out of scales that fold into them."""

    def __init__(self, graph: ir.Graph, analysis: Analysis, plan: Plan, resolved: Resolved) -> None:
        """Round them in one go.

        Args:
            graph: The prepared network, its BatchNormalizations on integers written as layers.
            analysis: What is known of it.
            plan: What is to be done.
            resolved: The same in numbers.
        """
        self.resolved = resolved
        known = what_layers_read(analysis, resolved)
        copy = analysis.prepared.model.clone(deep_copy=True).graph
        form = TARGETS[plan.target].weights
        self.bias_bits = form.bias_bits
        once = round_stored(copy, resolved, known, 0, form, {})
        self.rounded = {str(node.name): rounded for node, rounded in once.items()}
        self.deviations = {
            str(value.name): float(np.sqrt(known.var.mean()))
            for value, known in analysis.measured.stats.items()
        }
        self.nodes = {
            str(node.name): node
            for node in graph
            if node.name in self.rounded and node.op_type in _LAYERS
        }

    def weights(self, device: str) -> dict[str, Weight]:
        """Return the layers as they begin, by name."""
        return {name: self._weight(name).to(device) for name in self.nodes}

    @property
    def read(self) -> dict[str, str]:
        """Names of the tensors that they read, by that of the layer."""
        return {name: self._source(name) for name in self.nodes}

    def _weight(self, name: str) -> Weight:
        node, rounded = self.nodes[name], self.rounded[name]
        weight, _ = weight_and_bias(node)
        scales = scales_beside(node, self.resolved)
        ratio = folding(node, *scales)(np.ones_like(weight, np.float32))
        bias = self._real_bias(name, rounded)
        assert isinstance(rounded.weight, np.ndarray)  # no layer of a large network is learned
        return Weight(
            folded=_tensor(weight * ratio),
            ratio=_tensor(ratio),
            integers=_tensor(rounded.weight),
            step=_tensor(rounded.step),
            bias=_tensor(bias if scales[1] is None else bias * scales[1]),
            bias_unit=self._bias_unit(scales[1]),
            unit=self.deviations.get(str(node.outputs[0].name)) or 1.0,
            bits=self.resolved.layers[name].bits,
            axis=1 if node.op_type == "MatMul" else 0,
        )

    def _real_bias(self, name: str, rounded: RoundedLayer) -> np.ndarray:
        """Return the bias that was stored, in the folded units."""
        if rounded.bias.dtype == np.float32:
            return rounded.bias.astype(np.float64)
        if rounded.bias_step is not None:
            return rounded.bias * float(rounded.bias_step)
        return rounded.bias * (self._source_step(name) * rounded.step.astype(float))

    def _bias_unit(self, behind: np.ndarray | None) -> torch.Tensor:
        """Return what a bias is folded by, where it is stored as an integer of 32 bits; else 0."""
        if self.bias_bits != 32:
            return torch.zeros(())
        return torch.ones(()) if behind is None else _tensor(behind)

    def _source_step(self, name: str) -> float:
        return self.resolved.tensors[self._source(name)].grid.step

    def _source(self, name: str) -> str:
        source = self.nodes[name].inputs[0]
        assert source is not None
        return str(source.name)

    def found(self, weights: Mapping[str, Weight]) -> dict[str, LearnedLayer]:
        """Return what was learned, in the folded units."""
        return {name: self._found(name, weight) for name, weight in weights.items()}

    def _found(self, name: str, weight: Weight) -> LearnedLayer:
        behind = scales_beside(self.nodes[name], self.resolved)[1]
        bias = weight.bias.detach().cpu().numpy().astype(np.float64)
        return LearnedLayer(
            weight.integers.detach().cpu().numpy().astype(np.int8),
            weight.step.detach().cpu().numpy(),
            bias if behind is None else bias / behind,
        )


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.asarray(array, np.float32))


def shared_grids(
    plan: Plan, placement: Placement, tensors: Mapping[str, StoredTensor]
) -> dict[str, tuple[str, ...]]:
    """Return what each stored tensor has in common with others: keys of its step and zero point.

    A zero point at the end of its grid stays there, and has none; nor do those of a grid that ends
    at a bound, or of a target whose grids are symmetric.
    """
    steps, held = _step_of(plan, placement), bounds(placement)
    ending = {placement.grids[value] for value in placement.grids if value.name in held}
    free = not TARGETS[plan.target].grids.symmetric

    def keys(name: str, number: int) -> tuple[str, ...]:
        grid, step = tensors[name].grid, f"step of {steps[name]}"
        moves = free and number not in ending and grid.qmin < grid.zero_point < grid.qmax
        return (step, f"zero of {number}") if moves else (step,)

    return {str(value.name): keys(str(value.name), n) for value, n in placement.grids.items()}


def bounds(placement: Placement) -> dict[str, float]:
    """Return the upper bounds that the ends of grids stand for, as of ReLU6, by tensor."""
    found = {str(value.name): placement.bound(value) for value in placement.grids}
    return {name: bound for name, bound in found.items() if bound is not None}


def _step_of(plan: Plan, placement: Placement) -> dict[str, str]:
    """Return for each stored tensor the first one that has its step, by name."""
    first: dict[int, str] = {}
    grids = {str(value.name): grid for value, grid in placement.grids.items()}
    for name, grid in grids.items():
        other = plan.tensors[name].step_of
        same = first.get(grid) or (first.get(grids[other]) if other in grids else None)
        first[grid] = same or name
    return {name: first[grid] for name, grid in grids.items()}


def with_grids(plan: Plan, learned: Learned) -> Plan:
    """Return the plan with the steps and zero points that were learned."""
    tensors = {
        name: _on_grid(entry, learned.tensors.get(name)) for name, entry in plan.tensors.items()
    }
    return replace(plan, tensors=tensors)


def _on_grid(entry: TensorPlan, stored: Stored | None) -> TensorPlan:
    """Return how a tensor is stored, its ranges as wide as the grid that was learned."""
    if stored is None:
        return entry
    factor = float(torch.exp(stored.step.log_factor.detach()))
    zero, first = int(stored.zero_point) - stored.grid.qmin, zero_point(entry)
    if zero == first:
        low, high = (tuple(factor * end for end in ends) for ends in (entry.low, entry.high))
        return replace(entry, low=low, high=high)
    qmax = 2**entry.bits - 1
    steps = factor * least_step(np.array(entry.low), np.array(entry.high), first, qmax)
    low, high = (tuple((end * steps).tolist()) for end in (-zero, qmax - zero))
    return replace(entry, zero=zero / qmax, low=low, high=high)


def first_pictures(
    original: bytes | str, analysis: Analysis, program: Program, count: int
) -> torch.Tensor:
    """Return synthetic pictures to begin with, as the network takes them, in single precision.

    Args:
        original: The float network, for the runtime.
        analysis: What is known of it.
        program: The same network in PyTorch.
        count: How many.

    Raises:
        UnsupportedError: The network takes no pictures, or more than one input.
    """
    inputs = [value for value in analysis.graph.inputs if value.name in program.inputs]
    if len(inputs) != 1 or not _is_picture(inputs[0]):
        names = ", ".join(f"'{value.name}'" for value in inputs)
        raise UnsupportedError(
            f"the inputs {names} are not one picture of floats, and only such are made: use effort "
            "seconds"
        )
    opened, found, number = session(original, optimize=False), list[np.ndarray](), 0
    while sum(map(len, found)) < count:
        made = synthetic_pictures(
            opened, analysis.pictured, number=number, size=analysis.sizes.observe
        )
        found.append(made[str(inputs[0].name)])
        number += 1
    return torch.tensor(np.concatenate(found)[:count].astype(np.float32))


def _is_picture(value: ir.Value) -> bool:
    single = holds_floats(value) and value.dtype != ir.DataType.DOUBLE
    return single and len(value.shape or ()) == 4
