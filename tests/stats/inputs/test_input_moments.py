"""Inputs whose channels are of any size: columns of a table, depth beside colours."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import spiq
from small_networks import build
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.stats.inputs.known import input_stats

RNG = np.random.default_rng(3)
SIZES, PLACES = np.array([1.0, 300, 0.5, 8]), np.array([0.0, 900, 2.5, -20])


def columns(count: int) -> np.ndarray:
    return (PLACES + SIZES * RNG.normal(size=(count, 4))).astype(np.float32)


def bn(channels: int, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """What a normalization layer states, by default of channels like each other."""
    alike = {"g": np.ones(channels), "be": np.zeros(channels), "m": np.zeros(channels)}
    return {
        k: a.astype(np.float32) for k, a in (alike | {"va": np.ones(channels)} | arrays).items()
    }


def table(first: str, **weights: np.ndarray) -> onnx.ModelProto:
    """A perceptron whose first normalization layer states the moments of what it normalizes."""
    body = f"{first} [r] r = Relu(n) [f] y = Gemm<transB=1>(r, v)"
    rng = np.random.default_rng(5)
    return build(
        body, inputs="float[N,4] x", outputs="y", v=rng.normal(size=(3, 16)).astype(np.float32),
        **weights,
    )  # fmt: skip


def normalized_first() -> onnx.ModelProto:
    stated = bn(4, m=PLACES, va=SIZES**2)
    w = np.random.default_rng(6).normal(size=(16, 4)).astype(np.float32)
    return table("[b] b = BatchNormalization(x, g, be, m, va) [c] n = Gemm<transB=1>(b, w)",
                 w=w, **stated)  # fmt: skip


def normalized_behind() -> onnx.ModelProto:
    w = (np.random.default_rng(7).normal(size=(16, 4)) / SIZES).astype(np.float32)
    made = columns(4000) @ w.T
    stated = bn(16, m=made.mean(axis=0), va=made.var(axis=0))
    return table("[c] c = Gemm<transB=1>(x, w) [b] n = BatchNormalization(c, g, be, m, va)",
                 w=w, **stated)  # fmt: skip


NETWORKS = {"in front": normalized_first, "behind a layer": normalized_behind}


@pytest.mark.parametrize("where", NETWORKS)
def test_each_column_has_its_own_moments(where: str) -> None:
    found, notes = input_stats(prepare(read(NETWORKS[where]())), Config())
    mean, std = found["x"].mean.reshape(-1), np.sqrt(found["x"].var.reshape(-1))
    np.testing.assert_allclose(np.log(std / SIZES), 0, atol=0.5)
    assert np.abs((mean - PLACES) / SIZES).max() < 0.3
    assert "from what its first layers state of each channel" in notes[0]


@pytest.mark.parametrize("where", NETWORKS)
def test_a_table_is_quantized_and_shown_numbers_like_its_own(where: str) -> None:
    network = NETWORKS[where]()
    result = spiq.quantize(network, Config(timing=False))
    x = columns(500)
    wanted, got = (
        ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for model in (network.SerializeToString(), result.model)
    )
    snr = 10 * np.log10(wanted.var() / np.square(wanted - got).mean())
    assert snr > 22
    assert abs(snr - result.report.snr_db["y"]) < 6
    assert not any("warning" in note for note in result.report.notes)


def test_more_channels_than_outputs_are_not_told_apart() -> None:
    w = np.random.default_rng(8).normal(size=(3, 9)).astype(np.float32)
    network = build(
        "[c] c = Gemm<transB=1>(x, w) [b] y = BatchNormalization(c, g, be, m, va)",
        inputs="float[N,9] x", outputs="y", w=w, **bn(3),
    )  # fmt: skip
    found, notes = input_stats(prepare(read(network)), Config())
    assert np.ptp(found["x"].var) == 0
    assert "that its first layers were trained on" in notes[0]


def test_depth_beside_colours() -> None:
    rng = np.random.default_rng(9)
    w = rng.normal(size=(16, 4, 1, 1)).astype(np.float32)
    x = rng.normal(size=(4, 4, 40, 40)) * [[[[1.0]], [[1]], [[1]], [[9]]]]
    x[:, 3] += 30
    made = np.einsum("oc,nchw->nohw", w[:, :, 0, 0], x)
    stated = bn(16, m=made.mean(axis=(0, 2, 3)), va=made.var(axis=(0, 2, 3)))
    network = build(
        "[c] c = Conv(x, w) [b] y = BatchNormalization(c, g, be, m, va)",
        inputs="float[1,4,40,40] x", outputs="y", w=w, **stated,
    )  # fmt: skip
    known = input_stats(prepare(read(network)), Config())[0]["x"]
    assert known.high.reshape(-1)[3] > 45
    assert (known.high.reshape(-1)[:3] < 10).all()
