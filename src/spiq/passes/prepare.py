"""From any ONNX graph to the one spelling that the later steps know.

The function of the network stays as it is. What each BatchNormalization states about its input
and output is recorded before the node is folded away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import onnx_ir as ir

from spiq.errors import UnsupportedError
from spiq.graph.edit import remove_unused
from spiq.graph.query import layer_nodes, sole_consumer
from spiq.graph.shapes import take_stated
from spiq.passes.affine import factors_before_relus, steps_as_norms
from spiq.passes.batchnorm import Moments, Norm, fold_batchnorm
from spiq.passes.bounds import merge_bounds
from spiq.passes.cancelled import drop_cancelled_biases
from spiq.passes.canonical import dense_heads, pool_means, split_sums
from spiq.passes.cleanup import (
    drop_noops,
    explicit_pads,
    plain_constants,
    plain_pads,
    plain_resizes,
)
from spiq.passes.constants import fold_constants, resolve_shapes
from spiq.passes.einsum import einsum_products
from spiq.passes.expands import drop_expands
from spiq.passes.frozen import frozen_norms
from spiq.passes.gates import plain_gates
from spiq.passes.gemm import canonical_gemm
from spiq.passes.hoist import hoist_steps
from spiq.passes.joined import bounds_of_parts, norms_of_parts
from spiq.passes.pads import fold_pads
from spiq.passes.phases import phase_convolutions
from spiq.passes.products import scale_products
from spiq.passes.sequences import plain_splits, same_splits
from spiq.passes.single import half_as_single
from spiq.passes.soft_gates import plain_soft_gates
from spiq.passes.stacks import stacks_as_tensors
from spiq.passes.tokens import token_layers
from spiq.passes.turns import plain_turns
from spiq.passes.wholes import drop_wholes
from spiq.passes.woven import activations_before_weaving

PASSES = (
    half_as_single,
    frozen_norms,
    resolve_shapes,
    drop_wholes,
    drop_expands,
    plain_splits,
    fold_constants,
    same_splits,
    plain_turns,
    plain_constants,
    drop_noops,
    explicit_pads,
    plain_resizes,
    plain_pads,
    fold_pads,
    pool_means,
    split_sums,
    merge_bounds,
    plain_gates,
    plain_soft_gates,
    einsum_products,
    scale_products,
    token_layers,
    canonical_gemm,
    drop_cancelled_biases,
    hoist_steps,
    norms_of_parts,
    bounds_of_parts,
    factors_before_relus,
    stacks_as_tensors,
)


@dataclass(frozen=True)
class Prepared:
    """A network ready to be measured.

    Attributes:
        model: The network, BatchNormalization folded.
        stated: Moments per channel that normalization layers state, by value name.
        norms: The BatchNormalizations as they were before folding, those whose input is left.
        next_names: What came next of each tensor that one operator read, by name, as the network
            was given: some of these operators are gone.
    """

    model: ir.Model
    stated: MappingProxyType[str, Moments]
    norms: tuple[Norm, ...] = ()
    next_names: Mapping[str, str] = field(default_factory=dict)


def prepare(model: ir.Model, *, small_phases: bool = False) -> Prepared:
    """Rewrite ``model`` in place into the canonical spelling.

    Args:
        model: The network.
        small_phases: Small ConvTransposes become convolutions, too, which does not pay where ONNX
            Runtime runs them (:mod:`spiq.passes.phases`).

    Raises:
        UnsupportedError: The network has no layer that could be quantized.
    """
    _name_nodes(model.graph)
    following = _next_names(model.graph)
    for step in PASSES:
        step(model)
    _refuse_without_layers(model.graph)
    moments: list[tuple[ir.Value, Moments]] = []
    norms = fold_batchnorm(model, lambda value, stated: moments.append((value, stated)))
    phases = phase_convolutions(model, small=small_phases)
    moments += [pair for v, one in moments if v in phases for pair in phases[v].stated(one)]
    activations_before_weaving(model)
    steps_as_norms(model)
    dense_heads(model)
    remove_unused(model.graph)
    take_stated(model)
    _refuse_without_layers(model.graph)
    stated = {
        value.name: found
        for value, found in moments
        if value.name is not None and value.graph is model.graph
    }
    left = tuple(norm for norm in norms if norm.value.graph is model.graph)
    return Prepared(model, MappingProxyType(stated), left, following)


def _next_names(graph: ir.Graph) -> dict[str, str]:
    return {
        str(value.name): str(after.outputs[0].name)
        for node in graph
        for value in node.outputs
        if (after := sole_consumer(value)) is not None and after.outputs
    }


def _refuse_without_layers(graph: ir.Graph) -> None:
    if not layer_nodes(graph):
        raise UnsupportedError(
            f"{graph.name or 'the model'}: nothing to quantize: it holds no Conv, Gemm or MatMul "
            "with a constant weight that an output depends on"
        )


def _name_nodes(graph: ir.Graph) -> None:
    """Give every node a name of its own: plans and messages refer to nodes by name."""
    taken: set[str] = set()
    for node in graph:
        name = node.name or node.outputs[0].name or node.op_type
        unique, count = name, 1
        while unique in taken:
            unique, count = f"{name}_{count}", count + 1
        taken.add(unique)
        node.name = unique
