"""Channels of zeros change no result, and are there where kernels are faster with them."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spiq
from small_networks import bn, build, images_for, norm, run, trained
from spiq.targets import ONNXRUNTIME, TARGETS

SIDE = "float[N,3,48,48] x"
EXPAND = "[c] c = Conv<pads=[1,1,1,1]>(x, w) " + bn("c", "n") + "r = Relu(n) "
DEPTHWISE = "[d] d = Conv<group=24, pads=[1,1,1,1]>(r, wd) " + bn("d", "m") + "[h] h = Relu(m) "
MIX = "[o] y = Conv(h, wo)"
WEIGHTS = {"w": (24, 3, 3, 3), "wd": (24, 1, 3, 3), "wo": (5, 24, 1, 1), **norm("n", 24)}


def padded_and_plain(
    proto: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Quantize for the target, and for one whose kernels take any number of channels."""
    padded = spiq.quantize(proto).model
    monkeypatch.setitem(TARGETS, "onnxruntime", replace(ONNXRUNTIME, channel_multiple=0))
    return onnx.load_from_string(padded), onnx.load_from_string(spiq.quantize(proto).model)


def convolutions(model: onnx.ModelProto) -> dict[str, tuple[tuple[int, ...], int]]:
    """Return the shape of each convolution's weight and its groups, by name."""
    arrays = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    writers = {node.output[0]: node for node in model.graph.node}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            found[node.name] = arrays[writers[node.input[1]].input[0]], groups
    return found


def same_results(proto: onnx.ModelProto, first: onnx.ModelProto, second: onnx.ModelProto) -> None:
    feed = images_for(proto, 2)
    (expected,), (found,) = (run(model, feed).values() for model in (second, first))
    assert np.array_equal(found, expected)


def test_depthwise_channels_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    body = EXPAND + DEPTHWISE + MIX
    proto = trained(build(body, inputs=SIDE, **WEIGHTS, **norm("m", 24)))
    padded, plain = padded_and_plain(proto, monkeypatch)
    assert convolutions(plain) == {
        "c": ((24, 3, 3, 3), 1), "d": ((24, 1, 3, 3), 24), "o": ((5, 24, 1, 1), 1)
    }  # fmt: skip
    assert convolutions(padded) == {
        "c": ((32, 4, 3, 3), 1), "d": ((32, 1, 3, 3), 32), "o": ((5, 32, 1, 1), 1)
    }  # fmt: skip
    same_results(proto, padded, plain)


def test_what_is_gated_and_added_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = (
        "p = GlobalAveragePool(h) [s] s = Conv(p, ws, bs) g = Sigmoid(s) e = Mul(h, g) "
        "[k] k = Conv<pads=[1,1,1,1]>(e, wk) " + bn("k", "q") + "a = Add(q, r) b = Relu(a) "
    )
    constants = {"ws": (24, 24, 1, 1), "bs": np.zeros(24, np.float32), "wk": (24, 24, 3, 3)}
    proto = trained(
        build(
            EXPAND + DEPTHWISE + gate + MIX.replace("h", "b"),
            inputs=SIDE,
            **WEIGHTS, **norm("m", 24), **norm("q", 24), **constants,
        )
    )  # fmt: skip
    padded, plain = padded_and_plain(proto, monkeypatch)
    assert convolutions(padded)["k"] == ((32, 32, 3, 3), 1)
    assert convolutions(padded)["s"] == ((32, 32, 1, 1), 1)
    same_results(proto, padded, plain)


def test_fewer_outputs_than_sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "[c] c = Conv<pads=[1,1,1,1]>(x, w) " + bn("c", "n") + "h = Relu(n) " + MIX
    constants = {"w": (8, 3, 3, 3), "wo": (5, 8, 1, 1)}
    proto = trained(build(body, inputs=SIDE, **constants, **norm("n", 8)))
    padded, plain = padded_and_plain(proto, monkeypatch)
    assert convolutions(padded) == {"c": ((16, 4, 3, 3), 1), "o": ((5, 16, 1, 1), 1)}
    same_results(proto, padded, plain)


@pytest.mark.parametrize(
    ("body", "inputs", "outputs"),
    [
        (EXPAND + DEPTHWISE + MIX, "float[N,3,8,8] x", "y"),
        (EXPAND + DEPTHWISE + "[t] t = Relu(r) " + MIX, SIDE, "y, float[N,24,48,48] t"),
        (
            EXPAND
            + DEPTHWISE
            + "[a] a, b = Split<axis=1>(h) [z] z = Concat<axis=1>(b, a) "
            + MIX.replace("h", "z"),
            SIDE,
            "y",
        ),
    ],
    ids=["small", "output", "halves"],
)
def test_channels_that_others_see_stay(
    body: str, inputs: str, outputs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = trained(build(body, inputs=inputs, outputs=outputs, **WEIGHTS, **norm("m", 24)))
    padded, _ = padded_and_plain(proto, monkeypatch)
    assert convolutions(padded)["d"] == ((24, 1, 3, 3), 24)


def test_padded_tensors_are_compared_without_the_padding() -> None:
    body = EXPAND + DEPTHWISE + MIX
    proto = trained(build(body, inputs=SIDE, **WEIGHTS, **norm("m", 24)))
    compared = spiq.compare(proto.SerializeToString(), spiq.quantize(proto).model)
    found = {tensor.name: tensor for tensor in compared.tensors}
    assert found["r"].cosine > 0.99 and found["h"].cosine > 0.99


def test_integers_of_the_padding_are_zero() -> None:
    body = EXPAND + DEPTHWISE + MIX
    proto = trained(build(body, inputs=SIDE, **WEIGHTS, **norm("m", 24)))
    model = onnx.load_from_string(spiq.quantize(proto).model)
    arrays = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    weights = [array for array in arrays if array.dtype == np.int8 and array.ndim == 4]
    assert {array.shape[0] for array in weights} == {32, 5}
    for array in weights:
        rows, columns = array[24:], array[:, {3: 3, 4: 3, 32: 24}.get(array.shape[1], 1) :]
        assert not rows.any() and not columns.any()
