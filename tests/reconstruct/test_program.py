"""The program is the network: in float, and quantized as it ships."""

import numpy as np
import onnx
import pytest
from strong import Begun, begin, outputs

import network_kinds as kinds
from small_modules import torch
from small_networks import bn, build, images_for, norm, run, trained
from spiq.errors import UnsupportedError
from spiq.io.read import read
from spiq.planning.plan.resolve import Resolved
from spiq.reconstruct.program import program_of


def behind_concat() -> onnx.ModelProto:
    """A BatchNormalization that no layer can take in."""
    body = (
        f"a = Conv(x, w) b = Conv(x, v) k = Concat<axis=1>(a, b) {bn('k', 'n')} "
        "r = Relu(n) y = Conv(r, u)"
    )
    shapes = {"w": (8, 3, 1, 1), "v": (8, 3, 1, 1), "u": (4, 16, 1, 1)}
    return trained(build(body, **shapes, **norm("n", 16, spread=10)))


KINDS = {"residual": kinds.residual, "slopes": kinds.slopes, "behind_concat": behind_concat}


@pytest.fixture(scope="module", params=sorted(KINDS))
def case(request: pytest.FixtureRequest) -> tuple[onnx.ModelProto, Begun]:
    model = KINDS[request.param]()
    return model, begin(model)


def snr(wanted: np.ndarray, found: np.ndarray) -> float:
    noise = np.square(wanted - found).mean()
    return float(10 * np.log10(wanted.var() / (noise + 1e-30)))


def test_in_float_it_computes_what_the_runtime_does(case: tuple[onnx.ModelProto, Begun]) -> None:
    model, start = case
    feed = images_for(model)
    (found,) = outputs(start, torch.from_numpy(feed["x"]), None)
    np.testing.assert_allclose(found.numpy(), run(model, feed)["y"], rtol=1e-3, atol=1e-4)


def test_quantized_it_begins_as_the_network_that_ships(
    case: tuple[onnx.ModelProto, Begun],
) -> None:
    model, start = case
    feed = images_for(model)
    (found,) = outputs(start, torch.from_numpy(feed["x"]), start.learned)
    shipped, in_float = run(start.shipped, feed)["y"], run(model, feed)["y"]
    assert snr(shipped, found.numpy()) > snr(in_float, shipped) + 10


def test_operators_that_pytorch_does_not_compute_are_named() -> None:
    model = build("a = Conv(x, w) y = LpPool<kernel_shape=[2,2]>(a)", w=(4, 3, 1, 1))
    with pytest.raises(UnsupportedError, match=r"LpPool .*: use effort seconds"):
        program_of(read(model), Resolved(integer=(), absorbed=(), tensors={}, layers={}), "cpu")
