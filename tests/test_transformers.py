"""Networks of tokens, end to end: which kernels they get, and how good they are."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest

from small_networks import images_for, optimized, run
from spiq import Config, apply, quantize
from spiq.runtime.snr import snr_db
from transformers import convnext, mixer, transformer, windows

RANGE = Config(input_range=((-2.118, 2.640),))


@pytest.mark.parametrize(
    ("network", "layers", "least"),
    [(transformer, 6, 23), (mixer, 6, 28), (convnext, 8, 28), (windows, 4, 28)],
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


def test_layers_over_patches_run_on_integers_in_a_batch_of_one() -> None:
    """Channels become rows there: each row meets the same columns."""
    result = quantize(mixer(batch="1"), RANGE)
    assert len(result.plan.layers) == 6


def test_channels_are_told_apart_behind_shifted_windows() -> None:
    plan = quantize(windows(), RANGE).plan
    (tensor,) = (plan.tensors[name] for name in plan.tensors if name.startswith("r_rows"))
    assert len(set(tensor.high)) == 24


def test_channels_of_a_layer_norm_have_scales_of_their_own() -> None:
    """What lies in front of the queries differs by a factor of ten from channel to channel."""
    tensor = quantize(transformer(), RANGE).plan.tensors["n1"]
    widths = np.array(tensor.high) - np.array(tensor.low)
    assert tensor.layout == (1, 1, 32) and len(widths) == 32
    assert widths.max() > 3 * np.median(widths)


def test_attention_runs_on_integers() -> None:
    """Scores end in float for the softmax, with the scale of the queries in a step."""
    result = quantize(transformer(), RANGE)
    kernels = optimized(result.model)
    assert kernels["MatMulIntegerToFloat"] == kernels["QLinearMatMul"] == 1
    assert not kernels["MatMul"] and not kernels["FusedMatMul"]
    products = [layer for layer in result.report.layers if layer.name in ("l", "o")]
    assert [layer.quantized for layer in products] == [True, True]
    assert [layer.macs for layer in products] == [4 * 17 * 17 * 8] * 2


def test_a_product_may_stay_in_float() -> None:
    """And what it reads is not stored for it."""
    model, plan = transformer(), quantize(transformer(), RANGE).plan
    edited = apply(model, replace(plan, left_in_float={**plan.left_in_float, "o": "exact"}))
    kernels = optimized(edited.model)
    assert kernels["MatMulIntegerToFloat"] == 1 and not kernels["QLinearMatMul"]
    assert kernels["MatMul"] + kernels["FusedMatMul"] == 1


def test_channel_scales_are_folded_into_the_layer_norm() -> None:
    """Two Muls are left, of the patches and of the class token: Gelu's would bring too little."""
    assert optimized(quantize(transformer(), RANGE).model)["Mul"] == 2


def test_values_keep_their_channel_scales_through_attention() -> None:
    plan = quantize(transformer(), RANGE).plan
    assert plan.tensors["o"].scale_of == plan.tensors["v"].scale_of == "qkvb_rows"


def test_shares_of_scores_that_no_rule_tells_are_still_shares() -> None:
    """Between 0 and 1, and as sharp as the scores that are observed make them."""
    model = transformer()
    (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
    place = list(model.graph.node).index(softmax)
    twice = [
        onnx.helper.make_node("Sinh", ["l"], ["sinh"], name="sinh"),
        onnx.helper.make_node("Asinh", ["sinh"], ["again"], name="asinh"),
    ]
    softmax.input[0] = "again"
    for node in reversed(twice):
        model.graph.node.insert(place, node)
    plain, made = (quantize(one, RANGE) for one in (transformer(), model))
    ours, theirs = (one.plan.tensors["sm"] for one in (made, plain))
    assert min(ours.low) == 0 and max(ours.high) > 0.7 * max(theirs.high)
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(made.model, feed)["y"]) > 18
