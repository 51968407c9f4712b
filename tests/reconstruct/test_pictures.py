"""Pictures are moved until what BatchNorm states is met."""

import numpy as np
import pytest
from strong import Begun, begin

import network_kinds as kinds
from small_modules import torch
from small_networks import images_for
from spiq.reconstruct.pictures import Maker, aims_of

LOW, HIGH = torch.tensor(-2.0), torch.tensor(2.5)


@pytest.fixture(scope="module")
def start() -> Begun:
    return begin(kinds.residual())


def maker(start: Begun, batch: int = 4) -> Maker:
    aims = aims_of(start.analysis.graph, start.analysis.measured.stats, "cpu")
    assert aims is not None
    return Maker(start.program, aims, LOW, HIGH, batch, torch.Generator().manual_seed(0))


def missed(by: Maker, pictures: torch.Tensor) -> float:
    with torch.no_grad():
        return float(by.aims.missed(by.seen(pictures, swing=False)))


def test_images_that_the_network_was_trained_on_meet_the_aims(start: Begun) -> None:
    trained_on = torch.from_numpy(images_for(kinds.residual())["x"])
    even = torch.zeros(8, 3, 16, 16)
    assert missed(maker(start), trained_on) < 0.05 * missed(maker(start), even)


def test_moved_pictures_miss_less_and_stay_in_the_range(start: Begun) -> None:
    by = maker(start)
    noise = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 4 - 2
    told: list[float] = []
    shares = by.made(noise, 40, told.append)
    assert shares.min() >= 0 and shares.max() <= 1
    assert missed(by, LOW + (HIGH - LOW) * shares) < 0.5 * missed(by, noise)
    assert told[-1] == 1 and told == sorted(told)


def test_what_is_added_has_long_waves_rather_than_short_ones(start: Begun) -> None:
    drawn = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 0.5
    moved = maker(start).made(drawn, 20, lambda share: None)
    power = torch.fft.rfft2(moved - (drawn - LOW) / (HIGH - LOW)).abs().square().mean((0, 1))
    assert power[1:3, 1:3].mean() > 10 * power[6:9, 6:9].mean()


def test_the_same_seed_makes_the_same_pictures(start: Begun) -> None:
    first = torch.zeros(4, 3, 16, 16)
    one, two = (maker(start).made(first, 3, lambda share: None) for _ in range(2))
    np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_statistics_are_those_of_all_pictures_and_not_of_a_batch(start: Begun) -> None:
    pictures = torch.from_numpy(images_for(kinds.residual())["x"])
    by = maker(start)
    with torch.no_grad():
        whole = by.seen(pictures, swing=False)
        halves = [by.seen(part, swing=False) for part in pictures.split(4)]
    np.testing.assert_allclose((halves[0] + halves[1]) / 2, whole, rtol=1e-4, atol=1e-5)
