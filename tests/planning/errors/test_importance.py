"""Importance of a channel against noise: what an error put there does to the output."""

import numpy as np
import onnx
import pytest

from small_networks import bn, build, norm, run, whole
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.planning.errors.importance import importance_of
from spiq.stats.channel import stats
from spiq.stats.propagate import measure

SHAPE = (256, 3, 12, 12)
STEM = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1")
SHUFFLE = "[s1] s = Reshape(r, s5) [t] t = Transpose<perm=[0,2,1,3,4]>(s) [s2] u = Reshape(t, s4) "
TAIL = "[c2] c2 = Conv<pads=[1,1,1,1]>(r, w2) " + bn("c2", "n2") + "[q] q = Relu(n2) "
HEAD = "[g] g = GlobalAveragePool(q) [f] f = Flatten(g) [o] y = Gemm<transB=1>(f, wg, bg)"
POOLED = "[p] p = AveragePool<kernel_shape=[2,2], strides=[2,2]>(r) [o] y = Conv(p, w3)"
CASES = {
    "convolution": (f"{STEM}[o] y = Conv(n1, w3)", ["n1"]),
    "small maps": (f"{STEM}[r] r = Relu(n1) [o] y = Conv<pads=[4,4,4,4]>(r, w9)", ["r"]),
    "strides": (f"{STEM}[r] r = Relu(n1) [o] y = Conv<strides=[3,3]>(r, w2)", ["n1", "r"]),
    "ReLU": (f"{STEM}[r] r = Relu(n1) {TAIL}[o] y = Conv(q, w3)", ["n1", "r", "n2", "q"]),
    "SiLU": (f"{STEM}[s] s = Sigmoid(n1) [r] r = Mul(n1, s) [o] y = Conv(r, w3)", ["r"]),
    "LeakyRelu": (f"{STEM}[r] r = LeakyRelu<alpha=0.3>(n1) [o] y = Conv(r, w3)", ["n1"]),
    "Sigmoid": (f"{STEM}[r] r = Sigmoid(n1) [o] y = Conv(r, w3)", ["n1"]),
    "groups": (f"{STEM}[r] r = Relu(n1) [o] y = Conv<group=4>(r, wd)", ["r"]),
    "residual": (f"{STEM}[r] r = Relu(n1) {TAIL}[a] a = Add(q, r) [o] y = Conv(a, w3)", ["q", "a"]),
    "Concat": (f"{STEM}[r] r = Relu(n1) {TAIL}[a] a = Concat<axis=1>(q, r) [o] y = Conv(a, w4)",
               ["q", "a"]),
    "shuffle": (f"{STEM}[r] r = Relu(n1) {SHUFFLE}[o] y = Conv(u, w3)", ["r"]),
    "head": (f"{STEM}[r] r = Relu(n1) {TAIL}{HEAD}", ["q", "g", "f"]),
    "AveragePool": (f"{STEM}[r] r = Relu(n1) {POOLED}", ["r"]),
    "ConvTranspose": (f"{STEM}[o] y = ConvTranspose<strides=[2,2]>(n1, wt)", ["n1"]),
    "two outputs": (f"{STEM}[r] r = Relu(n1) [o] y = Conv(r, w3) [o2] z = Conv(r, w2)", ["r"]),
}  # fmt: skip
LOOSE = {("ReLU", "n1"): 0.45, ("ReLU", "r"): 0.45, ("head", "q"): 0.3}
"""Behind a second layer, errors of one source meet again, at random signs: the more channels, the
less it counts, and on average it does not. And a pool leaves few samples."""

RELATIVE = {"small maps", "strides"}
"""An error passes a layer as the signal does, which is taken to be smooth; this noise is not."""

SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (4, 8, 1, 1), "w4": (4, 16, 1, 1),
          "w9": (4, 8, 9, 9), "wd": (8, 2, 1, 1), "wg": (5, 8), "bg": (5,),
          "wt": (8, 4, 2, 2)}  # fmt: skip


def network(name: str) -> onnx.ModelProto:
    body = CASES[name][0]
    constants = {
        **SHAPES,
        "s5": whole(0, 2, 4, 12, 12),
        "s4": whole(0, 8, 12, 12),
        **norm("n1", 8, spread=4),
        **norm("n2", 8, spread=4),
    }
    given = {key: array for key, array in constants.items() if key in body}
    model = build(body, inputs="float[N,3,12,12] x", outputs="y, z" if " z =" in body else "y",
                  **given)  # fmt: skip
    feed = {"x": np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)}
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            x = run(model, feed, outputs=[node.input[0]])[node.input[0]]
            for key, moment in zip(
                node.input[3:5], (x.mean((0, 2, 3)), x.var((0, 2, 3))), strict=True
            ):
                arrays[key].CopyFrom(onnx.numpy_helper.from_array(moment.astype(np.float32), key))
    return model


