"""What a gate reads and gates keeps the scales of its channels."""

import dataclasses

import numpy as np
import onnx
import pytest

from small_networks import bn, build, images_for, norm, optimized, run, trained
from spiq import Config, Plan, apply, plan, quantize
from spiq.runtime.snr import snr_db

CONV = "Conv<pads=[1,1,1,1]>"


HARD = "[{1}] {1} = HardSwish({0}) "
SOFT = "[g{1}] g{1} = Sigmoid({0}) [{1}] {1} = Mul({0}, g{1}) "


def gated(spread: float, gate: str = HARD, **shift: np.ndarray) -> onnx.ModelProto:
    """HardSwish or SiLU between layers, channels differing ``spread`` times."""
    body = (
        f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}{gate.format('n1', 's')}"
        f"[c2] c2 = {CONV}(s, w2) {bn('c2', 'n2')}{gate.format('n2', 't')}[c3] y = {CONV}(t, w3)"
    )
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (4, 8, 3, 3)}
    norms = norm("n1", 8, spread=spread) | norm("n2", 8, spread=spread)
    for name in ("n1_g", "n1_b", "n2_g", "n2_b"):
        norms[name] = 4 * norms[name]
    return trained(build(body, **shapes, **norms | shift))


def scalar(made: Plan) -> Plan:
    """The plan with one scale for all channels of each tensor."""
    tensors = {
        name: dataclasses.replace(entry, alpha=0.0 if entry.alpha is not None else None)
        for name, entry in made.tensors.items()
    }
    return dataclasses.replace(made, tensors=tensors)


def test_gates_of_folded_tensors_are_convolutions_on_integers() -> None:
    model = gated(spread=30)
    made = plan(model)
    assert max(entry.alpha or 0 for entry in made.tensors.values()) > 0
    found = optimized(apply(model, made).model)
    assert found["QLinearConv"] + found["QLinearAdd"] == 5 and found["QLinearConv"] > 3
    assert found["QLinearMul"] == 2 and not found["HardSigmoid"]
    assert found["QuantizeLinear"] == found["DequantizeLinear"] == 1


def test_gates_with_one_scale_are_sums() -> None:
    model = gated(spread=30)
    found = optimized(apply(model, scalar(plan(model))).model)
    assert (found["QLinearConv"], found["QLinearAdd"], found["QLinearMul"]) == (3, 2, 2)


def test_a_sigmoid_of_a_folded_tensor_reads_what_a_convolution_unfolds() -> None:
    model = gated(spread=100, gate=SOFT)
    found = optimized(quantize(model).model)
    assert found["QLinearConv"] > 3 and found["QLinearSigmoid"] == found["QLinearMul"] == 2
    assert found["QuantizeLinear"] == found["DequantizeLinear"] == 1


def test_what_a_sigmoid_reads_is_stored_finely_enough() -> None:
    """Steps of 1/8 would leave 0.0103, and of 1/32, which end at 4, 0.0081."""
    model = gated(spread=30, gate=SOFT)
    made, feed = quantize(model).model, images_for(model)
    exact = run(model, feed, outputs=["gs"])["gs"]
    found = run(made, feed, outputs=["gs_dequantized"], optimize=False)["gs_dequantized"]
    assert np.sqrt(np.mean((found - exact) ** 2)) < 0.009


def test_channels_that_are_alike_are_not_worth_a_convolution() -> None:
    found = optimized(quantize(gated(spread=1.5)).model)
    assert (found["QLinearConv"], found["QLinearAdd"]) == (3, 2)


@pytest.mark.parametrize("gate", [HARD, SOFT])
def test_channel_scales_of_gated_tensors_are_worth_it(gate: str) -> None:
    model = gated(spread=100, gate=gate)
    made, feed = plan(model), images_for(model)
    reference = run(model, feed)["y"]
    each, one = (
        snr_db(reference, run(apply(model, used).model, feed)["y"]) for used in (made, scalar(made))
    )
    assert each > 26 and each > one + 3


def test_a_gate_of_a_dead_channel_stays_half_open() -> None:
    model = gated(spread=30, n1_g=np.array([1e-9, *[3.0] * 7], np.float32))
    result = quantize(model)
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


@pytest.mark.parametrize("bits", [8, 5])
def test_a_grid_beyond_one_does_not_open_gates_further(bits: int) -> None:
    model = gated(spread=30)
    made = plan(model, Config(activation_bits=bits))
    wide = {
        name: dataclasses.replace(entry, high=(4.0,) * len(entry.high))
        for name, entry in made.tensors.items()
        if name.endswith("_gate")
    }
    assert len(wide) == 2
    edited = dataclasses.replace(made, tensors={**made.tensors, **wide})
    feed = images_for(model)
    reference = run(model, feed)["y"]
    before, after = (
        snr_db(reference, run(apply(model, used).model, feed)["y"]) for used in (made, edited)
    )
    assert after > before - 12  # the gate's grid is four times as coarse
