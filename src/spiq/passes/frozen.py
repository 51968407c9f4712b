"""BatchNormalization that a network spells out, with its statistics among the constants.

torchvision's, DETR's and timm's ``FrozenBatchNorm2d`` compute

    s = weight / sqrt(running_var + eps),    t = bias - running_mean s,    y = x s + t

from buffers that keep their names in the file. Folded like any other constants they are a factor
and a shift, and what they knew of x is lost. So the step is written as the BatchNormalization
that it is, if the numbers agree: eps is what makes them.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, remove_unused, replace
from spiq.graph.query import Array, constant, is_constant, sole_consumer
from spiq.passes.constants import resolve_shapes

_SCALE, _SHIFT = {"weight", "running_var"}, {"weight", "bias", "running_mean", "running_var"}
_PARAMETERS = ("weight", "bias", "running_mean", "running_var")
_NEAR = 1e-4
_LARGEST = 0.1
"""How far numbers may be apart, in parts of their size, and an eps at most."""

Parameters = tuple[ir.Value, ...]


def frozen_norms(model: ir.Model) -> int:
    """Write what is a BatchNormalization by its constants' names and numbers as one, in place."""
    found = [(node, own) for node in model.graph if (own := _parameters(node, model.graph))]
    if not found:
        return 0
    arrays = {node: [np.asarray(constant(value), np.float64) for value in own]
              for node, own in found}  # fmt: skip
    resolve_shapes(model)
    written = sum(_write(model.graph, node, numbers) for node, numbers in arrays.items())
    remove_unused(model.graph)
    return written


def _parameters(add: ir.Node, graph: ir.Graph) -> Parameters | None:
    """Return weight, bias, mean and variance, if ``add`` ends such a step by their names."""
    scaled = _operands(add, "Add")
    if scaled is None:
        return None
    behind, shift = scaled
    before = behind.producer()
    scale = _operands(before, "Mul") if before is not None else None
    if scale is None or sole_consumer(behind) is not add:
        return None
    prefix = _prefix(_leaves(scale[1]), _SCALE)
    if prefix is None or _prefix(_leaves(shift), _SHIFT) != prefix:
        return None
    return tuple(graph.initializers[prefix + name] for name in _PARAMETERS)


def _operands(node: ir.Node, operator: str) -> tuple[ir.Value, ir.Value] | None:
    """Return the data and the computed constant of a step."""
    if node.op_type != operator or node.domain != "":
        return None
    first, second = node.inputs[:2]
    if first is None or second is None:
        return None
    known = [_leaves(first) is not None, _leaves(second) is not None]
    if known == [False, True]:
        return first, second
    return (second, first) if known == [True, False] else None


def _leaves(value: ir.Value) -> set[str] | None:
    """Return the constants that a value is computed from; None if it is from anything else."""
    found: set[str] = set()
    todo, seen = [value], set[ir.Node]()
    while todo:
        now = todo.pop()
        if is_constant(now):
            found.add(str(now.name))
        elif (node := now.producer()) is None or len(seen) > _DEEPEST:
            return None
        elif node not in seen:
            seen.add(node)
            todo += [given for given in node.inputs if given is not None]
    return found


_DEEPEST = 40
"""Steps that lead from the parameters to factor and shift, at most."""


def _prefix(names: set[str] | None, wanted: set[str]) -> str | None:
    """Return what is in front of the names of a norm's parameters, if all wanted are there."""
    ours = [name for name in names or () if name.rpartition(".")[2] == "running_var"]
    if len(ours) != 1:
        return None
    prefix = ours[0].removesuffix("running_var")
    return prefix if {prefix + name for name in wanted} <= (names or set()) else None


def _write(graph: ir.Graph, add: ir.Node, numbers: list[Array]) -> bool:
    operands = _operands(add, "Add")
    before = operands[0].producer() if operands is not None else None
    inner = _operands(before, "Mul") if before is not None else None
    if operands is None or inner is None:
        return False
    gamma, beta, mean, var = numbers
    s, t = (np.asarray(constant(value), np.float64).reshape(-1) for value in
            (inner[1], operands[1]))  # fmt: skip
    eps = _epsilon(gamma, var, s)
    if eps is None or not np.allclose(t, beta - mean * s, rtol=_NEAR, atol=_NEAR):
        return False
    kept = [
        initializer(graph, f"{add.name}_{name}", np.asarray(array, np.float32))
        for name, array in zip(_PARAMETERS, numbers, strict=True)
    ]
    replace(add, ir.node("BatchNormalization", [inner[0], *kept], {"epsilon": eps}, name=add.name))
    return True


def _epsilon(gamma: Array, var: Array, s: Array) -> float | None:
    """Return eps with s = gamma / sqrt(var + eps), if there is one."""
    alive = (np.abs(gamma) > 0) & (s != 0)
    if s.shape != gamma.shape or not alive.any():
        return None
    # The least variance tells it best: the others drown it.
    least = np.argmin(np.where(alive, var, np.inf))
    eps = float((gamma[least] / s[least]) ** 2 - var[least])
    eps = min(max(eps, 0.0), _LARGEST)
    agree = np.allclose(gamma / np.sqrt(var + eps), s, rtol=_NEAR, atol=0)
    return eps if agree else None
