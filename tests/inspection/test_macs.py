"""Multiplications of a layer: positions times weights, where sizes are known."""

import pytest

from small_networks import build
from spiq import inspect


@pytest.mark.parametrize(
    ("inputs", "body", "shape", "macs"),
    [
        ("float[1,3,16,16] x", "y = Conv(x, w)", (4, 3, 1, 1), 16 * 16 * 12),
        ("float[N,3,H,W] x", "y = Conv(x, w)", (4, 3, 1, 1), None),
        ("float[N,10,6] x", "y = MatMul(x, w)", (6, 4), 10 * 24),
        ("float[N,T,6] x", "y = MatMul(x, w)", (6, 4), None),
    ],
)
def test_macs(inputs: str, body: str, shape: tuple[int, ...], macs: int | None) -> None:
    model = build(f"[l] {body}", inputs=inputs, w=shape)
    (layer,) = inspect(model).layers
    assert layer.macs == macs
