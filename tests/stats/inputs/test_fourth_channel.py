"""A channel beside colours whose normalization was folded away."""

import numpy as np
import onnx
import pytest

import spiq
from small_networks import build
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.stats.inputs.evidence import Verdict
from spiq.stats.inputs.fourth_channel import fourth_of
from spiq.stats.inputs.judge import judge

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
