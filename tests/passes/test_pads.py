"""Padding in front of convolutions and pools becomes their own, and nothing else changes."""

import numpy as np
import onnx
import pytest

from small_networks import bn, build, images_for, norm, run, trained, whole
from spiq import quantize
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes.prepare import prepare
from spiq.runtime.snr import snr_db

CONV = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1")
LAST = "[c9] y = Conv(q, w9)"
POOL = "[q] q = MaxPool<kernel_shape=[3,3],strides=[2,2]>(p) "
CORNER, AROUND = whole(0, 0, 1, 1, 0, 0, 0, 0), whole(0, 0, 1, 1, 0, 0, 1, 1)


def network(
    middle: str, fill: float = -np.inf, pads: np.ndarray = CORNER, **more: np.ndarray
) -> onnx.ModelProto:
    given = {"fill": np.array(fill, np.float32), "pads": pads, **more}
    used = {name: array for name, array in given.items() if name in middle}
    model = build(CONV + middle + LAST, inputs="float[N,3,16,16] x", opset=18, w1=(8, 3, 3, 3),
                  w9=(4, 8, 1, 1), **used, **norm("n1", 8))  # fmt: skip
    return trained(model)


def operators(model: onnx.ModelProto) -> list[str]:
    """Return what is left once prepared, having checked that it computes the same."""
    prepared = prepare(read(model)).model
    feed = images_for(model, 2)
    after = run(serialize(prepared), feed)["y"]
    np.testing.assert_allclose(after, run(model, feed)["y"], rtol=1e-3, atol=1e-4)
    return [node.op_type for node in prepared.graph]


PAD = "[p] p = Pad(n1, pads, fill) "
RECTIFIED = "[r] r = Relu(n1) [p] p = Pad(r, pads) "


@pytest.mark.parametrize(
    "model",
    [
        network(PAD + POOL),
        network(PAD + POOL, -3.4e38),
        network(PAD + POOL, -65504),
        network("[p] p = Pad(n1, pads, fill, axes) " + POOL, pads=whole(1, 1, 0, 0),
                axes=whole(2, -1)),
        network(PAD + "[q] q = MaxPool<kernel_shape=[5,5],pads=[1,1,1,1]>(p) ", pads=AROUND),
        network(PAD + "[a] a = MaxPool<kernel_shape=[3,3]>(p) "
                "[b] b = MaxPool<kernel_shape=[3,3]>(p) [q] q = Add(a, b) ", pads=AROUND),
        network(PAD + "[q] q = MaxPool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1>(p) "),
        network(RECTIFIED + POOL),
        network("[r] r = Sigmoid(n1) [p] p = Pad(r, pads) " + POOL),
        network("[a] a = Relu(n1) [b] b = Sigmoid(n1) [r] r = Add(a, b) [p] p = Pad(r, pads) "
                + POOL),
    ],
    ids=["infinite", "float32's least", "float16's least", "of some axes", "pads of its own",
         "two pools", "rounded up", "rectified", "a gate", "a sum of both"],
)  # fmt: skip
def test_pads_by_what_is_never_the_largest_become_the_pools(model: onnx.ModelProto) -> None:
    assert "Pad" not in operators(model)
    result = quantize(model)
    assert result.report.quantized_layers == len(result.report.layers)
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


@pytest.mark.parametrize(
    "model",
    [
        network(PAD + POOL, 0.0),
        network("[r] r = LeakyRelu(n1) [p] p = Pad(r, pads) " + POOL),
        network("[r] r = Relu(n1) [p] p = Pad(r, pads, fill) " + POOL, 0.5),
        network(RECTIFIED + "[q] q = MaxPool<kernel_shape=[3,3],dilations=[2,2]>(p) ",
                pads=AROUND),
        network(RECTIFIED + "[q] q = MaxPool<kernel_shape=[2,2]>(p) ",
                pads=whole(0, 0, 2, 2, 0, 0, 2, 2)),
        network(RECTIFIED + "[q] q = MaxPool<kernel_shape=[2,2],strides=[2,2],ceil_mode=1>(p) ",
                pads=whole(0, 0, 0, 0, 0, 0, 1, 1)),
        network('[r] r = Relu(n1) [p] p = Pad<mode="reflect">(r, pads) ' + POOL),
        network(RECTIFIED + POOL, pads=whole(0, 0, 2, 2, 0, 0, -1, 0)),
    ],
    ids=["zeros", "zeros, leaky", "above some", "gaps", "wider than the kernel",
         "a window in the padding", "reflected", "cut"],
)  # fmt: skip
def test_others_stay(model: onnx.ModelProto) -> None:
    assert "Pad" in operators(model)


def test_positions_count_from_the_padding() -> None:
    middle = PAD + "[q] q, at = MaxPool<kernel_shape=[3,3],strides=[2,2]>(p) "
    model = build(CONV + middle + LAST, outputs="y, int64[N,8,8,8] at", opset=18, w1=(8, 3, 3, 3),
                  w9=(4, 8, 1, 1), pads=CORNER, fill=np.array(-np.inf, np.float32),
                  **norm("n1", 8))  # fmt: skip
    assert "Pad" in operators(trained(model))


def test_what_others_read_too_stays_for_them() -> None:
    model = network(RECTIFIED + POOL + "[q9] q9 = Sin(p) [m] m = ReduceMean(q9) ")
    assert operators(model).count("Pad") == 0  # nothing asks for m
    both = RECTIFIED + "[a] a = MaxPool<kernel_shape=[3,3]>(p) [b] b = AveragePool<kernel_shape="
    model = network(both + "[3,3]>(p) [q] q = Add(a, b) ", pads=AROUND)
    assert operators(model).count("Pad") == 1


@pytest.mark.parametrize("axes", [whole(2, 3), whole(-1, 1)])
def test_pads_of_some_axes_are_shipped_as_pads_of_all(axes: np.ndarray) -> None:
    """Between channels-last layers the runtime took them for those of other axes, and failed."""
    model = build(
        "[c1] c1 = Conv(x, w1) [r] r = Relu(c1) [p] p = Pad(r, pads, fill, axes) "
        "[c9] y = Conv(p, w9)",
        opset=18, w1=(16, 3, 3, 3), w9=(16, 18 if 1 in axes else 16, 3, 3), axes=axes,
        pads=whole(1, 1, 1, 1), fill=np.array(0.5, np.float32),
    )  # fmt: skip
    feed = images_for(model)
    result = quantize(model)
    assert not result.report.float_layers
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25
