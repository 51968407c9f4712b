"""A channel beside colours: whose normalization was folded away, or states what it is."""

import numpy as np
import onnx
import pytest

import spiq
from small_networks import bn, build, norm
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.stats.inputs.ends import widened
from spiq.stats.inputs.evidence import Verdict
from spiq.stats.inputs.fourth_channel import fourth_of
from spiq.stats.inputs.judge import judge
from spiq.stats.inputs.known import input_stats

COLOURS = (0.45, 0.27)
DEPTH = (10.0, 5.0)


def folded(fourth: tuple[float, float], *, seed: int = 0, colours: int = 3) -> onnx.ModelProto:
    """Return a network trained on pixels from 0 to 1 and another channel, BatchNorm folded."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((32, colours + 1, 3, 3))
    moments = np.array([COLOURS] * colours + [fourth])
    mean = w.sum(axis=(2, 3)) @ moments[:, 0]
    taps = 0.95 ** np.abs(np.subtract.outer(range(3), range(3)))
    powers = np.einsum("ocij,ik,jl,ockl->oc", w, taps, taps, w)
    gain = np.exp(0.4 * rng.standard_normal(32)) / np.sqrt(powers @ moments[:, 1] ** 2)
    beta = 0.5 * rng.standard_normal(32)
    return build(
        "[c] c = Conv(x, w, b) [r] r = Relu(c) [d] d = Conv(r, v, a) [s] s = Relu(d) "
        "[h] y = Conv(s, u, e)",
        inputs=f"float[1,{colours + 1},32,32] x",
        w=(w * gain[:, None, None, None]).astype(np.float32),
        b=(beta - mean * gain).astype(np.float32),
        v=(16, 32, 3, 3),
        u=(8, 16, 1, 1),
        a=(0.5 * rng.standard_normal(16)).astype(np.float32),
        e=(0.5 * rng.standard_normal(8)).astype(np.float32),
    )


def judged(network: onnx.ModelProto) -> tuple[Prepared, Verdict]:
    prepared = prepare(read(network))
    return prepared, judge(prepared)["x"]


@pytest.mark.parametrize("seed", range(3))
def test_depth_beside_colours_has_moments_of_its_own(seed: int) -> None:
    _, verdict = judged(folded(DEPTH, seed=seed))
    found = fourth_of(verdict, verdict.order[0])
    assert found is not None
    assert abs(found.mean - DEPTH[0]) < DEPTH[1]
    assert 0.4 < found.std / DEPTH[1] < 2.5
    assert verdict.ends[0] <= 0 and 1 <= verdict.ends[1] < 3


@pytest.mark.parametrize("seed", range(3))
def test_a_fourth_colour_is_one(seed: int) -> None:
    _, verdict = judged(folded(COLOURS, seed=seed))
    assert fourth_of(verdict, verdict.order[0]) is None


def test_its_range_is_said_and_taken() -> None:
    report = spiq.quantize(folded(DEPTH), spiq.Config(timing=False))
    (note,) = (one for one in report.report.notes if "last channel" in one)
    assert note.startswith("warning: input 'x': assumed pixels")
    low, high = report.plan.inputs["x"]
    assert len(low) == len(high) == 4
    assert high[0] <= 3 and 15 < high[3] < 60


def test_three_colours_have_none() -> None:
    _, verdict = judged(folded(COLOURS, colours=2))
    assert not verdict.fourths


def kept(top: float, fourth: tuple[float, float], seed: int) -> onnx.ModelProto:
    """Return a network trained on pixels from 0 to ``top`` and another channel."""
    rng = np.random.default_rng(seed)
    moments = np.array([np.multiply(COLOURS, top)] * 3 + [fourth])
    w = rng.standard_normal((32, 4, 3, 3)) / moments[:, 1, None, None]
    taps = 0.95 ** np.abs(np.subtract.outer(range(3), range(3)))
    powers = np.einsum("ocij,ik,jl,ockl->oc", w, taps, taps, w)
    stated = norm("n", 32) | {
        "n_m": (w.sum(axis=(2, 3)) @ moments[:, 0]).astype(np.float32),
        "n_v": (powers @ moments[:, 1] ** 2).astype(np.float32),
    }
    body = "[c] c = Conv(x, w) " + bn("c", "n") + "[r] r = Relu(n) [h] y = Conv(r, v)"
    constants = stated | {"w": w.astype(np.float32)}
    return build(body, inputs="float[1,4,32,32] x", v=(8, 32, 1, 1), **constants)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("top", "fourth"),
    [(1, (135, 124)), (1, (8, 4)), (1, (0, 1)), (255, (0.5, 0.5)), (255, (8, 4))],
    ids=["opacity to 255", "depth", "trimap", "opacity to 1", "depth beside bytes"],
)
def test_a_stated_channel_of_another_size_is_taken_apart(
    top: float, fourth: tuple[float, float], seed: int
) -> None:
    """All four had one range, 30 times too narrow or wide, where odds were sure: 2 to 4 dB."""
    prepared, verdict = judged(kept(top, fourth, seed))
    assert (verdict.best.low, verdict.best.high) == (0, top) and not verdict.rivals
    found = fourth_of(verdict, verdict.order[0])
    assert found is not None
    assert abs(found.mean - fourth[0]) < 0.5 * fourth[1] and 0.6 < found.std / fourth[1] < 2
    known, [note] = input_stats(prepared, Config(), verdicts={"x": verdict})
    assert "its last channel was taken for numbers" in note and not note.startswith("warning")
    high = widened(known, {"x": verdict})["x"].high.reshape(-1)
    assert high[0] == top and fourth[1] < high[3] < 10 * fourth[1]


def test_a_stated_colour_is_one() -> None:
    _, verdict = judged(kept(255, (0.45 * 255, 0.27 * 255), 0))
    assert not verdict.fourths and verdict.best.high == 255
