"""Moments of what a rectifier leaves lead back to what is in front of it."""

import numpy as np
import pytest

from small_networks import bn, build, norm, trained
from spiq.config import Config
from spiq.graph.query import data_inputs
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.planning.errors.error_model import FREEDOM, SUM_FREEDOM
from spiq.planning.errors.freedom import freedom_of
from spiq.planning.errors.ranges import soft_ranges
from spiq.planning.errors.rectified import unrectified
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.inputs.known import input_stats
from spiq.stats.propagate import measure

CENTRE = np.array([-2.0, -1.0, 0.0, 0.4])
DEVIATION = np.array([1.0, 0.5, 2.0, 1.5])


def rectified() -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of max(c + d T, 0), T of Student's t distribution, by its quantiles."""
    z = np.sinh(np.linspace(-7, 7, 400_001))
    density = (1 + z**2 / FREEDOM) ** (-(FREEDOM + 1) / 2) * np.gradient(z)
    t = z / np.sqrt(FREEDOM / (FREEDOM - 2))
    values = np.maximum(CENTRE + DEVIATION * t[:, None], 0)
    share = density / density.sum()
    mean = share @ values
    return mean, share @ (values - mean) ** 2


@pytest.mark.parametrize("bound", [0.0, -3.0])
def test_centre_and_deviation_are_found_again(bound: float) -> None:
    mean, var = rectified()
    up = unrectified(stats(bound + mean, var, bound, np.inf, "norm"))
    down = unrectified(stats(-bound - mean, var, -np.inf, -bound, "norm"))
    for centre, deviation in (up, (-down[0], down[1])):
        np.testing.assert_allclose(centre, bound + CENTRE, atol=0.02)
        np.testing.assert_allclose(deviation, DEVIATION, rtol=0.01)


@pytest.mark.parametrize(
    "known",
    [
        stats([1.0], [1.0]),
        stats([2.0], [1.0], 0.0, np.inf),
        stats([1.0], [1.0], 0.0, 6.0),
        stats([0.0], [0.0], 0.0, np.inf),
    ],
    ids=["no bound", "far bound", "two near bounds", "dead"],
)
def test_other_channels_keep_their_moments(known: ChannelStats) -> None:
    centre, deviation = unrectified(known)
    assert (centre == known.mean).all()
    assert (deviation == known.std).all()


STEM = "[c] c = Conv<pads=[1,1,1,1]>(x, w) [r] r = Relu(c) " + bn("r", "n")
OTHER = "[e] e = Conv<pads=[1,1,1,1]>(x, u) [q] q = Relu(e) " + bn("q", "m")


def test_the_range_of_a_rectified_channel_reaches_further_behind_its_normalization() -> None:
    model = trained(
        build(STEM + "[o] y = Conv(n, v)", w=(8, 3, 3, 3), v=(4, 8, 1, 1), **norm("n", 8))
    )
    prepared = prepare(read(model))
    measured = measure(prepared, input_stats(prepared, Config())[0])
    found = soft_ranges(prepared.model.graph, measured, np.array([10.0]))
    value, (_, high) = next(pair for pair in found.items() if pair[0].name == "n")
    known = measured.stats[value]
    near = known.mean - known.low < 0.9 * known.std
    assert near.any()
    assert (high[..., 0] > known.mean + 10 * known.std)[near].all()


@pytest.mark.parametrize(
    ("term", "freedom"), [("m", FREEDOM), ("e", SUM_FREEDOM)], ids=["all rectified", "one not"]
)
def test_sums_of_rectified_terms_keep_their_tails(term: str, freedom: float) -> None:
    model = trained(
        build(
            f"{STEM}{OTHER}[s] s = Add(n, {term}) [t] t = Add(s, n) [k] k = Identity(m) "
            "[o] y = Conv(t, v)",
            outputs="y, k", w=(8, 3, 3, 3), u=(8, 3, 3, 3), v=(4, 8, 1, 1),
            **norm("n", 8), **norm("m", 8),
        )
    )  # fmt: skip
    graph = prepare(read(model)).model.graph
    last = next(node for node in graph if node.name == "t")
    assert {freedom_of(v, {}) for v in (last.outputs[0], data_inputs(last)[0])} == {freedom}
