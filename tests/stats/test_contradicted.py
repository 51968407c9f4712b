"""Variances that cannot be: what the layers in front imply is taken, and said."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_networks import bn, build, images_for, norm, run, trained
from spiq import quantize
from spiq.passes.batchnorm import Moments
from spiq.runtime.snr import snr_db
from spiq.stats.channel import stats
from spiq.stats.contradicted import is_suspect, mended

FIRST = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
LAST = "[c9] y = Conv(k, w9)"
SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "wd": (8, 1, 3, 3), "w9": (4, 8, 1, 1)}
WIDE = "[c2] c2 = Conv<pads=[1,1,1,1]>(r1, w2) "

KINDS = {
    "first": FIRST.replace("[r1] r1", "[r1] k"),
    "depthwise": FIRST + "[d] d = Conv<pads=[1,1,1,1],group=8>(r1, wd) " + bn("d", "n2")
    + "[r2] k = Relu(n2) ",
    "before a sum's layers": FIRST + WIDE + "[a] a = Add(c2, r1) " + bn("a", "n2")
    + "[r2] k = Relu(n2) ",
    "in front of a padded layer": FIRST + bn("r1", "n2")
    + "[c2] k = Conv<pads=[1,1,1,1]>(n2, w2) ",
}  # fmt: skip


def network(body: str, variance: float, channels: slice, shrink: float = 1.0) -> onnx.ModelProto:
    """Train a network, then spoil the variances of its last normalization."""
    used = {name: shape for name, shape in SHAPES.items() if name in body + LAST}
    norms = norm("n1", 8) | (norm("n2", 8) if "n2" in body else {})
    model = trained(build(body + LAST, inputs="float[1,3,16,16] x", **used, **norms))
    last = "n2" if "n2" in body else "n1"
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if tensor.name == f"{last}_v":
            array[channels] = variance
        elif tensor.name == "w2" and shrink != 1:
            array[channels] *= shrink
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return model


@pytest.mark.parametrize("variance", [-1e-12, 0.0, 1e-9, 1e-7])
@pytest.mark.parametrize("body", KINDS.values(), ids=KINDS)
def test_a_channel_that_varies_whatever_is_stated(body: str, variance: float) -> None:
    model = network(body, variance, slice(3, 4))
    result = quantize(model)
    assert sum("hardly vary" in note for note in result.report.notes) == 1
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 22


def test_all_channels_of_a_layer() -> None:
    model = network(KINDS["first"], 0.0, slice(None))
    result = quantize(model)
    assert any("8 of 8 channels hardly vary" in note for note in result.report.notes)
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 20


def test_a_dead_channel_is_believed() -> None:
    body = FIRST + WIDE + bn("c2", "n2") + "[r2] k = Relu(n2) "
    model = network(body, 0.0, slice(3, 4), shrink=1e-12)
    result = quantize(model)
    assert not any("hardly vary" in note for note in result.report.notes)


def test_only_strong_channels_are_mended() -> None:
    stated = Moments(np.arange(5.0), np.array([1.0, 1e-12, 1e-12, 1.0, 1.0]))
    implied = stats(9.0, [1e3, 1e3, 1e-4, 1e3, 1e-9])
    found, false = mended(stated, implied)
    assert is_suspect(stated)
    assert false == 1
    np.testing.assert_array_equal(found.mean, [0, 9, 2, 3, 4])
    np.testing.assert_array_equal(found.var, [1, 1e3, 1e-12, 1, 1])
    assert list(np.asarray(found.doubt) > 0) == [False, True, False, False, False]


def test_observed_moments_are_no_statement() -> None:
    assert not is_suspect(Moments(np.zeros(2), np.array([1.0, 0.0]), "synthetic"))
