"""Networks are timed beside each other, and kernel by kernel."""

import numpy as np
import pytest

from small_networks import build
from spiq.runtime import profile, timing
from spiq.runtime.profile import kernel_times, kernel_times_in_turn
from spiq.runtime.timing import race

NETWORK = build(
    "[c] c = Conv<pads=[1,1,1,1]>(x, w) [p] y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c)",
    w=(16, 3, 3, 3),
).SerializeToString()
FEEDS = {"x": np.zeros((1, 3, 16, 16), np.float32)}


def test_kernels_have_names_times_and_sizes() -> None:
    found = kernel_times(NETWORK, FEEDS, seconds=0.01)
    conv = next(kernel for name, kernel in found.items() if name.startswith("c"))
    pool = next(kernel for name, kernel in found.items() if name.startswith(("p", "y")))
    assert (conv.elements, pool.elements) == (16 * 16 * 16, 16 * 8 * 8)
    assert conv.seconds > 0 and pool.seconds > 0


def test_networks_whose_kernels_are_timed_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []

    def spy(opened: object, *args: object, **options: object) -> object:
        called.append(opened)
        return call(opened, *args, **options)  # type: ignore[arg-type]

    call = profile.call
    monkeypatch.setattr(profile, "call", spy)
    found = kernel_times_in_turn([NETWORK, NETWORK], FEEDS, seconds=0.01)
    assert [set(one) for one in found] == [set(found[0])] * 2
    first, second = called[:2]
    assert first is not second and called == [first, second] * (len(called) // 2)


def test_each_network_is_timed_beside_the_first() -> None:
    raced = race([NETWORK, NETWORK, NETWORK], FEEDS, seconds=0.02)
    assert raced.times.shape[1] == 3
    for one in (raced.latency(1), raced.latency(2)):
        assert one.ratio == pytest.approx(one.int8_ms / one.float_ms)
        assert 0 < one.low <= one.ratio <= one.high


def test_a_busy_machine_counts_for_nothing_up_to_half_of_the_rounds() -> None:
    first = np.array([1.0, 1.0, 1.0, 9.0, 1.0, 9.0])
    times = np.array([2.0, 7.0, 2.0, 2.0, 8.0, 2.0])
    assert timing._latency(times, first).ratio == 2.0


@pytest.mark.parametrize(("count", "outside"), [(3, 0), (5, 0), (6, 0), (9, 1), (20, 5), (100, 39)])
def test_the_median_lies_between_two_of_the_ratios(count: int, outside: int) -> None:
    """Ranks of the sign test's interval at 95 %, as tables of it have them."""
    ratios = np.arange(1.0, count + 1)[::-1]
    raced = timing.Raced(np.stack([np.ones(count), ratios], axis=1))
    assert raced.ratio(1) == (outside + 1, count - outside)