def disturbed(model: onnx.ModelProto, name: str, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Add the input ``noise`` to a tensor, for all that read it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        for index, value in enumerate(node.input):
            node.input[index] = "noisy" if value == name else value
    at = 1 + next(i for i, node in enumerate(copy.graph.node) if name in node.output)
    copy.graph.node.insert(at, onnx.helper.make_node("Add", [name, "noise"], ["noisy"]))
    copy.graph.input.append(onnx.helper.make_tensor_value_info("noise", 1, shape))
    return copy


@pytest.mark.parametrize("name", CASES)
def test_importance_is_the_power_that_arrives(name: str) -> None:
    model = network(name)
    prepared = prepare(read(model))
    known = stats(np.zeros((1, 3, 1, 1)), np.ones((1, 3, 1, 1)), -6.0, 6.0, "input")
    measured = measure(prepared, {"x": known})
    found = importance_of(prepared.model.graph, measured)
    powers = {
        str(value.name): measured.stats[value].var.sum() for value in prepared.model.graph.outputs
    }
    rng = np.random.default_rng(1)
    feed = {"x": rng.standard_normal(SHAPE).astype(np.float32)}
    plain = run(model, feed)
    for tensor in CASES[name][1]:
        value = next(v for v in measured.stats if v.name == tensor)
        like = run(model, feed, outputs=[tensor])[tensor]
        noisy = disturbed(model, tensor, like.shape)
        expected, arrived = found[value].reshape(-1), []
        for channel in range(like.shape[1]):
            noise = np.zeros_like(like)
            noise[:, channel] = 0.02 * rng.choice([-1, 1], noise[:, channel].shape)
            result = run(noisy, {**feed, "noise": noise})
            share = [np.square(result[key] - plain[key]).mean(
                tuple(axis for axis in range(plain[key].ndim) if axis != 1)).sum() / powers[key]
                for key in plain]  # fmt: skip
            arrived.append(sum(share) / 0.02**2)
        if name in RELATIVE:
            factor = sum(arrived) / expected.sum()
            assert 0.2 < factor < 5
            arrived = np.array(arrived) / factor
        np.testing.assert_allclose(
            arrived, expected, rtol=LOOSE.get((name, tensor), 0.15), err_msg=tensor
        )


def test_a_layer_passes_errors_as_it_passes_the_signal() -> None:
    prepared = prepare(read(network("small maps")))
    known = stats(np.zeros((1, 3, 1, 1)), np.ones((1, 3, 1, 1)), -6.0, 6.0, "input")
    measured = measure(prepared, {"x": known})
    found = importance_of(prepared.model.graph, measured)
    layer = prepared.model.graph[-1]
    before, after = (
        (found[value] * measured.stats[value].var).sum()
        for value in (layer.inputs[0], layer.outputs[0])
        if value is not None
    )
    assert layer.op_type == "Conv" and before == pytest.approx(after)


WITHOUT_RULE = {
    "Pow": "[z] z = Pow(y, two)",
    "TopK": "[z] z, places = TopK<axis=1>(y, three)",
    "ArgMax": "[z] z = ArgMax<axis=1>(y)",
    "Det": "[z] z = Det(y)",
    "If": "[f] f = ReduceMax<keepdims=0>(y) [g] g = Greater(f, three_f) "
          "[z] z = If (g) <then_branch = a () => (float[N,M,H,W] p) { p = Neg(y) }, "
          "else_branch = b () => (float[N,M,H,W] q) { q = Exp(y) }>",
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_RULE)
def test_what_an_operator_without_a_rule_reads_counts_as_an_output(name: str) -> None:
    """All before it matters as much as where the network ends in front of it."""
    body = f"{STEM}[r] r = Relu(n1) [o] y = Conv(r, w3) "
    constants = {
        "two": np.array(2, np.float32), "three": whole(3), "s3": whole(0, 4, -1),
        "three_f": np.array(3, np.float32),
    }  # fmt: skip
    kind = {"ArgMax": "int64[N,M,H,W] z"}.get(name, "z")
    found = []
    for more, outputs in (("", "y"), (WITHOUT_RULE[name], kind)):
        model = build(body + more, outputs=outputs, **SHAPES, **norm("n1", 8), **constants)
        prepared = prepare(read(model))
        known = stats(np.zeros((1, 3, 1, 1)), np.ones((1, 3, 1, 1)), source="input")
        measured = measure(prepared, {"x": known})
        importance = importance_of(prepared.model.graph, measured)
        found.append({str(value.name): array for value, array in importance.items()})
    plain, behind = found
    for tensor in ("n1", "r", "y"):
        assert behind[tensor].sum() >= plain[tensor].sum() * 0.99 > 0
