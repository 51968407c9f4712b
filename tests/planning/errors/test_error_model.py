"""Predicted errors against errors of samples that follow the assumed distribution."""

import numpy as np
import pytest

from small_networks import build
from spiq.io.read import read
from spiq.planning.errors.error_model import (
    FREEDOM,
    SUM_FREEDOM,
    active_share,
    layer_error,
    power_beyond,
    rounding_error,
    share_beyond,
    tail_of,
)
from spiq.planning.errors.freedom import POWER_FREEDOM, freedom_of
from spiq.stats.channel import stats

WIDTHS = np.geomspace(2.5, 25, 17)


def samples(
    rng: np.random.Generator, count: int, channels: int, freedom: float = FREEDOM
) -> np.ndarray:
    """T of variance 1, spread evenly over its quantiles: rare values as often as they should be."""
    z = np.sinh(np.linspace(-7, 7, 200_001))
    density = (1 + z**2 / freedom) ** (-(freedom + 1) / 2)
    below = np.cumsum((density[1:] + density[:-1]) * np.diff(z))
    even = np.interp((np.arange(count) + 0.5) / count, below / below[-1], z[1:])
    scaled = even / np.sqrt(freedom / (freedom - 2))
    return np.stack([rng.permutation(scaled) for _ in range(channels)], axis=1)


@pytest.mark.parametrize("freedom", [FREEDOM, SUM_FREEDOM])
def test_tables_are_those_of_students_t(freedom: float) -> None:
    drawn = samples(np.random.default_rng(0), 1_000_000, 1, freedom)[:, 0]
    for reach, within in ((-2, 0.01), (0, 0.01), (1, 0.01), (2, 0.01), (4, 0.03)):
        beyond = np.maximum(drawn - reach, 0)
        at = np.array([reach], float)
        found, share = power_beyond(at, freedom), share_beyond(at, freedom)
        assert found == pytest.approx(np.square(beyond).mean(), rel=within)
        assert share == pytest.approx((drawn > reach).mean(), rel=within)


@pytest.mark.parametrize("rectified", [False, True])
def test_tail_is_read_off_the_range(rectified: bool) -> None:
    """The centre and deviation behind a ReLU are those in front of it."""
    centre, deviation = np.array([-3.0, 0.0, 2.0, 5.0]), np.array([0.5, 1.0, 2.0, 0.1])
    ends = centre[:, None] + deviation[:, None] * WIDTHS
    ends = np.maximum(ends, 0) if rectified else ends
    tail = tail_of(ends, np.full(4, np.inf), WIDTHS)
    np.testing.assert_allclose(tail.deviation, deviation)
    np.testing.assert_allclose(tail.centre, centre, atol=1e-12)


def test_nothing_is_clipped_beyond_a_bound() -> None:
    ends = np.minimum(3 + np.ones((2, 1)) * WIDTHS, 6)
    tail = tail_of(ends, np.full(2, 6.0), WIDTHS)
    assert (tail.clipped(np.array([6.0, 5.9])) > 0).tolist() == [False, True]


