"""What is only moved is not stored anew where the runtime carries its grid along."""

import numpy as np
import onnx
import pytest

from small_networks import bn, build, images_for, norm, run, trained
from spiq import Config, Quantized, quantize


def shuffled() -> onnx.ModelProto:
    """A convolution whose channels are shuffled and cut in two for two more."""
    body = (
        "[c1] c1 = Conv(x, w1) " + bn("c1", "n") + "[r] r = Relu(n) "
        "[a] a = Reshape(r, apart) [t] t = Transpose<perm=[0,2,1,3,4]>(a) [b] b = Reshape(t, flat) "
        "[s] left, right = Split<axis=1>(b, sizes) [c2] c2 = Conv(left, w2) "
        "[c3] c3 = Conv(right, w3) [y] y = Concat<axis=1>(c2, c3)"
    )
    shapes = {"apart": [0, 2, 8, 16, 16], "flat": [0, 16, 16, 16], "sizes": [8, 8]}
    arrays = {name: np.array(shape, np.int64) for name, shape in shapes.items()}
    weights = {"w1": (16, 3, 1, 1), "w2": (4, 8, 1, 1), "w3": (4, 8, 1, 1)}
    return trained(build(body, **weights, **arrays, **norm("n", 16)))


def chain(made: Quantized) -> list[str]:
    """Return the operators from the first convolution on to the next one."""
    graph = onnx.load_from_string(made.model).graph
    readers = {name: node for node in reversed(graph.node) for name in node.input}
    found, node = [], next(node for node in graph.node if node.name == "c1")
    while node.name not in ("c2", "c3"):
        found.append(node.op_type)
        node = readers[node.output[0]]
    return found


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return shuffled()


def test_nothing_lies_within_a_shuffle(model: onnx.ModelProto) -> None:
    made = quantize(model, Config(target="openvino", timing=False))
    stored = ["QuantizeLinear", "DequantizeLinear"]
    assert chain(made) == ["Conv", *stored, "Reshape", "Transpose", "Reshape", "Split"]
    usual = quantize(model, Config(target="qnn", timing=False))
    assert chain(usual).count("QuantizeLinear") > 3


def test_the_numbers_are_the_same(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(target="openvino", timing=False)
    short = quantize(model, config)
    monkeypatch.setattr("spiq.lower.carry_grids", lambda *_: None)
    long = quantize(model, config)
    feed = images_for(model, 2)
    found = [run(made.model, feed)["y"] for made in (short, long)]
    assert len(short.model) < len(long.model)
    assert np.array_equal(*found)


def test_an_output_that_is_only_moved_keeps_its_name() -> None:
    body = "[c1] c1 = Conv(x, w1) [r] r = Relu(c1) [p] p = MaxPool<kernel_shape=[2,2]>(r) "
    body += "[c2] y = Conv(p, w2)"
    model = build(body, outputs="y, p", w1=(8, 3, 1, 1), w2=(4, 8, 1, 1))
    made = quantize(model, Config(target="openvino", timing=False))
    found = run(made.model, images_for(model, 2))
    assert list(found) == ["y", "p"]
    assert made.report.snr_db["p"] > 25
