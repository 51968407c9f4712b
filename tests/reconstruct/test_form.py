"""Grids with gradients, and weights between two integers."""

import numpy as np
import pytest

from small_modules import torch
from spiq.planning.plan.grid import Grid
from spiq.planning.plan.resolve import StoredTensor
from spiq.reconstruct.form import Coins
from spiq.reconstruct.grids import Step, Stored, Zero
from spiq.reconstruct.weights import Weight


def stored(bits: int = 3, zero: int = 2, scale: tuple[float, ...] = (1.0, 0.5)) -> Stored:
    tensor = StoredTensor(grid=Grid(bits, 0.25, zero), channel_scale=scale, layout=(1, 2, 1, 1))
    return Stored(tensor, Step())


def test_a_tensor_is_rounded_and_cut_off_channel_by_channel() -> None:
    x = torch.tensor([-9.0, -0.3, 0.1, 0.2, 9.0]).reshape(1, 1, 1, 5).repeat(1, 2, 1, 1)
    found = stored()(x).detach()
    assert found[0, 0, 0].tolist() == [-0.5, -0.25, 0.0, 0.25, 1.25]
    assert found[0, 1, 0].tolist() == [-0.25, -0.25, 0.125, 0.25, 0.625]


def test_gradients_pass_inside_of_the_grid_and_stop_outside() -> None:
    x = torch.tensor([-9.0, 0.1, 9.0]).reshape(1, 1, 1, 3).repeat(1, 2, 1, 1).requires_grad_()
    stored()(x).sum().backward()
    assert x.grad is not None and x.grad[0, 0, 0].tolist() == [0, 1, 0]


def test_a_wider_step_is_asked_for_where_values_are_cut_off() -> None:
    part, x = stored(), torch.full((1, 2, 4, 4), 9.0)
    (part(x) - x).square().sum().backward()
    assert part.step.log_factor.grad < 0  # descent makes it larger


def test_the_gradient_of_a_step_of_16_bits_is_that_of_each_number() -> None:
    """Sums of numbers and of what is left of them are alike but for 1 in 100,000."""
    step, part = 2.0**-16, Stored(stored_in_16_bits(), Step())
    x = step * (torch.arange(60_000.0) + 0.25)
    part(x.reshape(1, 1, 200, 300)).sum().backward()
    assert part.step.log_factor.grad.item() == pytest.approx(60_000 * -0.25 * step, rel=1e-3)


def stored_in_16_bits() -> StoredTensor:
    return StoredTensor(grid=Grid(16, 2.0**-16, 0), channel_scale=(1.0,), layout=(1, 1, 1, 1))


def test_a_grid_that_stands_for_a_bound_never_ends_beyond_it() -> None:
    part = stored(zero=0)  # ends at 7 * 0.25
    part.bounded(2.0)
    for grown, end in ((0.05, 1.75 * np.exp(0.05)), (0.5, 2.0)):
        with torch.no_grad():
            part.step.log_factor.fill_(grown)
        part.step.bound()
        assert part(torch.full((1, 2, 1, 1), 9.0))[0, 0].item() == pytest.approx(end)


@pytest.mark.parametrize(("x", "gradient"), [(0.1, 0), (-9.0, -1), (9.0, -1)])
def test_a_zero_point_moves_what_is_cut_off_and_nothing_else(x: float, gradient: int) -> None:
    """By a step of each channel, of which there are two: 0.25 and 0.125."""
    part = moving()
    part(torch.full((1, 2, 1, 1), x)).sum().backward()
    assert part.zero is not None
    assert part.zero.move.grad.item() == pytest.approx(gradient * 7 * (0.25 + 0.125))


def test_a_zero_point_goes_where_more_is_cut_off_and_stays_inside_of_the_grid() -> None:
    part, x = moving(), torch.full((1, 2, 4, 4), -9.0)
    (part(x) - x).square().sum().backward()
    assert part.zero is not None and part.zero.move.grad < 0  # descent makes room below 0
    for move, zero in ((0.15, 3), (5.0, 6), (-5.0, 1)):
        with torch.no_grad():
            part.zero.move.fill_(move)
        assert int(part.zero_point) == zero


def moving() -> Stored:
    tensor = StoredTensor(grid=Grid(3, 0.25, 2), channel_scale=(1.0, 0.5), layout=(1, 2, 1, 1))
    return Stored(tensor, Step(), Zero())


def weight(values: list[float], integers: list[float]) -> Weight:
    shape = (1, len(values), 1, 1)
    return Weight(
        folded=torch.tensor(values).reshape(shape), ratio=torch.ones(shape),
        integers=torch.tensor(integers).reshape(shape), step=torch.ones(1),
        bias=torch.zeros(1), bias_unit=1.0, unit=1.0, bits=4, axis=0,
    )  # fmt: skip


def test_a_weight_begins_as_it_was_rounded_even_far_from_nearest() -> None:
    part = weight([0.4, -0.4, 2.6, 1.2], [0, -1, 3, 3])
    assert part(1.0)[0].flatten().tolist() == [0, -1, 3, 3]
    part.hard = False
    assert (part(1.0)[0].flatten() - torch.tensor([0.0, -1, 3, 3])).abs().max() <= 0.11


def test_weights_may_go_to_the_other_integer_and_stay_within_their_bits() -> None:
    part = weight([0.4, 7.0], [0, 7])
    with torch.no_grad():
        part.logit.fill_(9.0)
    assert part(1.0)[0].flatten().tolist() == [1, 7]


def test_a_bias_is_whole_steps_of_its_sums_once_all_is_decided() -> None:
    part = weight([0.4], [0])
    with torch.no_grad():
        part.shift.fill_(0.7)
    assert part(0.5)[1].tolist() == [0.5]
    part.hard = False
    assert part(0.5)[1].tolist() == pytest.approx([0.7])


def test_what_is_decided_is_not_drawn_any_more() -> None:
    part = weight([0.4], [0])
    assert part.undecided(2.0).item() > 0
    with torch.no_grad():
        part.logit.fill_(20.0)
    assert part.undecided(2.0).item() == pytest.approx(0)


def test_coins_fall_as_often_as_asked_and_the_same_for_a_seed() -> None:
    def thrown() -> np.ndarray:
        coins = Coins(0.3, torch.Generator().manual_seed(1), "cpu")
        return coins.mixed(torch.zeros(20_000), torch.ones(20_000)).numpy()

    assert thrown().mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(thrown(), thrown())
