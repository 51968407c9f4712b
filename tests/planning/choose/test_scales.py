"""The choice of lambda, alpha, zero point and scales of a group of tensors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import HIGH, LOW, bn, build, norm, resolved_of, trained
from spiq import Config
from spiq.methods import METHODS, Method
from spiq.methods.method import WIDTHS
from spiq.planning.choose.group import Grids, Group, Scaled, Sum
from spiq.planning.choose.scales import decide
from spiq.planning.errors.tensor_error import Channels
from spiq.planning.errors.weight_error import WeightError
from spiq.planning.plan.derive import least_step
from spiq.planning.plan.resolve import zero_point

LAMBDAS = np.array(WIDTHS)
ALPHAS = METHODS["spiq"].alphas
EVEN = np.ones(6)
UNEVEN = np.geomspace(1e-3, 10, 6)


def tensor(
    name: str = "t",
    *,
    mean: object = 0.0,
    std: object = EVEN,
    low: float = -np.inf,
    high: float = np.inf,
    grid: int = 0,
    classes: object = range(6),
    importance: object = 1.0,
) -> Channels:
    """Six channels, normal with these moments and cut to these bounds."""
    m, s, w = (np.broadcast_to(np.asarray(a, float), 6) for a in (mean, std, importance))
    spans = [np.clip(m[:, None] + sign * s[:, None] * LAMBDAS, low, high) for sign in (-1, 1)]
    return Channels(
        value=ir.Value(name=name),
        grid=grid,
        classes=np.array(classes),
        low=np.minimum(spans[0], 0),
        high=np.maximum(spans[1], 0),
        hard_low=np.full(6, low),
        hard_high=np.full(6, high),
        power=m**2 + s**2,
        importance=w,
        rounds=True,
        saturates=np.isfinite(high),
        widths=LAMBDAS,
    )


GROUPS = {
    "even": [tensor()],
    "uneven": [tensor(std=UNEVEN)],
    "shifted": [tensor(mean=[-3, -1, 0, 0, 1, 30], std=UNEVEN)],
    "above 0": [tensor(mean=UNEVEN, std=UNEVEN, low=0)],
    "below 0": [tensor(mean=-UNEVEN, std=UNEVEN, high=0)],
    "ReLU6": [tensor(mean=2, std=UNEVEN, low=0, high=6)],
    "one dead channel": [tensor(std=[0, 1, 1, 2, 3, 4])],
    "all dead": [tensor(std=0)],
    "far from 0": [tensor(mean=40, std=0.1)],
    "unimportant": [tensor(std=UNEVEN, importance=0)],
    "residual": [tensor(std=UNEVEN), tensor("u", std=UNEVEN[::-1], low=0, grid=1)],
    "one grid": [tensor(std=UNEVEN), tensor("u", std=EVEN, classes=range(6, 12))],
}
CASES = [pytest.param(group, id=name) for name, group in GROUPS.items()]


def chosen(
    group: list[Channels],
    bits: int,
    alphas: tuple[float, ...] = ALPHAS,
    pinned: frozenset[int] = frozenset(),
    *,
    layers: Sequence[WeightError] = (),
    sums: Sequence[Sum] = (),
) -> Scaled:
    method = Method(name="test", alphas=alphas, shared_steps=bool(sums))
    grids = {t.grid: bits for t in group}
    return decide(Group(group, layers, sums, pinned, grids), method)


def sigma(t: Channels, found: Scaled) -> np.ndarray:
    return np.array([found.channel_scales[int(name)] for name in t.classes])


def ends(t: Channels, found: Scaled, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the grid in real units, for each channel."""
    steps = found.steps[t.grid] * sigma(t, found)
    zero = found.zero_points[t.grid]
    assert (steps > 0).all() and np.isfinite(steps).all()
    return -zero * steps, (2**bits - 1 - zero) * steps


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("group", CASES)
def test_every_channel_fits_at_the_chosen_width(group: list[Channels], bits: int) -> None:
    found = chosen(group, bits)
    for t in group:
        (low, high), width = ends(t, found, bits), found.widths[t.grid]
        assert (high >= t.high[:, width] * (1 - 1e-9)).all()
        assert (low <= t.low[:, width] * (1 - 1e-9)).all()


