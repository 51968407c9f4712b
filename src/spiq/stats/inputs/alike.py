"""Inputs of one shape are pictures made in one way: two cameras, two frames, a face and another.

What is said of each is evidence of all. Siblings mostly share their first layers, whose biases are
then the same evidence twice, so log-likelihoods are averaged, not added. Where one is out of the
question by what is said of another, fourth channels are not alike, or normalization layers state
what each is, they stay apart.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.graph.query import dims
from spiq.stats.inputs.evidence import SURE, Verdict


def together(graph: ir.Graph, verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Return the verdicts with one for all inputs that are alike, the very same value.

    Args:
        graph: The network.
        verdicts: What is said of each picture input, by name.
    """
    by_shape: dict[tuple[object, ...], list[str]] = {}
    for value in graph.inputs:
        name = str(value.name)
        if name in verdicts and verdicts[name].stated is None:
            by_shape.setdefault((value.dtype, *(dims(value) or [])), []).append(name)
    found = dict(verdicts)
    for names in by_shape.values():
        joint = _joint([verdicts[name] for name in names])
        if len(names) > 1 and joint is not None:
            found |= dict.fromkeys(names, joint)
    return found


def _joint(verdicts: list[Verdict]) -> Verdict | None:
    table = np.mean([verdict.table for verdict in verdicts], axis=0)
    grounds = dict.fromkeys(ground for verdict in verdicts for ground in verdict.grounds)
    if any(verdict.fourths != verdicts[0].fourths for verdict in verdicts):
        return None
    betas = np.mean([verdict.betas for verdict in verdicts], axis=0)
    joint = replace(verdicts[0], table=table, grounds=tuple(grounds), betas=betas)
    best = joint.order[0]
    fits = all(verdict.odds[best] > -SURE for verdict in verdicts)
    return joint if fits else None
