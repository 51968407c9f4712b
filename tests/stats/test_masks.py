"""Numbers that mask places say nothing of the tensor, and layers behind them run on integers."""

import numpy as np
import onnx
import pytest

from small_networks import bn, build, images_for, norm, run, trained, whole
from spiq import Config, quantize
from spiq.runtime.snr import snr_db

POOL = "[q] q = MaxPool<kernel_shape=[3,3],strides=[2,2]>(p) "
SHOWN = (np.arange(256) % 3 > 0).reshape(1, 1, 16, 16)


def network(middle: str, fill: float, pool: str = POOL) -> onnx.ModelProto:
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + middle + pool
        + "[c9] y = Conv(q, w9)"
    )  # fmt: skip
    number = np.array(fill, np.float32)
    given = {"fill": number, "shown": SHOWN, "pads": whole(0, 0, 1, 1, 0, 0, 1, 1),
             "hidden": np.where(SHOWN, np.float32(0.1), number).astype(np.float32),
             "w5": (8, 8, 3, 3)}  # fmt: skip
    used = {name: array for name, array in given.items() if name in body}
    return trained(build(body, w1=(8, 3, 3, 3), w9=(4, 8, 1, 1), **used, **norm("n1", 8)))


PADDED = "[p] p = Pad(n1, pads, fill) "
GAPS = "[q] q = MaxPool<kernel_shape=[3,3],dilations=[2,2]>(p) "
SQUASHED = "[q] q = Sigmoid(p) "


@pytest.mark.parametrize("fill", [-np.inf, -3.4e38, -1e9, -1e4, -200.0])
@pytest.mark.parametrize(
    ("middle", "pool"),
    [
        ("[p] p = Where(shown, n1, fill) ", POOL),
        ("[h] h = Not(shown) [p] p = Where(h, fill, n1) ", POOL),
        ("[p] p = Add(n1, hidden) ", POOL),
        ("[p] p = Add(hidden, n1) ", POOL),
        (PADDED, GAPS),
        (PADDED, SQUASHED),
    ],
    ids=["chosen", "chosen, turned", "added", "added to", "padded, gaps", "padded, squashed"],
)  # fmt: skip
def test_masks(middle: str, pool: str, fill: float) -> None:
    model = network(middle, fill, pool)
    result = quantize(model)
    assert result.report.quantized_layers == len(result.report.layers)
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


def test_a_low_bias_is_no_mask() -> None:
    """It is the same for all of a channel: nothing is left of that."""
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1")
        + "[p] p = Add(n1, low) [q] q = Relu(p) [c9] y = Conv(q, w9)"
    )  # fmt: skip
    low = np.where(np.arange(8) == 3, np.float32(-200), np.float32(0)).reshape(1, 8, 1, 1)
    model = trained(build(body, w1=(8, 3, 3, 3), w9=(4, 8, 1, 1), low=low, **norm("n1", 8)))
    result = quantize(model)
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


def test_a_low_number_that_a_layer_reads_is_no_mask() -> None:
    """It counts: the grid has to hold it."""
    model = network(PADDED, -100.0, "[q] q = Conv(p, w5) ")
    result = quantize(model)
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 20


CAUSAL = np.tril(np.ones((6, 6), bool))
HIDDEN = np.where(CAUSAL, np.float32(0), np.float32(-np.inf))[None]


@pytest.mark.parametrize(
    "masked",
    [
        "m = Add(s, hidden) p = Softmax(m) ",
        "m = Where(causal, s, nothing) p = Softmax(m) ",
        "m = Add(s, hidden) a = Softmax(m) p = Where(never, zero, a) ",
    ],
    ids=["added", "chosen", "guarded"],
)
def test_shares_of_rows_with_one_place_left_reach_1(masked: str) -> None:
    """They were taken for shares of all places, cut off at 0.7, and 6 dB were left."""
    body = f"kt = Transpose<perm=[0,2,1]>(k) s = MatMul(q, kt) {masked}y = MatMul(p, v)"
    given = {"causal": CAUSAL, "hidden": HIDDEN, "nothing": np.array(-np.inf, np.float32),
             "never": np.zeros((1, 6, 1), bool), "zero": np.array(0, np.float32)}  # fmt: skip
    used = {
        name: array for name, array in given.items() if f"{name}," in body or f"{name})" in body
    }
    rng = np.random.default_rng(0)
    small = {name: (rng.random((1, 6, 8)) / 2).astype(np.float32) for name in ("k", "v")}
    model = build(body, inputs="float[1,6,8] q", **used, **small)
    config = Config(input_range=((0, 1),), timing=False)
    result = quantize(model.SerializeToString(), config)
    assert result.plan.tensors["p"].high == (1.0,)
    feed = {"q": rng.random((1, 6, 8)).astype(np.float32)}
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 35
