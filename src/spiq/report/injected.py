"""What the error of one stored tensor costs at the network's outputs, measured.

    cost(v) = sum over outputs of  sum (y_v - y)^2 / sum (y - mean y)^2

where y are the float network's outputs for some pictures and y_v the same with what storing v does
to v added to it, and nothing else. For that, each tensor v in a copy of the network becomes v + e,
e an input that is 0 unless it is given, so that one session serves all tensors.

Importance (:mod:`spiq.planning.errors.importance`) expects the same without running anything. It
overrates what comes first in a deep network, which does no harm where scales of one tensor are
compared, but where layers are. So a layer's estimate is multiplied by what was found over what was
estimated for its tensor, or for the nearest tensor that there was time for.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from spiq.inspection.in_single import AsRun
from spiq.runtime.opened import Arrays
from spiq.runtime.session import call, session
from spiq.runtime.snr import Energy

Array = npt.NDArray[np.float32]
Outputs = Sequence[Sequence[Array]]

SECONDS = 0.4
"""How long to measure at most."""

_FLOATS = frozenset({"tensor(float)", "tensor(float16)"})

_ERROR, _PLAIN = "__spiq_error", "__spiq_plain"

_OVERRIDABLE = 4
"""Version of the file format from which on what is given takes the place of an initializer."""

_WHERE = "the float network"

_SPREAD = 8
"""So many tensors, spread over the network, are measured first, then those that matter most."""


def injectable(network: AsRun, names: Iterable[str]) -> ort.InferenceSession:
    """Open a network in which an error can be added to tensors.

    Args:
        network: The float network.
        names: Of the tensors; its inputs, and what it does not have, need nothing.

    Raises:
        ModelError: It does not load.
    """
    return session(network.whole(_with_errors(network.light(), names)), name=_WHERE)


def costs(
    opened: ort.InferenceSession,
    pictures: Sequence[Arrays],
    errors: Sequence[Arrays],
    *,
    order: Iterable[str],
    seconds: float = SECONDS,
) -> dict[str, float]:
    """Return what the error of each tensor costs at the outputs, as far as there is time.

    Args:
        opened: The float network, of :func:`injectable`.
        pictures: Inputs, picture by picture.
        errors: What storing does to each tensor for each of them, by name.
        order: Names of the tensors, those first that matter.
        seconds: How long to measure, about.

    Raises:
        ModelError: The network does not run.
    """
    wanted = [o.name for o in opened.get_outputs() if o.type in _FLOATS]
    start, found = time.perf_counter(), dict[str, float]()
    plain = [call(opened, wanted, picture, where=_WHERE) for picture in pictures]
    for name in order:
        if time.perf_counter() - start > seconds:
            break
        changed = [
            call(opened, wanted, _given(name, picture, error), where=_WHERE)
            for picture, error in zip(pictures, errors, strict=True)
        ]
        found[name] = _relative(plain, changed)
    return found


def ranked(estimates: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """Return names in the order to measure them: some from all over, then the costliest.

    Args:
        estimates: What each is estimated to cost.
        names: In the order of execution.
    """
    some = names[:: max(len(names) // _SPREAD, 1)]
    rest = sorted(set(names).difference(some), key=lambda name: (-estimates[name], name))
    return [*some, *rest]


def factors(
    estimates: Mapping[str, float], found: Mapping[str, float], names: Sequence[str]
) -> dict[str, float]:
    """Return what to multiply each tensor's estimate by: found over estimated, or a neighbour's."""
    ratios = {
        index: found[name] / estimates[name]
        for index, name in enumerate(names)
        if found.get(name, 0) > 0 and estimates[name] > 0
    }
    if not ratios:
        return dict.fromkeys(names, 1.0)
    return {
        name: ratios[min(ratios, key=lambda known: abs(known - index))]
        for index, name in enumerate(names)
    }


def _given(name: str, picture: Arrays, errors: Arrays) -> Arrays:
    """Return what to feed so that there is an error in a tensor."""
    if name not in errors:
        return picture
    if name in picture:
        return {**picture, name: np.add(picture[name], errors[name])}
    return {**picture, name + _ERROR: errors[name]}


def _relative(plain: Outputs, changed: Outputs) -> float:
    """Return the power of what changed over that of the signal, added up over the outputs."""
    return sum(
        _power(before, after)
        for before, after in zip(zip(*plain, strict=True), zip(*changed, strict=True), strict=True)
    )


def _power(before: Sequence[Array], after: Sequence[Array]) -> float:
    """Return the power of what changed of one output over that of its signal."""
    if any(old.shape != new.shape for old, new in zip(before, after, strict=True)):
        return 0.0
    whole = sum(map(Energy.of, before, after), Energy())
    return 0.0 if whole.why_not or whole.signal <= 0 else whole.noise / whole.signal


def _with_errors(proto: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Change a network so that an error can be added to tensors."""
    graph, wanted = proto.graph, set(names)
    nodes, added = list[onnx.NodeProto](), list[str]()
    for node in graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in wanted:
                node.output[index] = name + _PLAIN
                nodes.append(helper.make_node("Add", [name + _PLAIN, name + _ERROR], [name]))
                added.append(name + _ERROR)
    del graph.node[:]
    graph.node.extend(nodes)
    for name in added:
        graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [0.0]))
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    del graph.value_info[:]
    proto.ir_version = max(proto.ir_version, _OVERRIDABLE)
    return proto
