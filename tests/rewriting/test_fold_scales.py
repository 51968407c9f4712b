"""Folding changes no function: any scales that respect the classes, quantization left off.

The folded graph runs in float; an output that is stored comes out as y / sigma, which the resolved
undoes. A graph output that is not stored must be the same number as before.
"""

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import bn, build, images_for, norm, planned, run, trained, whole
from spiq.planning.placement.values import Placement
from spiq.planning.plan.resolve import Resolved, resolve
from spiq.rewriting.fold_scales import fold_scales

CONV = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1, b1) [r] r = Relu(c1) "
BASE = {"w1": (8, 3, 3, 3), "b1": (8,)}


def case(
    name: str, body: str, *, inputs: str = "float[2,3,16,16] x", **constants: object
) -> object:
    given = {"inputs": inputs, **BASE, **constants} if "w1" in body else constants
    return pytest.param(body, {"inputs": inputs, **given}, id=name)


CASES = [
    case("one group", f"{CONV}[o] y = Conv<pads=[1,1,1,1]>(r, w2, b2)", w2=(5, 8, 3, 3), b2=(5,)),
    case("two groups", f"{CONV}[o] y = Conv<group=2>(r, w2)", w2=(6, 4, 3, 3)),
    case("depthwise", f"{CONV}[d] d = Conv<group=8, pads=[1,1,1,1]>(r, w2) [q] q = Relu(d) "
         "[o] y = Conv(q, w3)", w2=(8, 1, 3, 3), w3=(4, 8, 1, 1)),
    case("depthwise of two outputs", f"{CONV}[d] d = Conv<group=8>(r, w2) [o] y = Conv(d, w3)",
         w2=(16, 1, 3, 3), w3=(4, 16, 1, 1)),
    case("Gemm", f"{CONV}[g] g = GlobalAveragePool(r) [f] f = Flatten(g) "
         "[h] h = Gemm<transB=1>(f, wg, bg) [q] q = Relu(h) [o] y = Gemm<transB=1>(q, w3)",
         wg=(6, 8), bg=(6,), w3=(4, 6)),
    case("MatMul", "[h] h = MatMul(x, wa) [q] q = Relu(h) [o] y = MatMul(q, wb)",
         inputs="float[2,10] x", wa=(10, 6), wb=(6, 4)),
    case("BatchNormalization as depthwise", f"{CONV}[p] p = MaxPool<kernel_shape=[2,2]>(r) "
         f"{bn('p', 'n')}[q] q = Relu(n) [o] y = Conv<pads=[1,1,1,1]>(q, w2)", w2=(5, 8, 3, 3),
         **norm("n", 8)),
    case("residual", f"{CONV}[c] c = Conv<pads=[1,1,1,1]>(r, w2) [a] a = Add(c, r) [q] q = Relu(a) "
         "[o] y = Conv(q, w3)", w2=(8, 8, 3, 3), w3=(4, 8, 1, 1)),
    case("Concat", f"{CONV}[c] c = Conv<pads=[1,1,1,1]>(r, w2) [a] a = Concat<axis=1>(c, r) "
         "[o] y = Conv(a, w3)", w2=(5, 8, 3, 3), w3=(4, 13, 1, 1)),
    case("Split and Concat", f"{CONV}[s] s, t = Split<axis=1>(r, sizes) [c] c = Conv(s, w2) "
         "[a] a = Concat<axis=1>(t, c) [o] y = Conv(a, w3)", sizes=whole(3, 5), w2=(2, 3, 1, 1),
         w3=(4, 7, 1, 1)),
    case("channel shuffle", f"{CONV}[s] s = Reshape(r, s5) [t] t = Transpose<perm=[0,2,1,3,4]>(s) "
         "[u] u = Reshape(t, s4) [o] y = Conv<group=2>(u, w2)", s5=whole(0, 2, 4, 16, 16),
         s4=whole(0, 8, 16, 16), w2=(6, 4, 3, 3)),
    case("Pad", f"{CONV}[s] s = Pad(r, pads) [o] y = Conv(s, w2)",
         pads=whole(0, 2, 0, 0, 0, 1, 0, 0), w2=(4, 11, 3, 3)),
    case("Flatten over space", f"{CONV}[p] p = MaxPool<kernel_shape=[8,8], strides=[8,8]>(r) "
         "[f] f = Flatten(p) [o] y = Gemm<transB=1>(f, wg)", wg=(4, 32)),
    case("pools and LeakyRelu", f"{CONV}[c] c = Conv(r, w2) [l] l = LeakyRelu<alpha=0.3>(c) "
         "[p] p = AveragePool<kernel_shape=[2,2]>(l) [o] y = Conv(p, w3)", w2=(6, 8, 3, 3),
         w3=(4, 6, 1, 1)),
    case("one dimension", "[c] c = Conv<pads=[1,1]>(x, wa) [r] r = Relu(c) [o] y = Conv(r, wb)",
         inputs="float[2,3,16] x", wa=(8, 3, 3), wb=(4, 8, 1)),
]  # fmt: skip


def followed(model: onnx.ModelProto) -> tuple[ir.Graph, Placement, Resolved]:
    made, placement, graph = planned(model)
    return graph, placement, resolve(made, placement)


