"""An input of no usual convention whose normalization was folded away: biases tell its size."""

import numpy as np
import onnx
import pytest

from small_networks import build
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.stats.inputs.ends import shown_ends
from spiq.stats.inputs.judge import judge
from spiq.stats.inputs.known import input_stats


def folded(shape: str, mean: float, std: float, *, taps: int = 9) -> onnx.ModelProto:
    """A layer whose outputs a normalization, now folded, gave a deviation of 0.4."""
    rng = np.random.default_rng(2)
    channels = int(shape.split(",")[1])
    kernel = (3, 3) if taps == 9 else (taps,)
    w = rng.normal(size=(32, channels, *kernel)) * 0.4 / (std * np.sqrt(channels * taps))
    beta = 0.3 * rng.normal(size=32)
    bias = beta - mean * w.reshape(32, -1).sum(axis=1)
    return build(
        "[c] y = Conv(x, w, b)",
        inputs=f"float[{shape}] x", outputs="y",
        w=w.astype(np.float32), b=bias.astype(np.float32),
    )  # fmt: skip


INPUTS = {
    "16 bits": ("1,1,32,32", 28000.0, 17000.0, 9),
    "12 bits of a radiograph": ("1,1,32,32", 1800.0, 900.0, 9),
    "bands of a satellite": ("1,10,32,32", 1200.0, 1000.0, 9),
    "samples of 16 bits": ("1,1,4000", 0.0, 5000.0, 7),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_size_is_told_by_the_biases(kind: str) -> None:
    shape, mean, std, taps = INPUTS[kind]
    prepared = prepare(read(folded(shape, mean, std, taps=taps)))
    verdicts = judge(prepared)
    found, notes = input_stats(prepared, Config(), verdicts=verdicts)
    low, high = float(found["x"].low.min()), float(found["x"].high.max())
    assert low < mean - 1.5 * std
    assert high > mean + 1.5 * std
    assert high - low < 30 * std
    assert "warning: input 'x': range" in notes[0]
    assert "the SNR is that on such numbers" in notes[0]
    assert "by the first layer's biases and weights, right to a factor of" in notes[0]
    ends = shown_ends(prepared, found, verdicts)["x"]
    assert std / 2.5 < float(ends[1].max() - ends[0].min()) * 0.27 < 2.5 * std


def test_pixels_are_still_those_of_a_usual_convention() -> None:
    prepared = prepare(read(folded("1,3,32,32", 0.45, 0.27)))
    note = input_stats(prepared, Config(), verdicts=judge(prepared))[1][0]
    assert "assumed pixels from 0 to 1" in note


def test_small_biases_of_a_perceptron_are_no_evidence() -> None:
    rng = np.random.default_rng(4)
    network = build(
        "[c] y = Gemm<transB=1>(x, w, b)",
        inputs="float[N,20] x", outputs="y",
        w=rng.normal(size=(32, 20)).astype(np.float32) * np.float32(0.3),
        b=rng.normal(size=32).astype(np.float32) * np.float32(0.01),
    )  # fmt: skip
    found, notes = input_stats(prepare(read(network)), Config())
    assert found["x"].high.max() == 6
    assert "nothing tells its range" in notes[0]
    assert "the SNR is that on such numbers" in notes[0]


@pytest.mark.parametrize("std", [0.3, 0.7])
def test_what_may_be_standardized_has_room_for_it(std: float) -> None:
    """Biases are right to a factor of two or three; most of what is no picture has deviation 1."""
    found, notes = input_stats(prepare(read(folded("1,20,400", 0.0, std, taps=5))), Config())
    assert found["x"].low.min() <= -6
    assert found["x"].high.max() >= 6
    assert float(found["x"].var.max()) == 1
    assert "by the first layer's biases and weights, right to a factor of" in notes[0]
