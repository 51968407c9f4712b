"""Networks of tokens, end to end: which kernels they get, and how good they are."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from small_networks import images_for, optimized, run
from spiq import Config, quantize
from spiq.runtime.snr import snr_db
from transformers import convnext, mixer, transformer, windows

RANGE = Config(input_range=((-2.118, 2.640),))


@pytest.mark.parametrize(
    ("network", "layers", "least"),
    [(transformer, 6, 28), (mixer, 6, 28), (convnext, 8, 28), (windows, 4, 28)],
)
def test_layers_on_tokens_run_on_integers(
    network: Callable[[], onnx.ModelProto], layers: int, least: float
) -> None:
    model = network()
    result = quantize(model, RANGE)
    assert len(result.plan.layers) == layers
    kernels = optimized(result.model)
    assert kernels["QGemm"] + kernels["QLinearConv"] >= layers
    assert not kernels["Gemm"] and not kernels["FusedGemm"]
    feed = images_for(model)
    expected, found = run(model, feed)["y"], run(result.model, feed)["y"]
    assert snr_db(expected, found) > least


def test_channels_are_told_apart_behind_shifted_windows() -> None:
    plan = quantize(windows(), RANGE).plan
    (tensor,) = (plan.tensors[name] for name in plan.tensors if name.startswith("r_rows"))
    assert len(set(tensor.high)) == 24


def test_channels_of_a_layer_norm_have_scales_of_their_own() -> None:
    """What lies in front of the queries differs by a factor of ten from channel to channel."""
    tensor = quantize(transformer(), RANGE).plan.tensors["n1_rows"]
    widths = np.array(tensor.high) - np.array(tensor.low)
    assert tensor.layout == (1, 32) and len(widths) == 32
    assert widths.max() > 3 * np.median(widths)