def scrambled(resolved: Resolved, placement: Placement, seed: int, *, inputs: bool) -> Resolved:
    """Give every class of channels a scale of its own; the network's inputs only if asked."""
    count = 1 + max(int(ids.max()) for ids in placement.classes.values())
    sigma = np.exp(np.random.default_rng(seed).uniform(-3, 3, count))
    if not inputs:
        for value, ids in placement.classes.items():
            sigma[ids] = 1 if value.producer() is None else sigma[ids]
    tensors = dict(resolved.tensors)
    for value, ids in placement.classes.items():
        scale = tuple(float(s) for s in sigma[ids].reshape(-1))
        tensors[str(value.name)] = replace(tensors[str(value.name)], channel_scale=scale)
    return replace(resolved, tensors=tensors)


def serialized(graph: ir.Graph) -> onnx.ModelProto:
    return ir.serde.serialize_model(ir.Model(graph, ir_version=8))


def undone(name: str, array: np.ndarray, resolved: Resolved) -> np.ndarray:
    stored = resolved.tensors.get(name)
    if stored is None:
        return array
    return array * np.array(stored.channel_scale).reshape(stored.layout)


@pytest.mark.parametrize(("body", "constants"), CASES)
@pytest.mark.parametrize("inputs", [False, True], ids=["", "input scaled"])
def test_any_scales_of_the_classes_fold_exactly(
    body: str, constants: dict[str, object], inputs: bool
) -> None:
    model = trained(build(body, **constants))
    graph, placement, resolved = followed(model)
    resolved = scrambled(resolved, placement, 1, inputs=inputs)
    layers = fold_scales(graph, resolved)
    assert [node.name for node in layers] == list(resolved.layers)
    feed = images_for(model)
    sigma = np.array(resolved.tensors["x"].channel_scale).reshape(resolved.tensors["x"].layout)
    folded = serialized(graph)
    absorbed_again(folded, resolved)
    found = run(folded, {"x": (feed["x"] / sigma).astype(np.float32)})
    for name, array in run(model, feed).items():
        result = undone(name, found[name], resolved)
        np.testing.assert_allclose(result, array, rtol=1e-3, atol=1e-5 * np.abs(array).max())


def absorbed_again(model: onnx.ModelProto, resolved: Resolved) -> None:
    """Put a ReLU where the grid would have stood for it."""
    nodes = list(model.graph.node)
    for name in resolved.absorbed:
        index = next(i for i, node in enumerate(nodes) if name in node.output)
        nodes[index].output[0] = f"{name}_linear"
        nodes.insert(index + 1, onnx.helper.make_node("Relu", [f"{name}_linear"], [name]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def test_scales_that_break_a_class_change_the_function() -> None:
    """The oracle can fail: a residual whose two sides have different scales."""
    body = f"{CONV}[c] c = Conv<pads=[1,1,1,1]>(r, w2) [a] a = Add(c, r) [o] y = Conv(a, w3)"
    model = build(body, **BASE, w2=(8, 8, 3, 3), w3=(4, 8, 1, 1))
    graph, _, resolved = followed(model)
    broken = replace(resolved.tensors["c"], channel_scale=tuple(np.full(8, 7.0)))
    resolved = replace(resolved, tensors={**resolved.tensors, "c": broken})
    fold_scales(graph, resolved)
    folded = serialized(graph)
    absorbed_again(folded, resolved)
    feed = images_for(model)
    result = undone("y", run(folded, feed)["y"], resolved)
    assert not np.allclose(result, run(model, feed)["y"], rtol=0.1)


def test_scales_of_one_leave_weights_alone() -> None:
    model = build(f"{CONV}[o] y = Conv(r, w2)", **BASE, w2=(4, 8, 1, 1))
    graph, placement, resolved = followed(model)
    ones = {
        str(value.name): replace(resolved.tensors[str(value.name)], channel_scale=(1.0,) * ids.size)
        for value, ids in placement.classes.items()
    }
    layers = fold_scales(graph, replace(resolved, tensors=ones))
    for node, name in zip(layers, ("w1", "w2"), strict=True):
        weight = next(t for t in model.graph.initializer if t.name == name)
        kept = node.inputs[1].const_value
        np.testing.assert_array_equal(kept.numpy(), onnx.numpy_helper.to_array(weight))


def test_shared_weight_is_folded_for_each_layer_on_its_own() -> None:
    body = f"{CONV}[c] c = Conv<pads=[1,1,1,1]>(r, w2, b1) [q] q = Relu(c) "
    body += "[d] y = Conv<pads=[1,1,1,1]>(q, w2, b1)"
    model = build(body, **BASE, w2=(8, 8, 3, 3))
    graph, placement, resolved = followed(model)
    resolved = scrambled(resolved, placement, 2, inputs=False)
    first, second, third = fold_scales(graph, resolved)
    assert len({node.inputs[1] for node in (first, second, third)}) == 3
    folded = serialized(graph)
    absorbed_again(folded, resolved)
    feed = images_for(model)
    array = run(model, feed)["y"]
    result = undone("y", run(folded, feed)["y"], resolved)
    np.testing.assert_allclose(result, array, rtol=1e-3, atol=1e-5 * np.abs(array).max())
