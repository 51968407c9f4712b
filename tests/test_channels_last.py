"""What pools along the channels of tokens, or joins constants to them, is quantized."""

import numpy as np
import pytest

from small_networks import build
from spiq import quantize

MIDDLES = {
    "pool": ("[p] p = MaxPool<kernel_shape=[2]>(m) ", (15, 4)),
    "constants": ("[p] p = Concat<axis=2>(m, k) ", (18, 4)),
}


@pytest.mark.parametrize("name", MIDDLES)
def test_channels_that_lie_last(name: str) -> None:
    middle, shape = MIDDLES[name]
    used = {"k": np.arange(6, dtype=np.float32).reshape(1, 3, 2)} if "k)" in middle else {}
    body = f"[a] m = MatMul(x, w) {middle}[b] y = MatMul(p, v)"
    model = build(body, inputs="float[1,3,8] x", w=(8, 16), v=shape, **used)
    assert quantize(model).report.quantized_layers >= 1
