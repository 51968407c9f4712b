"""Check a large quantized network a part at a time, see :mod:`spiq.runtime.parts`.

Each part is the network's own nodes and weights, opened with the runtime's default optimizations.
It is shown what the parts before made of the pictures, has to end in integer kernels, and is
checked layer by layer. What is not seen so is whether the runtime opens the file as a whole.
"""

from collections.abc import Iterable, Sequence

import onnx
import onnx_ir as ir

from spiq.planning.plan.resolve import Resolved
from spiq.runtime import parts
from spiq.runtime.kernels import check_kernels
from spiq.runtime.layerwise import QUANTIZED, check_layers
from spiq.runtime.opened import Tensors
from spiq.runtime.parts import Part, Parted, drop, parted
from spiq.runtime.reference import results
from spiq.runtime.scratch import scratch_file
from spiq.runtime.session import Opening, session

_COPIES = 2
"""How much smaller the parts are: the runtime and the check hold several copies of each."""


def checked_in_parts(
    network: ir.Model,
    resolved: Resolved,
    batches: Iterable[Tensors],
    how: Opening,
    *,
    fuses: bool,
) -> list[Tensors]:
    """Check a network; return its outputs for each batch.

    Args:
        network: The quantized network.
        resolved: What was done to it.
        batches: Inputs.
        how: How to open it.
        fuses: Whether it is for ONNX Runtime; otherwise it is computed as it is written.

    Raises:
        VerificationError: A layer lost its integer kernel, or computes something else than the
            graph says; it is named.
        ModelError: The runtime fails.
    """
    whole = parted(network, size=parts.PART // _COPIES)
    if not fuses:
        return whole.outputs(batches)
    alive = [dict(given) for given in batches]
    found: list[Tensors] = [{} for _ in alive]
    for place, part in enumerate(whole.parts):
        made = _part_checked(whole, part, resolved, alive, how)
        for tensors, outputs, one in zip(alive, found, made, strict=True):
            tensors.update(one)
            outputs.update({name: one[name] for name in whole.wanted if name in one})
        drop(alive, whole.parts[place + 1 :])
    return [{name: one[name] for name in whole.wanted} for one in found]


def _part_checked(
    whole: Parted, part: Part, resolved: Resolved, alive: Sequence[Tensors], how: Opening
) -> list[Tensors]:
    """Open a part as any user would open the whole, check it, and return what it makes."""
    weights = {n: whole.weights[n].numpy() for n in part.reads if n in whole.weights}
    described = {port.name for port in whole.get_inputs()}
    bare = whole.opened(part, {n: a for n, a in alive[0].items() if n not in described})
    proto, names = _with_weights(bare, weights), {node.name for node in part.nodes}
    given = [{info.name: tensors[info.name] for info in proto.graph.input} for tensors in alive]
    with scratch_file() as optimized:
        opened = session(proto.SerializeToString(), **how, optimized_path=optimized, name=QUANTIZED)
        layers = [name for name in resolved.layers if name in names]
        check_kernels(optimized, layers, names.intersection(resolved.products))
    made = [results(opened, inputs, where=QUANTIZED) for inputs in given]
    del opened
    check_layers(proto, given[0] | weights, how, bare)
    return made


def _with_weights(bare: onnx.ModelProto, weights: Tensors) -> onnx.ModelProto:
    """Return a model whose large weights, inputs in ``bare``, are its own."""
    proto = onnx.ModelProto()
    proto.CopyFrom(bare)
    del proto.graph.input[:]
    proto.graph.input.extend(info for info in bare.graph.input if info.name not in weights)
    for name, array in weights.items():
        tensor = proto.graph.initializer.add(name=name, dims=array.shape)
        tensor.data_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = array.tobytes()
    return proto
