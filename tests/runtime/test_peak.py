"""What share of the int8 kernel's best a network reaches."""

import numpy as np
import pytest

from small_mobilenet import model_path
from small_networks import build, optimized
from spiq.evaluation import latency
from spiq.runtime import peak
from spiq.runtime.session import session


@pytest.mark.parametrize("chain", peak.chains(), ids=["3x3", "1x1"])
def test_the_chains_run_on_integers(chain: peak.Chain) -> None:
    assert optimized(chain.model)["QLinearConv"] == 4
    opened = session(chain.model, threads=1)
    (given,) = opened.get_inputs()
    image = np.zeros((1, *given.shape[1:]), np.uint8)
    (found,) = opened.run(None, {given.name: image})
    assert found.shape == image.shape


def test_their_work_is_counted() -> None:
    assert [one.macs for one in peak.chains()] == [4 * 256**2 * 9 * 196, 4 * 512**2 * 196]


def test_the_best_is_that_of_the_faster_one() -> None:
    three, one = peak.chains()
    assert peak.best_of([three.macs / 5e9, one.macs / 7e9], [three, one]) == pytest.approx(7e9)


def test_a_networks_work() -> None:
    body = "[c] c = Conv<strides=[2,2]>(x, w) [f] f = Flatten(c) [g] y = Gemm(f, v)"
    model = build(body, w=(4, 3, 2, 2), v=(256, 5))
    assert peak.work(model.SerializeToString()) == 4 * 3 * 4 * 64 + 256 * 5


def test_work_that_nobody_knows() -> None:
    body = "[c] y = Conv(x, w)"
    open_size = build(body, inputs="float[N,3,H,W] x", w=(4, 3, 2, 2))
    assert peak.work(open_size.SerializeToString()) is None
    assert peak.work(b"no network") is None


def test_shares_go_with_times() -> None:
    result = latency.compare([model_path(), model_path()], seconds=0.1, peak=True)
    first, second = result.models
    assert result.peak_gmacs > 1
    for score in (first, second):
        expected = peak.work(model_path()) / (score.median_ms * 1e-3) / (result.peak_gmacs * 1e9)
        assert score.share_of_peak == pytest.approx(expected)
    assert 0 < first.share_of_peak < 1


def test_nothing_is_said_where_nobody_asks() -> None:
    result = latency.compare([model_path()], seconds=0.05)
    assert result.peak_gmacs is None and result.models[0].share_of_peak is None
