"""Operators in float that are ONNX Runtime's to the last bit, on which rounding depends."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_modules import torch
from small_networks import build
from spiq.emulation import Network
from spiq.runtime.session import session

RNG = np.random.default_rng(0)
NORM = {
    "g": RNG.standard_normal(64).astype(np.float32), "b": np.ones(64, np.float32),
    "m": RNG.standard_normal(64).astype(np.float32), "v": RNG.random(64).astype(np.float32),
}  # fmt: skip


def both(model: onnx.ModelProto, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wanted = session(model.SerializeToString()).run(None, {"x": x})[0]
    return wanted, Network(ir.serde.deserialize_model(model))(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("operator", ["Sigmoid", "Tanh"])
def test_curves(operator: str) -> None:
    x = np.concatenate([np.linspace(-25, 25, 20001), RNG.standard_normal(20000) * 3])
    wanted, found = both(build(f"y = {operator}(x)", inputs="float[N] x"), x.astype(np.float32))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("how", ["align_corners", "half_pixel", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("scales", [(1, 1, 2, 2), (1, 1, 1.7, 0.6), (1, 1, 1, 3)], ids=str)
def test_linear_resize(how: str, scales: tuple[float, ...]) -> None:
    body = f'y = Resize<mode="linear", coordinate_transformation_mode="{how}">(x, , s)'
    model = build(body, inputs="float[1,3,17,23] x", s=np.float32(scales))
    wanted, found = both(model, RNG.standard_normal((1, 3, 17, 23)).astype(np.float32))
    np.testing.assert_array_equal(found, wanted)


def test_normalization() -> None:
    model = build("y = BatchNormalization(x, g, b, m, v)", inputs="float[2,64,5,5] x", **NORM)
    wanted, found = both(model, RNG.standard_normal((2, 64, 5, 5)).astype(np.float32))
    np.testing.assert_array_equal(found, wanted)


def test_gradients_pass_through_curves() -> None:
    model = build("s = Sigmoid(x) y = Tanh(s)", inputs="float[N] x")
    x = torch.linspace(-4, 4, 33).requires_grad_()
    Network(ir.serde.deserialize_model(model), differentiable=True)(x).sum().backward()
    y = x.detach().clone().requires_grad_()
    torch.tanh(torch.sigmoid(y)).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-5, rtol=1e-4)
