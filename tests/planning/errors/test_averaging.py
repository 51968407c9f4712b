"""What a mean over positions leaves of what is clipped, and what that makes of ranges."""

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import bn, build, norm, planned
from spiq import Config
from spiq.analysis import analyse
from spiq.io.read import read
from spiq.planning.errors import network_errors
from spiq.planning.errors.averaging import averaged, lasting
from spiq.planning.errors.tensor_error import Channels

STEM = "[c] c = Conv<pads=[1,1,1,1]>(x, w) " + bn("c", "n") + "[r] r = Relu(n) "
POOLED = STEM + "[g] g = GlobalAveragePool(r) [f] f = Flatten(g) [o] y = Gemm(f, wy)"


def network(body: str) -> onnx.ModelProto:
    given = {"w": (8, 3, 3, 3), "wy": (8, 4), "wc": (4, 8, 1, 1)}
    weights = {name: shape for name, shape in given.items() if f"{name})" in body}
    outputs = "y, z" if " z =" in body else "y"
    inputs = "float[1,3,16,16] x"
    return build(body, inputs=inputs, outputs=outputs, **weights, **norm("n", 8))


def of(body: str, name: str) -> tuple[ir.Value, float]:
    known = analyse(read(network(body)), Config())
    value = next(value for value in known.measured.stats if value.name == name)
    return value, lasting(value, known.measured)


def test_clipping_in_front_of_a_mean_counts_between_once_and_the_root_of_all_positions() -> None:
    value, found = of(POOLED, "r")
    (pool,) = value.consumers()
    assert averaged(pool) == 256
    assert 1 < found < 16


@pytest.mark.parametrize(
    "body",
    [
        STEM + "[o] y = Conv(r, wc)",
        POOLED + " [d] z = Conv(r, wc)",
    ],
    ids=["a layer reads it", "a layer reads it, too"],
)
def test_elsewhere_it_counts_as_rounding_does(body: str) -> None:
    assert of(body, "r")[1] == 1


def test_it_is_clipping_alone_that_counts_more() -> None:
    ones = np.ones(3)
    tensor = Channels(
        value=ir.Value(name="r"),
        grid=0,
        classes=np.arange(3),
        low=np.zeros((3, 2)),
        high=np.outer(ones, [3.0, 6.0]),
        hard_low=np.zeros(3),
        hard_high=np.full(3, np.inf),
        power=ones,
        importance=ones,
        rounds=True,
        saturates=False,
        widths=np.array([3.0, 6.0]),
    )
    more, step = replace(tensor, lasting=5.0), 0.01 * ones
    clipped = tensor.errors(step, 0, 255, rounded=False)
    assert (clipped > 0).all()
    np.testing.assert_allclose(more.errors(step, 0, 255, rounded=False), 5 * clipped)
    np.testing.assert_allclose(more.errors(step, 0, 255) - tensor.errors(step, 0, 255), 4 * clipped)


def test_so_ranges_in_front_of_a_mean_are_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = network(POOLED)
    wide = np.array(planned(proto)[0].tensors["r"].high)
    monkeypatch.setattr(network_errors, "lasting", lambda *args: 1.0)
    narrow = np.array(planned(proto)[0].tensors["r"].high)
    assert (wide >= narrow).all() and (wide > narrow).any()
