"""What lies between the input and the first layers that state moments."""

import numpy as np
import onnx
import pytest

from small_networks import bn, build, norm, trained
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.stats.inputs.first_layers import first_layers
from spiq.stats.inputs.judge import judge

YUV = np.array([[1, 0, 1.402], [1, -0.344, -0.714], [1, 1.772, 0]], np.float32)
COLOURS = "[m] m = Conv(x, matrix, offset) [s] s = Mul(m, scale) "
LAYER = "[c] c = Conv<pads=[1,1,1,1]>({0}, w) " + bn("c", "n") + "[r] y = Relu(n)"
MATRIX = {
    "matrix": YUV.reshape(3, 3, 1, 1),
    "offset": -YUV @ np.array([0, 128, 128], np.float32),
    "scale": np.array(1 / 255, np.float32),
}


def network(body: str, **constants: np.ndarray) -> onnx.ModelProto:
    shapes = {"w": (16, 3, 3, 3), **norm("n", 16)}
    model = build(body, inputs="float[1,3,48,48] x", **shapes, **constants)
    return trained(model, 16, 0, 255)


@pytest.mark.parametrize("scaled", [True, False])
def test_a_matrix_of_colours_is_looked_through(scaled: bool) -> None:
    body = COLOURS if scaled else COLOURS.replace("[s] s = Mul(m, scale) ", "")
    used = {name: a for name, a in MATRIX.items() if scaled or name != "scale"}
    prepared = prepare(read(network(body + LAYER.format("s" if scaled else "m"), **used)))
    verdict = judge(prepared)["x"]
    assert verdict.best.name == "pixels from 0 to 255"
    assert not verdict.rivals
    (layer,) = first_layers(prepared.model.graph.inputs[0], prepared)
    assert layer.stated is not None and layer.by_channel.shape == (16, 3)


def test_its_equations_are_those_of_both_together() -> None:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((16, 3, 3, 3)).astype(np.float32)
    mixed = build(
        "[m] m = Conv(x, matrix, offset) [c] c = Conv<pads=[1,1,1,1]>(m, w, b) [r] y = Relu(c)",
        inputs="float[1,3,48,48] x",
        w=weight,
        b=np.ones(16, np.float32),
        matrix=MATRIX["matrix"],
        offset=MATRIX["offset"],
    )
    prepared = prepare(read(mixed))
    (found,) = first_layers(prepared.model.graph.inputs[0], prepared)
    joint = np.einsum("ojhw,jc->ochw", weight.astype(float), YUV.astype(float))
    np.testing.assert_allclose(found.sums, joint.sum(axis=(1, 2, 3)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.by_channel, joint.sum(axis=(2, 3)), rtol=1e-5, atol=1e-5)
    wanted = weight.sum(axis=(2, 3)) @ MATRIX["offset"] + 1
    np.testing.assert_allclose(found.offset, wanted, rtol=1e-4, atol=1e-3)


def test_what_an_activation_stands_behind_is_a_layer() -> None:
    body = "[m] m = Conv(x, matrix, offset) [a] a = Relu(m) " + LAYER.format("a")
    plain = {name: MATRIX[name] for name in ("matrix", "offset")}
    prepared = prepare(read(network(body, **plain)))
    (layer,) = first_layers(prepared.model.graph.inputs[0], prepared)
    assert layer.biased and len(layer.sums) == 3


BETWEEN = {
    "bounds": ("[k] k = Clip(x, none, top) [s] s = Div(k, top)", (16, 3, 3, 3)),
    "the mean of the colours": (
        "[k] k = ReduceMean<axes=[1]>(x) [s] s = Div(k, top)",
        (16, 1, 3, 3),
    ),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_what_hardly_changes_pictures_is_looked_through(between: str) -> None:
    body, shape = BETWEEN[between]
    ends = {"none": np.array(0, np.float32), "top": np.array(255, np.float32)}
    used = {name: end for name, end in ends.items() if f"{name}," in body or f"{name})" in body}
    shapes = {"w": shape, **norm("n", 16)}
    model = build(body + LAYER.format("s"), inputs="float[1,3,48,48] x", **shapes, **used)
    prepared = prepare(read(trained(model, 16, 0, 255)))
    verdict = judge(prepared)["x"]
    assert verdict.best.name == "pixels from 0 to 255"
    assert not verdict.rivals
