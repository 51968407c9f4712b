"""Observed correlations: of whom, and what they are."""

import numpy as np
import pytest

from small_networks import build
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.correlations import observe_correlations
from spiq.stats.correlation import Correlation
from spiq.stats.inputs.known import input_stats
from spiq.stats.propagate import measure


def observed(body: str, inputs: str, **constants: object) -> dict[str, Correlation]:
    prepared = prepare(read(build(body, inputs=inputs, **constants)))  # type: ignore[arg-type]
    measured = measure(prepared, input_stats(prepared, Config(input_range=((0.0, 1.0),)))[0])
    graph = prepared.model.graph
    outputs = list(graph.outputs)
    found = observe_correlations(prepared.model, [str(node.name) for node in graph], measured.stats)
    assert list(graph.outputs) == outputs
    return found


def test_channels_made_from_one_another_are_correlated() -> None:
    mixing = np.zeros((4, 3, 1, 1), np.float32)
    mixing[0, 0] = mixing[1, 0] = 1
    mixing[2, 0] = -1
    mixing[3, 1] = 1
    found = observed(
        "[a] h = Conv(x, w)\n [o] y = Conv<pads=[1,1,1,1]>(h, v)",
        "float[1,3,32,32] x",
        w=mixing,
        v=(5, 4, 3, 3),
    )
    channels, taps = found["o"].channels, found["o"].taps
    assert channels is not None and channels.shape == (1, 4, 4) and taps.shape == (1, 9, 9)
    assert channels[0, 0, 1] == pytest.approx(0.6, abs=0.02)
    assert channels[0, 0, 2] == pytest.approx(-0.6, abs=0.02)
    assert 0.2 < taps[0, 0, 8] < taps[0, 0, 1] < 1
    assert found["a"].channels is not None


def test_depthwise_kernels_have_taps_of_their_own() -> None:
    found = observed(
        "[o] y = Conv<group=3, pads=[1,1,1,1]>(x, w)", "float[1,3,32,32] x", w=(3, 1, 3, 3)
    )
    assert found["o"].taps.shape == (3, 9, 9)
    np.testing.assert_array_equal(found["o"].channels, np.ones((3, 1, 1)))


def test_maps_smaller_than_the_kernel_and_heads_are_left_out() -> None:
    found = observed(
        "[o] h = Conv<pads=[1,1,1,1]>(x, w)\n [f] z = Flatten(h)\n [g] y = Gemm<transB=1>(z, v)",
        "float[1,3,2,2] x",
        w=(2, 3, 3, 3),
        v=(4, 8),
    )
    assert found == {}
