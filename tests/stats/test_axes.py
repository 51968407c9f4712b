"""Where channels lie, operator by operator."""

import numpy as np
import pytest

from small_networks import build, floats, whole
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.pipeline import quantize
from spiq.stats.axes import channel_axes
from spiq.stats.input_axis import channel_count

IMAGE = "float[1,6,4,4] x"


@pytest.mark.parametrize(
    ("body", "axes"),
    [
        ("y = Relu(x)", (1,)),
        ("y = Transpose<perm=[0,2,3,1]>(x)", (3,)),
        ("y = Reshape(x, flat)", (1,)),
        ("f = Reshape(x, flat) y = Transpose<perm=[0,2,1]>(f)", (2,)),
        ("f = Reshape(x, flat) t = Transpose<perm=[0,2,1]>(f) y = Reshape(t, heads)", (2, 3)),
        ("y = Reshape(x, groups)", (1,)),
        ("g = Reshape(x, groups) n = Relu(g) y = Reshape(n, back)", (1,)),
        ("g = Reshape(x, one) n = Mul(g, g) y = Reshape(n, back)", (1,)),
        ("u = Unsqueeze(x, second) y = Squeeze(u, second)", (1,)),
        ("u = Unsqueeze(x, second) y = Relu(u)", (2,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = MatMul(t, w)", (3,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = LayerNormalization(t, six)", (3,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = Add(t, six)", (3,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = ReduceMean<keepdims=0>(t, space)", (1,)),
        ("t = Transpose<perm=[0,2,3,1]>(x) y = Gather<axis=1>(t, first)", (2,)),
        ("f = Reshape(x, flat) t = Transpose<perm=[0,2,1]>(f) y = MatMul(f, t)", (1, 2)),
        ("f = Reshape(x, flat) t = Transpose<perm=[0,2,1]>(f) s = MatMul(t, f) y = MatMul(s, t)",
         (2,)),
    ],
)  # fmt: skip
def test_axes_of_channels(body: str, axes: tuple[int, ...]) -> None:
    known = {
        "flat": whole(1, 6, 16), "heads": whole(1, 16, 2, 3), "w": (6, 5), "space": whole(1, 2),
        "groups": whole(1, 2, 48), "one": whole(1, 1, 96), "second": whole(1),
        "back": whole(1, 6, 4, 4),
        "six": floats(*range(6)), "first": np.array(0, np.int64),
    }  # fmt: skip
    used = {name: value for name, value in known.items() if f" {name})" in body}
    graph = read(build(body, inputs=IMAGE, opset=18, **used)).graph
    assert channel_axes(graph).get(graph.outputs[0]) == axes


OPEN = "float[N,8,16,16] x"


@pytest.mark.parametrize(
    ("body", "axes"),
    [
        ("g = Reshape(x, heads) y = Transpose<perm=[0,1,3,2]>(g)", (1, 3)),
        ("g = Reshape(x, heads) t = Transpose<perm=[0,1,3,2]>(g) y = Reshape(t, maps)", (3,)),
        ("g = Reshape(x, stack) y = Relu(g)", None),
        ("g = Reshape(x, stack) y = Reshape(g, back)", (1,)),
        ("k = Less(x, zero) z = Cast<to=1>(k) y = Conv(z, v)", (1,)),
    ],
)
def test_heads_beside_an_open_batch_are_alike(body: str, axes: tuple[int, ...] | None) -> None:
    known = {
        "heads": whole(0, 2, 4, 256), "maps": whole(-1, 16, 16, 4), "stack": whole(-1, 4, 256),
        "back": whole(-1, 8, 16, 16), "zero": floats(0), "v": (4, 8, 1, 1),
    }  # fmt: skip
    used = {name: value for name, value in known.items() if f" {name})" in body}
    graph = read(build(body, inputs=OPEN, opset=18, **used)).graph
    assert channel_axes(graph).get(graph.outputs[0]) == axes


def test_what_a_branch_makes_is_told_by_what_reads_it() -> None:
    then = "a () => (float[1,8,16,16] p) { p = Relu(x) }"
    other = "b () => (float[1,8,16,16] q) { q = Neg(x) }"
    body = f"o = If(k) <then_branch = {then}, else_branch = {other}> y = Conv(o, v)"
    inputs = "float[1,8,16,16] x, bool k"
    graph = read(build(body, inputs=inputs, v=(4, 8, 1, 1), opset=18)).graph
    axes = {value.name: own for value, own in channel_axes(graph).items()}
    assert axes["o"] == (1,)


def test_rows_of_an_embedding_are_tokens() -> None:
    table = np.zeros((9, 5), np.float32)
    graph = read(build("y = Gather<axis=0>(t, x)", inputs="int64[1,7] x", t=table)).graph
    assert channel_axes(graph)[graph.outputs[0]] == (2,)


@pytest.mark.parametrize(
    ("inputs", "body", "kernel"),
    [
        ("float[N,400] x", "u = Unsqueeze(x, one) y = Conv(u, w)", (8, 1, 5)),
        ("float[N,T] x", "u = Unsqueeze(x, one) y = Conv(u, w)", (8, 1, 5)),
        ("float[N,60,40] x", "u = Unsqueeze(x, one) y = Conv(u, w)", (8, 1, 3, 3)),
        ("float[N,60,40] x", "m = Mul(x, two) u = Reshape(m, shape) y = Conv(u, w)", (8, 1, 3, 3)),
    ],
)
def test_what_gets_its_axis_of_channels_in_the_network_has_none(
    inputs: str, body: str, kernel: tuple[int, ...]
) -> None:
    """Samples and spectrograms: places were taken for channels, and the first layer in float."""
    constants = {"one": np.array([1])} if "one" in body else {"two": np.array(2, np.float32)}
    if "shape" in body:
        constants["shape"] = np.array([-1, 1, 60, 40])
    model = build(body, inputs=inputs, w=kernel, **constants)
    graph = prepare(read(model)).model.graph
    assert channel_count(graph.inputs[0]) == 1
    assert channel_axes(graph)[graph.inputs[0]] == ()
    assert quantize(model, Config(timing=False)).report.quantized_layers == 1


def test_what_becomes_channels_in_the_network_has_them() -> None:
    body = "u = Unsqueeze(x, two) y = Conv(u, w)"
    model = build(body, inputs="float[N,12] x", w=(8, 12, 1), two=np.array([2]))
    graph = prepare(read(model)).model.graph
    assert channel_count(graph.inputs[0]) == 12
