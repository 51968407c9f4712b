"""A layer without an integer form stays in float, and the rest of the network is quantized."""

import numpy as np
import pytest

from small_networks import build, floats, run
from spiq import Config, quantize
from spiq import pipeline as module
from spiq.errors import VerificationError
from spiq.runtime.snr import snr_db


def test_layer_that_the_runtime_computes_in_float_is_left_there() -> None:
    body = "[m1] m = MatMul(x, w1) [c] c = Clip(m, low, high) [m2] y = MatMul(c, w2)"
    model = build(
        body, inputs="float[3,4] x", opset=13, w1=(4, 4), w2=(4, 4), low=floats(-0.5).reshape(()),
        high=floats(0.5).reshape(()),
    )  # fmt: skip
    result = quantize(model)
    assert result.plan.left_in_float == {"m1": "ONNX Runtime computes it in float"}
    assert [(layer.name, layer.quantized) for layer in result.report.layers] == [
        ("m1", False),
        ("m2", True),
    ]
    feed = {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)}
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 20


@pytest.mark.parametrize("known", [{}, {"c1": "it fails"}, {"nothing": "it fails"}])
def test_what_cannot_be_mended_is_an_error(
    known: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is tried twice, and nothing for ever."""
    tries = []

    def refuse(*_: object) -> None:
        tries.append(1)
        raise VerificationError("no", nodes=known)

    monkeypatch.setattr(module, "verify", refuse)
    model = build("[c1] c = Conv(x, w1) [c2] y = Conv(c, w2)", w1=(4, 3, 1, 1), w2=(4, 4, 1, 1))
    with pytest.raises(VerificationError, match="no"):
        quantize(model, Config())
    assert len(tries) == 1 + bool(known)
