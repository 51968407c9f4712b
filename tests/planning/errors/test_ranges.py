"""Ranges of channels: stated moments spread, functions carry both ends, bounds hold."""

import numpy as np
import pytest

from small_networks import bn, build, floats, norm, trained, whole
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.planning.errors.ranges import soft_ranges
from spiq.stats.inputs.known import input_stats
from spiq.stats.propagate import measure

WIDTHS = np.array([3.0, 10.0])
STEM = "[c] c = Conv<pads=[1,1,1,1]>(x, w) " + bn("c", "n")
SCALE = np.linspace(-2, 2, 8).astype(np.float32).reshape(1, 8, 1, 1)


def ranges(body: str, **constants: object) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    model = trained(build(STEM + body, w=(8, 3, 3, 3), **norm("n", 8), **constants))
    prepared = prepare(read(model))
    measured = measure(prepared, input_stats(prepared, Config())[0])
    found = soft_ranges(prepared.model.graph, measured, WIDTHS)
    for low, high in found.values():
        assert (low <= 0).all() and (high >= 0).all()
    return {str(value.name): span for value, span in found.items()}


CASES = {
    "Relu": ("Relu(n)", lambda x: np.maximum(x, 0)),
    "Clip": ("Clip(n, zero, six)", lambda x: np.clip(x, 0, 6)),
    "LeakyRelu": ("LeakyRelu<alpha=0.1>(n)", lambda x: np.where(x < 0, 0.1 * x, x)),
    "Sigmoid": ("Sigmoid(n)", lambda x: 1 / (1 + np.exp(-x))),
    "Mul": ("Mul(k, t)", lambda x: SCALE[..., None] * np.tanh(x)),
    "Div": ("Div(t, two)", lambda x: np.tanh(x) / 2),
    "Add": ("Add(t, two)", lambda x: np.tanh(x) + 2),
    "Sub": ("Sub(two, t)", lambda x: 2 - np.tanh(x)),
}


@pytest.mark.parametrize("name", CASES)
def test_both_ends_are_carried(name: str) -> None:
    operator, function = CASES[name]
    constants = {"k": SCALE, "two": floats(2), "zero": np.float32(0), "six": np.float32(6)}
    used = {key: array for key, array in constants.items() if key in operator}
    found = ranges(f"[t] t = Tanh(n) [y] y = {operator}", **used)
    ends = np.sort([function(end) for end in found["n"]], axis=0)
    np.testing.assert_allclose(found["y"][0], np.minimum(ends[0], 0), atol=1e-12)
    np.testing.assert_allclose(found["y"][1], np.maximum(ends[1], 0), atol=1e-12)


def test_stated_moments_spread_by_the_width() -> None:
    given = norm("n", 8)
    low, high = ranges("[y] y = Relu(n)")["n"]
    for index, width in enumerate(WIDTHS):
        reach = width * np.abs(given["n_g"])
        ends = low[0, :, 0, 0, index], high[0, :, 0, 0, index]
        np.testing.assert_allclose(ends[0], np.minimum(given["n_b"] - reach, 0), rtol=1e-3)
        np.testing.assert_allclose(ends[1], np.maximum(given["n_b"] + reach, 0), rtol=1e-3)


def test_sums_add_deviations_in_quadrature_around_their_means() -> None:
    body = "[r] r = LeakyRelu(n) [m] m = Neg(n) [y] y = Add(r, m)"
    found = ranges(body)
    (low_a, high_a), (low_b, high_b), (low, high) = (found[name] for name in ("r", "m", "y"))
    assert (high <= high_a + high_b + 1e-12).all() and (low >= low_a + low_b - 1e-12).all()


def test_movers_take_ranges_along() -> None:
    body = "[r] r = Relu(n) [s] a, b = Split<axis=1>(r, sizes) [k] y = Concat<axis=1>(b, a)"
    found = ranges(body, sizes=whole(3, 5))
    for side in (0, 1):
        expected = np.roll(found["r"][side], -3, axis=1)
        np.testing.assert_array_equal(found["y"][side], expected)


def test_an_unstated_layer_output_is_widened() -> None:
    model = trained(
        build(STEM + "[r] r = Relu(n) [o] y = Conv(r, u)", w=(8, 3, 3, 3), u=(4, 8, 1, 1),
              **norm("n", 8))
    )  # fmt: skip
    prepared = prepare(read(model))
    measured = measure(prepared, input_stats(prepared, Config())[0])
    output = prepared.model.graph.outputs[0]
    known, high = (
        measured.stats[output],
        soft_ranges(prepared.model.graph, measured, WIDTHS)[output][1],
    )
    expected = known.mean[..., None] + 1.4 * known.std[..., None] * WIDTHS
    np.testing.assert_allclose(high, np.maximum(expected, 0))
