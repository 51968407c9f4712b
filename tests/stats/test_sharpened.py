"""What is known of channels before, and once some images were seen."""

import numpy as np
import pytest

from spiq.stats.channel import Array
from spiq.stats.observed import Expected, Seen
from spiq.stats.sharpened import sharpened

CHANNELS, DEVIATION = 200, 3.0


def before(var: float = 1.0, tau: float = 0.4, varies: float = 0.5) -> Expected:
    """Expect too little: the deviation is 3."""
    full = np.ones(CHANNELS)
    return Expected(
        0 * full, var * full, 0.3 * full, tau * full, 0.1 * full, varies * full, "synthetic"
    )


def images(count: int) -> Seen:
    """Show a mean of 1 and a deviation of 3, of which a third of the power is the light's."""
    rng = np.random.default_rng(1)
    mean = 1 + np.sqrt(3) * rng.standard_normal((count, CHANNELS))
    return Seen(mean, 6 * rng.gamma(2, 1 / 2, (count, CHANNELS)))


def with_tails(var: Array) -> Seen:
    """Show channels of mean 0, normal within each image."""
    return Seen(np.zeros_like(var), var, np.zeros_like(var), 3 * var**2)


def test_without_images_nothing_changes() -> None:
    known = before()
    assert sharpened(known, images(0)) is known


def test_more_images_shrink_the_doubt_and_come_nearer() -> None:
    found = [sharpened(before(), images(count)) for count in (1, 10, 1000)]
    doubts = [one.tau.mean() for one in found]
    off = [np.abs(np.log(np.sqrt(one.var) / DEVIATION)).mean() for one in found]
    means = [np.abs(one.mean - 1).mean() for one in found]
    for figures in (doubts, off, means):
        assert figures[0] > 1.3 * figures[1] > 1.3**2 * figures[2]
    assert doubts[0] <= 0.4
    assert off[2] < 0.03
    assert doubts[2] >= 0.03


def test_what_no_image_moved_stays_in_doubt() -> None:
    shown = images(10)
    shown.mean[:, 0], shown.var[:, 0] = 0, 0
    found = sharpened(before(), shown)
    assert found.var[0] > 0.05
    assert found.tau[0] > 1.3 * np.median(found.tau)


def test_what_one_image_alone_moved_stays_in_doubt() -> None:
    shown = images(10)
    shown.mean[:, 0], shown.var[:, 0] = 0, 1e-3
    shown.var[3, 0] = 90
    found = sharpened(before(), shown)
    assert found.tau[0] > 1.5 * np.median(found.tau)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_the_unit_does_not_matter(factor: float) -> None:
    known, shown = before(), images(3)
    scaled = Expected(
        factor * known.mean,
        factor**2 * known.var,
        factor**2 * known.off,
        known.tau,
        factor**2 * known.between,
        known.varies,
        known.source,
    )
    plain = sharpened(known, shown)
    found = sharpened(scaled, Seen(factor * shown.mean, factor**2 * shown.var))
    np.testing.assert_allclose(found.var, factor**2 * plain.var)
    np.testing.assert_allclose(found.mean, factor * plain.mean)
    np.testing.assert_allclose(found.tau, plain.tau)


def test_constants_that_stay_constant_are_known() -> None:
    known, shown = before(), images(5)
    for array in (known.var, known.tau, known.off, known.between, known.varies):
        array[0] = 0
    shown.mean[:, 0] = shown.var[:, 0] = 0
    found = sharpened(known, shown)
    assert found.tau[0] == 0
    assert found.var[0] < 1e-6


def test_what_pictures_move_unequally_may_reach_far_though_ten_images_are_alike() -> None:
    alike = with_tails(np.full((10, CHANNELS), 9.0))
    steady, rare = (sharpened(before(varies=varies), alike) for varies in (0.1, 4.0))
    assert (rare.tau > 0.3).all()
    assert (steady.tau < 0.2).all()
    many = sharpened(before(varies=4.0), with_tails(np.full((1000, CHANNELS), 9.0)))
    assert (many.tau < 0.1).all()


def test_where_a_few_channels_fire_the_others_may() -> None:
    var = np.full((10, CHANNELS), 1.0)
    quiet = sharpened(before(), with_tails(var))
    for image in range(10):
        var[image, image] = 100
    found = sharpened(before(), with_tails(var))
    assert (found.tau[10:] > quiet.tau[10:] + 0.1).all()


def test_no_image_is_told_by_itself() -> None:
    known, shown = before(var=9.0), with_tails(np.full((2, CHANNELS), 9.0))
    shown.var[1], shown.fourth[1] = 90, 3 * 90**2
    apart = sharpened(known, shown)
    pooled = sharpened(known, with_tails(np.full((2, CHANNELS), 49.5)))
    assert apart.tau.mean() > pooled.tau.mean() + 0.2
