"""Inputs that lie channel beside channel before any layer reads them are one input in pieces."""

import numpy as np
import onnx
import pytest

from small_networks import bn, build, norm, run, whole
from spiq import Config, quantize
from spiq.errors import WARNING
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.synthetic import dead_leaves
from spiq.stats.inputs.first_layers import first_layers
from spiq.stats.inputs.judge import judge
from spiq.stats.inputs.known import input_stats

ROWS = "c = Gemm<transB=1>(k, w) " + bn("c", "n") + "r = Relu(n) y = Gemm<transB=1>(r, w2)"
SIGNALS = "c = Conv(k, w) " + bn("c", "n") + "r = Relu(n) y = Conv(r, w2)"
PICTURES = "c = Conv(k, w, b) r = Relu(c) y = Conv(r, w2)"
Feed = dict[str, np.ndarray]


def taught(model: onnx.ModelProto, feed: Feed) -> onnx.ModelProto:
    """Give the BatchNormalization behind c the moments that these inputs have there."""
    x = run(model, feed, outputs=["c"])["c"]
    axes = (0, *range(2, x.ndim))
    for tensor in model.graph.initializer:
        if tensor.name in ("n_m", "n_v"):
            moment = x.mean(axes) if tensor.name == "n_m" else x.var(axes)
            tensor.CopyFrom(onnx.numpy_helper.from_array(moment.astype(np.float32), tensor.name))
    return model


def snr(model: onnx.ModelProto, feed: Feed) -> tuple[float, float]:
    """Return the SNR of the outputs, true and reported."""
    made = quantize(model, Config(timing=False))
    y, q = run(model, feed)["y"], run(made.model, feed)["y"]
    true = 10 * np.log10(((y - y.mean()) ** 2).sum() / ((y - q) ** 2).sum())
    return float(true), made.report.snr_db["y"]


def test_a_table_in_two_pieces_tells_each_column() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(100, 30, (256, 5)).astype(np.float32)
    feed = {"a": a, "b": rng.random((256, 12), np.float32)}
    model = build("k = Concat<axis=1>(a, b) " + ROWS, inputs="float[N,5] a, float[N,12] b",
                  w=(32, 17), w2=(4, 32), **norm("n", 32))  # fmt: skip
    model = taught(model, feed)
    known, notes = input_stats(prepare(read(model)), Config())
    assert list(known) == ["a", "b"] and len(notes) == 2
    assert known["a"].low.shape == (1, 5) and known["b"].low.shape == (1, 12)
    assert known["a"].mean.mean() == pytest.approx(100, rel=0.3)
    assert known["b"].mean.mean() == pytest.approx(0.5, abs=0.2)
    true, said = snr(model, feed)
    assert true > 20 and said < true + 8


@pytest.mark.parametrize("size", [1, 40])
def test_signals_of_other_sizes_beside_each_other(size: float) -> None:
    rng = np.random.default_rng(1)
    feed = {
        "a": (size * rng.standard_normal((16, 2, 100))).astype(np.float32),
        "b": rng.standard_normal((16, 9, 100)).astype(np.float32),
    }
    model = build("k = Concat<axis=1>(a, b) " + SIGNALS, inputs="float[N,2,L] a, float[N,9,L] b",
                  w=(24, 11, 3), w2=(4, 24, 1), **norm("n", 24))  # fmt: skip
    assert snr(taught(model, feed), feed)[0] > 25


def test_two_frames_are_one_picture_of_six_channels() -> None:
    """The pixels' range is in biases that folding left: those of both frames together."""
    frames = 255 * dead_leaves((8, 6, 48, 48), discs=40)
    w = np.random.default_rng(2).standard_normal((24, 6, 3, 3)).astype(np.float32)
    plain = build("k = Concat<axis=1>(x, z) " + PICTURES,
                  inputs="float[N,3,48,48] x, float[N,3,48,48] z",
                  w=w / 800, b=np.zeros(24, np.float32), w2=(4, 24, 1, 1))  # fmt: skip
    feed = {"x": frames[:, :3], "z": frames[:, 3:]}
    c = run(plain, feed, outputs=["c"])["c"]
    beta = np.random.default_rng(3).normal(0, 0.5, 24) - c.mean((0, 2, 3))
    plain.graph.initializer[1].CopyFrom(
        onnx.numpy_helper.from_array(beta.astype(np.float32), plain.graph.initializer[1].name)
    )
    names = {tensor.name for tensor in plain.graph.initializer}
    assert names == {"w", "b", "w2"}
    assert snr(plain, feed)[0] > 20
    verdicts = judge(prepare(read(plain)))
    assert all("0 to 255" in one.best.name for one in verdicts.values())


def test_what_lies_beside_a_picture_is_no_colour_of_it() -> None:
    model = build("k = Concat<axis=1>(x, m) " + PICTURES,
                  inputs="float[N,3,48,48] x, float[N,1,48,48] m",
                  w=(24, 4, 3, 3), b=(24,), w2=(4, 24, 1, 1))  # fmt: skip
    prepared = prepare(read(model))
    picture, mask = prepared.model.graph.inputs
    (layer,) = first_layers(picture, prepared, pictures=True)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    np.testing.assert_allclose(layer.sums, weight[:, :3].sum(axis=(1, 2, 3)), rtol=1e-5)
    assert first_layers(mask, prepared, pictures=True) == []  # most of what is read is no mask


def test_an_input_that_no_layer_reads_as_it_is_is_warned_of() -> None:
    model = build("r = Reshape(a, to) s = Add(r, x) y = Conv(s, w)",
                  inputs="float[N,3,16,16] x, float[N,4,64] a, float[N,8] after",
                  w=(8, 3, 3, 3), to=whole(-1, 1, 16, 16))  # fmt: skip
    model.graph.node.append(onnx.helper.make_node("Relu", ["after"], ["late"]))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("late"))
    known, notes = input_stats(prepare(read(model)), Config())
    assert list(known) == ["x"]
    (note,) = [one for one in notes if "'x'" not in one]  # none of what no layer depends on
    assert note.startswith(WARNING) and "'a'" in note and "--input-range a=" in note
