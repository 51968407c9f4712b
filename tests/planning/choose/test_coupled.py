"""One step for all of a layer's weight: scales of what it reads and writes go together."""

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import bn, build, norm, trained
from spiq import Config, Plan, apply, quantize
from spiq.methods import METHODS
from spiq.methods.method import WIDTHS
from spiq.planning.choose.coupled import settle
from spiq.planning.choose.group import Group
from spiq.planning.errors.tensor_error import Channels
from spiq.planning.errors.weight_error import WeightError
from spiq.planning.plan.derive import last_power, next_power, unit
from spiq.targets import VITIS

ROWS = np.geomspace(0.01, 1, 6)


def tensor(name: str, spread: np.ndarray, grid: int, first: int) -> Channels:
    widths = np.array(WIDTHS)
    high = spread[:, None] * widths
    return Channels(
        value=ir.Value(name=name),
        grid=grid,
        classes=np.arange(first, first + 6),
        low=np.zeros_like(high),
        high=high,
        hard_low=np.zeros(6),
        hard_high=np.full(6, np.inf),
        power=spread**2,
        importance=np.full(6, 1e-3),
        rounds=True,
        saturates=False,
        widths=widths,
    )


def depthwise(peak: np.ndarray, form: object = VITIS.weights) -> WeightError:
    """Six channels, each read and written by itself; the error of each counts alike."""
    return WeightError(
        peak=peak.reshape(6, 1, 1),
        importance=np.ones((6, 1)),
        var=np.ones((6, 1)),
        classes=np.arange(6)[:, None],
        qmax=127,
        rows=np.arange(6, 12)[:, None],
        form=form,  # type: ignore[arg-type]
    )


def scales(given: dict[int, float] | None = None) -> np.ndarray:
    """The scales of twelve classes, 1 where nothing is given."""
    found = np.ones(13)
    for number, scale in (given or {}).items():
        found[number] = scale
    return found


def test_a_layers_error_is_that_of_its_largest_row() -> None:
    layer = depthwise(ROWS, replace(VITIS.weights, powers_of_two=False))
    assert layer.cost(scales()) == pytest.approx(6 * (1 / 127) ** 2 / 12)
    alike = {6 + place: float(row) for place, row in enumerate(ROWS)}
    assert layer.cost(scales(alike)) == pytest.approx((ROWS**2).sum() * (1 / 127) ** 2 / 12)


def test_steps_that_are_powers_of_two_cost_up_to_four_times_as_much() -> None:
    plain = depthwise(ROWS, replace(VITIS.weights, powers_of_two=False)).cost(scales())
    assert plain < depthwise(ROWS).cost(scales()) <= 4 * plain


def test_a_coarse_bias_counts() -> None:
    layer = depthwise(np.full(6, 0.1))
    loud = replace(layer, bias=np.array([[100.0]] + [[0.1]] * 5))
    assert loud.cost(scales()) > 100 * layer.cost(scales())
    assert loud.cost(scales({6: 100.0})) < loud.cost(scales())


def test_scales_make_rows_alike_though_ranges_are() -> None:
    """Neither tensor needs scales of its own; the weight between them does."""
    layer = depthwise(ROWS)
    groups = [
        Group([tensor("x", np.ones(6), 0, 0)], [layer], [], frozenset(), {0: 8}, form=VITIS.grids),
        Group([tensor("y", np.ones(6), 1, 6)], [layer], [], frozenset(), {1: 8}, form=VITIS.grids),
    ]
    found = settle(groups, METHODS["spiq"])
    made = scales({**found[0].channel_scales, **found[1].channel_scales})
    assert layer.cost(made) < layer.cost(scales()) / 2
    plain = settle(groups, METHODS["static"])
    one_each = scales({**plain[0].channel_scales, **plain[1].channel_scales})
    assert layer.cost(made) < layer.cost(one_each)


def test_a_unit_makes_the_only_step_a_power_of_two() -> None:
    needs = [np.array([0.3, 0.05])]
    by = float(unit(needs, [0], [np.array([0, 1])], np.ones(2)))
    assert 0.3 / by == pytest.approx(0.5)
    assert 0.5 <= by <= 1


def test_powers_beside_a_step() -> None:
    steps = np.array([0.3, 0.5, 0.5 * (1 + 1e-6), 0.0])
    np.testing.assert_array_equal(next_power(steps), [0.5, 0.5, 0.5, 0])
    np.testing.assert_array_equal(last_power(steps), [0.25, 0.5, 0.5, 0])


def network(spread: float, *, far: bool = False) -> onnx.ModelProto:
    """Return a depthwise layer; ``far``: its channels lie at 2, and vary by little to much."""
    body = (
        f"[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) {bn('c1', 'n1')}[r1] r1 = Clip(n1, zero, six) "
        f"[c2] c2 = Conv<pads=[1,1,1,1], group=16>(r1, w2) {bn('c2', 'n2')}"
        f"[r2] r2 = Clip(n2, zero, six) [c3] y = Conv(r2, w3)"
    )
    rng = np.random.default_rng(0)
    rows = np.geomspace(1 / spread, 1, 16)
    rng.shuffle(rows)
    shapes = {"w1": (16, 3, 3, 3), "w3": (8, 16, 1, 1)}
    w2 = (rng.standard_normal((16, 1, 3, 3)) * rows[:, None, None, None]).astype(np.float32)
    ends = {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)}
    norms = {**norm("n1", 16, spread=spread), **norm("n2", 16)}
    if far:
        norms["n2_g"] = np.geomspace(0.02, 1, 16).astype(np.float32)
        norms["n2_b"] = np.full(16, 2, np.float32)
    return trained(build(body, w2=w2, **shapes, **ends, **norms))


def test_depthwise_layers_survive_one_step() -> None:
    """Channels of very different sizes in front of a depthwise layer: 12 dB with scalar scales."""
    model, given = network(50.0), ((-2.118, 2.640),)
    found = {
        method: quantize(model, Config(target="vitis", method=method, input_range=given))
        for method in ("spiq", "static")
    }
    made, plain = (found[method].report.snr_db["y"] for method in ("spiq", "static"))
    assert made > plain + 3
    assert made > 18


def test_a_plan_by_such_scales_gives_the_same_network() -> None:
    model = network(50.0, far=True)
    made = quantize(model, Config(target="vitis", input_range=((-2.118, 2.640),)))
    assert any(tensor.channel_scale is not None for tensor in made.plan.tensors.values())
    again = apply(model, Plan.from_json(made.plan.to_json()))
    assert again.model == made.model


def test_a_grid_ends_at_the_six_of_a_relu6() -> None:
    made = quantize(network(2.0), Config(target="vitis", input_range=((-2.118, 2.640),)))
    graph = onnx.load_from_string(made.model).graph
    assert "Clip" not in {node.op_type for node in graph.node}