def simulated(
    kind: str, bits: int, rectified: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted and the sampled error of each output of a random layer."""
    channels, outputs, taps = {"linear": (24, 12, 1), "conv": (6, 8, 9), "depthwise": (8, 8, 9)}[
        kind
    ]
    groups = channels if kind == "depthwise" else 1
    weight = rng.standard_normal((groups, outputs // groups, channels // groups, taps))
    centre, deviation = rng.normal(0, 1, channels), rng.uniform(0.5, 2, channels)
    low = centre[:, None] - deviation[:, None] * WIDTHS
    high = centre[:, None] + deviation[:, None] * WIDTHS
    if rectified:
        low, high = np.zeros_like(low), np.maximum(high, 0)
    hard = np.zeros(channels) if rectified else np.full(channels, -np.inf)
    at = {4: 1, 5: 2}.get(bits, 0)
    qmax, span = 2**bits - 1, np.minimum(low, 0).min(axis=0)[at]
    zero = round(qmax * -span / (np.maximum(high, 0).max(axis=0)[at] - span))
    step = max(high[:, at].max() / (qmax - zero), -span / max(zero, 1e-9))

    x = centre + deviation * samples(rng, 50_000, channels)
    x = np.maximum(x, 0) if rectified else x
    stored = (np.clip(np.rint(x / step) + zero, 0, qmax) - zero) * step
    above = tail_of(high, np.full(channels, np.inf), WIDTHS)
    below = tail_of(-low, -hard, WIDTHS)
    steps = np.full(channels, step)
    activations = rounding_error(steps, active_share(above, hard == 0), np.square(x).mean(axis=0))
    activations += above.clipped((qmax - zero) * steps) + below.clipped(zero * steps)

    scale = np.abs(weight).max(axis=(2, 3)) / (2 ** (bits - 1) - 1)
    rounded = np.rint(weight / scale[..., None, None]) * scale[..., None, None]
    predicted = layer_error(weight, activations, x.var(axis=0), scale)
    # the taps of a kernel see pixels of one channel that are independent of one another
    error = np.zeros((len(x), groups, outputs // groups))
    for tap in range(taps):
        turned = rng.permutation(len(x))
        exact, seen = (a[turned].reshape(len(x), groups, -1) for a in (x, stored))
        error += np.einsum("ngc,goc->ngo", seen - exact, weight[..., tap])
        error += np.einsum("ngc,goc->ngo", exact, (rounded - weight)[..., tap])
    error = error.reshape(len(x), -1)
    return predicted, error.var(axis=0)  # the bias takes the mean of the weights' part


@pytest.mark.parametrize("rectified", [False, True], ids=["linear input", "behind ReLU"])
@pytest.mark.parametrize("bits", range(3, 9))
@pytest.mark.parametrize("kind", ["conv", "depthwise", "linear"])
def test_predicted_error_is_the_sampled_one(kind: str, bits: int, rectified: bool) -> None:
    """Summed over enough layers that the rounding of single weights averages out."""
    rng = np.random.default_rng(bits)
    pairs = [simulated(kind, bits, rectified, rng) for _ in range(4)]
    predicted, sampled = (np.concatenate(side).sum() for side in zip(*pairs, strict=True))
    assert predicted == pytest.approx(sampled, rel=0.1)


@pytest.mark.parametrize(
    ("body", "freedom"),
    [
        ("[c] y = Conv(x, w)", FREEDOM),
        ("[c] c = Conv(x, w) [a] y = Add(c, x)", SUM_FREEDOM),
        ("[c] c = Conv(x, w) [a] a = Add(c, x) [r] y = Relu(a)", SUM_FREEDOM),
        ("[c] c = Conv(x, w) [a] y = Add(c, b)", FREEDOM),
        ("[a] a = Add(x, x) [c] y = Conv(a, w)", FREEDOM),
        ("[c] c = Conv(x, w) [r] r = Relu(c) [m] y = Mul(r, r)", POWER_FREEDOM),
        ("[c] c = Conv(x, w) [m] m = Mul(c, c) [p] y = GlobalAveragePool(m)", POWER_FREEDOM),
    ],
    ids=[
        "layer",
        "sum",
        "rectified sum",
        "layer and constant",
        "layer behind a sum",
        "squared ReLU",
        "pooled square",
    ],
)
def test_sums_have_lighter_tails_and_powers_heavier_ones(body: str, freedom: float) -> None:
    model = build(body, inputs="float[1,4,5,7] x", w=(4, 4, 1, 1), b=(1, 4, 1, 1))
    graph = read(model).graph
    assert freedom_of(next(v for n in graph for v in n.outputs if v.name == "y"), {}) == freedom


def test_clipping_where_the_deviation_is_uncertain() -> None:
    """Samples of k T with log k normal, and E[k^2] = 1: heavier tails the more the doubt."""
    rng = np.random.default_rng(0)
    drawn = samples(rng, 1_000_000, 1)[:, 0]
    before = np.zeros(1)
    for doubt in (0.25, 0.5):
        k = np.exp(doubt * rng.standard_normal(drawn.size) - doubt**2)
        for reach in (-2.0, 1.0, 4.0):
            found = power_beyond(np.array([reach]), doubt=np.array([doubt]))
            expected = np.square(np.maximum(k * drawn - reach, 0)).mean()
            np.testing.assert_allclose(found, expected, rtol=0.1)
        assert found > before
        before = found


def test_no_doubt_is_what_was_before() -> None:
    reach = np.linspace(-20, 500, 1001)[None]
    np.testing.assert_array_equal(power_beyond(reach, doubt=np.zeros(1)), power_beyond(reach))
    mixed = power_beyond(np.stack([reach[0], reach[0]]), doubt=np.array([0.0, 0.5]))
    np.testing.assert_allclose(mixed[0], power_beyond(reach)[0], rtol=1e-12)


def test_one_of_several_widths_is_found_in_single_precision() -> None:
    """What a channel loses at several steps is what it loses at each of them."""
    ends = np.array([[-0.5], [0.0], [3.0]]) + np.array([[0.1], [1.0], [2.0]]) * WIDTHS
    tail = tail_of(ends, np.full(3, np.inf), WIDTHS, doubt=np.array([0.0, 0.1, 0.3]))
    capacity = np.geomspace(0.5, 300, 50) * np.ones((3, 1))
    each = np.stack([tail.clipped(column) for column in capacity.T], axis=1)
    np.testing.assert_allclose(tail.clipped(capacity), each, rtol=2e-5, atol=1e-15)


def test_the_table_goes_on_evenly_where_its_points_change() -> None:
    reach = np.linspace(11.9, 12.1, 401)
    slopes = np.diff(np.log(power_beyond(reach))) / np.diff(np.log(reach))
    assert slopes.max() - slopes.min() < 0.02


def test_an_observed_square_has_the_tails_of_any_tensor() -> None:
    """Pictures of more contrast than data have shown it as wide as it gets."""
    assert POWER_FREEDOM < FREEDOM
    graph = read(build("[m] y = Mul(x, x)", inputs="float[1,4,5,7] x")).graph
    square = graph.outputs[0]
    for source, freedom in (("propagated", POWER_FREEDOM), ("synthetic", FREEDOM)):
        known = stats(np.zeros((1, 4, 1, 1)), 1.0, source=source)
        assert freedom_of(square, {square: known}) == freedom
