"""Correlations from sums, against numpy's and the samples' own."""

import numpy as np

from spiq.stats.correlation import Correlation, no_samples

GUESS = Correlation(None, np.eye(4, dtype=np.float32)[None])


def test_many_samples_show_the_correlation_they_were_drawn_from() -> None:
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((3, 3))
    sums = no_samples(1, 3, 4)
    seen = []
    for _ in range(4):
        windows = (mixed @ rng.standard_normal((3, 4 * 5000))).reshape(1, 3, 4, 5000) + 2
        sums.add(windows.astype(np.float32))
        seen.append(windows[0, :, 2])
    found = sums.correlation(GUESS)
    assert found.channels is not None
    expected = np.corrcoef(np.concatenate(seen, axis=1))
    off = ~np.eye(3, dtype=bool)
    ratio = found.channels[0][off] / expected[off]
    np.testing.assert_allclose(ratio, 0.6, rtol=0.01)
    np.testing.assert_allclose(found.taps[0], np.eye(4), atol=0.02)
    np.testing.assert_allclose(np.diag(found.channels[0]), 1, rtol=1e-6)


def test_few_samples_say_nothing_of_many_channels() -> None:
    sums = no_samples(1, 50, 4)
    sums.add(np.random.default_rng(0).standard_normal((1, 50, 4, 10)).astype(np.float32))
    assert sums.correlation(GUESS).channels is None


def test_dead_channels_are_correlated_with_none() -> None:
    rng = np.random.default_rng(0)
    windows = np.repeat(rng.standard_normal((1, 1, 4, 500)), 3, axis=1).astype(np.float32)
    windows[:, 1] = 0
    sums = no_samples(1, 3, 4)
    sums.add(windows)
    found = sums.correlation(GUESS).channels
    assert found is not None
    np.testing.assert_array_equal(found[0, 1], [0, 1, 0])
    assert np.linalg.eigvalsh(found[0]).min() > 0