@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("group", CASES)
def test_zero_points_are_on_the_grid(group: list[Channels], bits: int) -> None:
    found = chosen(group, bits)
    for t in group:
        zero = found.zero_points[t.grid]
        assert isinstance(zero, int)
        assert 0 <= zero <= 2**bits - 1
        together = [u for u in group if u.grid == t.grid]
        if min(u.low.min() for u in together) >= 0:
            assert zero == 0
        elif max(u.high.max() for u in together) <= 0:
            assert zero == 2**bits - 1


def test_zero_points_suit_the_channels_and_not_their_joint_range() -> None:
    """Each channel has its own range: one that lies far above 0 shall not bind the others.

    The joint range has its zero point at 40, where channels around 0 make use of few integers below
    it; 88 is chosen, with half the error.
    """
    group = Group([tensor(mean=[0, 0, 0, 0, 0, 30])], (), (), frozenset(), {0: 8})
    found = decide(group, Method(name="test", alphas=(1.0,)))
    low, high = (end[:, found.widths[0]] for end in (group.tensors[0].low, group.tensors[0].high))
    joint = round(255 * -low.min() / (high.max() - low.min()))
    scalar = group.evaluated(Grids(found.alpha, {0: joint}, found.widths, {}))
    assert found.cost < scalar.cost / 1.9


@pytest.mark.parametrize("group", CASES)
def test_alpha_0_is_one_scalar_scale(group: list[Channels]) -> None:
    found = chosen(group, 8, (0.0,))
    assert found.alpha == 0
    assert set(found.channel_scales.values()) == {1.0}


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
@pytest.mark.parametrize("group", CASES)
def test_choice_of_alphas_never_costs_more_than_static(group: list[Channels], bits: int) -> None:
    assert chosen(group, bits).cost <= chosen(group, bits, (0.0,)).cost
    for alpha in ALPHAS:
        assert chosen(group, bits).cost <= chosen(group, bits, (alpha,)).cost * (1 + 1e-9)


def test_channel_scales_pay_where_channels_differ_and_not_where_they_do_not() -> None:
    assert chosen(GROUPS["even"], 8).alpha == 0
    uneven = chosen(GROUPS["uneven"], 8)
    assert uneven.alpha > 0
    assert uneven.cost < chosen(GROUPS["uneven"], 8, (0.0,)).cost / 2


def test_rounding_of_weights_holds_the_scales_back() -> None:
    """A layer whose columns are alike loses bits where its scales differ."""
    peak = np.ones((1, 4, 6))
    layer = WeightError(
        peak, np.full((1, 4), 1e3), (UNEVEN**2)[None], np.arange(6)[None], qmax=7
    )  # fmt: skip
    group = GROUPS["uneven"]
    alone, along = chosen(group, 8), chosen(group, 8, layers=[layer])
    assert along.alpha < alone.alpha
    scales = np.array(list(along.channel_scales.values()))
    assert along.cost == pytest.approx(chosen(group, 8, (along.alpha,)).cost + layer.cost(scales))


def test_absorbed_bound_is_never_passed() -> None:
    """A ReLU6 in a residual: whatever the other side's scales, its grid ends at 6 or below."""
    for std in (EVEN, UNEVEN, UNEVEN[::-1]):
        for mean in (-5.0, 2.0, 7.0):
            clipped = tensor("u", mean=mean, std=UNEVEN, low=0, high=6, grid=1)
            found = chosen([tensor(std=std), clipped], 8)
            assert (ends(clipped, found, 8)[1] <= 6 * (1 + 1e-9)).all()
            found = chosen([tensor(std=std), clipped], 8, sums=[(0, 0, 1)])
            assert (ends(clipped, found, 8)[1] <= 6 * (1 + 1e-9)).all()


@pytest.mark.parametrize("method", ["spiq", "static"])
def test_input_range_is_covered_whole(method: str) -> None:
    body = "[c] c = Conv(x, w) " + bn("c", "n") + "[r] r = Relu(n) [o] y = Conv(r, v)"
    model = trained(build(body, w=(8, 3, 3, 3), v=(4, 8, 1, 1), **norm("n", 8)))
    assert covered(model, Config(method=method), np.full(3, LOW), np.full(3, HIGH))
    given = Config(method=method, input_range=((-1, 1), (0, 4), (-3, 0)))
    assert covered(model, given, np.array([-1, 0, -3]), np.array([1, 4, 0]))


def covered(model: onnx.ModelProto, config: Config, low: np.ndarray, high: np.ndarray) -> bool:
    """Return whether the grid of the input holds every channel's range."""
    stored, _, resolved = resolved_of(model, config)
    found = resolved.tensors["x"]
    steps = found.grid.step * np.array(found.channel_scale)
    zero = found.grid.zero_point
    assert zero == zero_point(stored.tensors["x"])
    return bool(
        (-zero * steps <= low * (1 - 1e-6)).all()
        and ((255 - zero) * steps >= high * (1 - 1e-6)).all()
    )


def test_least_step_is_the_least_that_fits() -> None:
    rng = np.random.default_rng(0)
    for qmax in (7, 15, 255):
        for _ in range(20):
            low, high = -rng.exponential() * rng.integers(0, 2), rng.exponential()
            zero = int(rng.integers(1, qmax))
            need = float(least_step(np.array(low), np.array(high), zero, qmax))
            fits = [
                step
                for step in np.linspace(need * 0.5, need * 1.5, 1001)
                if -zero * step <= low and high <= (qmax - zero) * step
            ]
            assert fits[0] == pytest.approx(need, rel=2e-3)


@pytest.mark.parametrize("group", CASES)
def test_pinned_classes_have_scale_1_and_still_fit(group: list[Channels]) -> None:
    found = chosen(group, 8, (1.0,), frozenset({0, 2}))
    assert found.channel_scales[0] == found.channel_scales[2] == 1
    for t in group:
        (low, high), width = ends(t, found, 8), found.widths[t.grid]
        assert (high >= t.high[:, width] * (1 - 1e-9)).all()
        assert (low <= t.low[:, width] * (1 - 1e-9)).all()


def test_order_of_tensors_does_not_matter() -> None:
    first, second = GROUPS["residual"]
    one, other = chosen([first, second], 8), chosen([second, first], 8)
    assert one.zero_points == other.zero_points
    assert one.steps == pytest.approx(other.steps)
    assert one.channel_scales == pytest.approx(other.channel_scales)


def test_units_of_a_channel_do_not_matter_at_alpha_1() -> None:
    """Scaling a channel's data scales its step: SPIQ as published is equivariant."""
    factor = np.array([1, 2, 0.5, 1, 3, 0.1])
    plain, scaled = tensor(std=EVEN), tensor(std=factor)
    one, other = (
        chosen([plain], 8, (1.0,)),
        chosen([replace(scaled, importance=factor**-2.0)], 8, (1.0,)),
    )
    a = one.steps[0] * sigma(plain, one)
    b = other.steps[0] * sigma(scaled, other)
    np.testing.assert_allclose(b, a * factor, rtol=1e-9)


ADDED: Sum = (0, 1, 2)
"""The grids of two operands and of their sum."""


def sum_of(*deviations: float) -> list[Channels]:
    """Two operands and their sum, all channels alike."""
    return [tensor(f"t{grid}", std=d, grid=grid) for grid, d in enumerate(deviations)]


def settled(group: list[Channels], method: Method) -> Scaled:
    return decide(Group(group, [], [ADDED], frozenset(), dict.fromkeys(range(3), 8)), method)


def test_sum_shares_a_step_where_that_saves_a_rounding() -> None:
    """Operands and sum of like range: the joint step costs little, and the sum is exact."""
    spiq = METHODS["spiq"]
    group = sum_of(1, 0.9, 1.1)
    found, apart = settled(group, spiq), settled(group, replace(spiq, shared_steps=False))
    assert len(set(found.steps.values())) == len(set(found.shared.values())) == 1
    assert len(set(apart.steps.values())) == 3 and not apart.shared
    assert found.cost < apart.cost * 0.8


def test_sum_keeps_steps_apart_where_one_operand_is_much_wider() -> None:
    """Its step would cost the other operand more than a rounding of the narrow sum."""
    found = settled(sum_of(100, 1, 1), METHODS["spiq"])
    assert found.steps[1] < found.steps[0] / 20
    assert found.shared.get(0, 0) != found.shared.get(1, 1)
