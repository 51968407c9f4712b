"""A layer without an integer form stays in float, and the rest of the network is quantized."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from small_networks import build, floats, run
from spiq import Config, Plan, apply, plan, quantize
from spiq import realize as module
from spiq.errors import ModelError, PlanError, UnsupportedError, VerificationError
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

    def refuse(*_: object, **__: object) -> None:
        tries.append(1)
        raise VerificationError("no", nodes=known)

    monkeypatch.setattr(module, "verify", refuse)
    model = build("[c1] c = Conv(x, w1) [c2] y = Conv(c, w2)", w1=(4, 3, 1, 1), w2=(4, 4, 1, 1))
    with pytest.raises(VerificationError, match="no"):
        quantize(model, Config())
    assert len(tries) == 1 + bool(known)


def of_another_domain(operator: str, attributes: str = "") -> onnx.ModelProto:
    """As the runtime's own optimizer writes a Conv and its Relu, between two plain layers."""
    body = (
        "[c1] c = Conv<pads=[1,1,1,1]>(x, w1) [r] r = Relu(c) "
        f"[f] f = com.microsoft.{operator}<{attributes}>(r, w2) [c3] y = Conv(f, w3)"
    )
    model = build(body, inputs="float[1,3,16,16] x", w1=(4, 3, 3, 3), w2=(4, 4, 3, 3),
                  w3=(4, 4, 1, 1))  # fmt: skip
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return model


def test_operators_of_other_domains_are_named_in_the_reason() -> None:
    fused = 'activation: string = "Relu", pads: ints = [1,1,1,1], kernel_shape: ints = [3,3]'
    model = of_another_domain("FusedConv", fused)
    result = quantize(model)
    behind = {layer.name: layer.reason for layer in result.report.float_layers}
    assert behind == {"c3": "no statistics of its input, from com.microsoft.FusedConv 'f'"}
    assert any("rule for com.microsoft.FusedConv 'f'" in note for note in result.report.notes)
    feed = {"x": np.random.default_rng(0).uniform(-2, 2, (1, 3, 16, 16)).astype(np.float32)}
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 20


def test_a_network_of_another_domain_alone_is_refused_by_its_name() -> None:
    body = "[f] f = com.microsoft.FusedConv(x, w2) [c3] y = Conv(f, w3)"
    model = build(body, inputs="float[1,4,16,16] x", w2=(4, 4, 3, 3), w3=(4, 4, 1, 1))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(UnsupportedError, match=r"from com\.microsoft\.FusedConv 'f'"):
        quantize(model)


MADE_FOR_24 = (
    "[c1] c = Conv<pads=[1,1,1,1]>(x, w1) [r] r = Relu(c) [f] f = Flatten(r) "
    "[g] y = Gemm<transB=1>(f, w2)"
)


def made_for_24() -> onnx.ModelProto:
    return build(MADE_FOR_24, inputs="float[N,3,H,W] x", w1=(4, 3, 3, 3), w2=(5, 4 * 24 * 24))


@pytest.mark.parametrize("bits", [8, 4])
def test_a_network_made_for_one_size_that_it_leaves_open(bits: int) -> None:
    """The size that is said is taken throughout: to observe, to round, and to compare."""
    model = made_for_24()
    result = quantize(model, Config(input_size=24, weight_bits=bits))
    assert result.report.quantized_layers == 2
    feed = {"x": np.random.default_rng(0).uniform(-2, 2, (4, 3, 24, 24)).astype(np.float32)}
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > (20 if bits == 8 else 8)


def test_a_plan_keeps_the_size_that_was_said() -> None:
    model, config = made_for_24(), Config(input_size=24)
    made = Plan.from_json(plan(model, config).to_json())
    assert made.input_size == 24
    assert apply(model, made).model == quantize(model, config).model
    assert "input_size" not in replace(made, input_size=None).to_json()
    with pytest.raises(PlanError, match="input_size: 4 is not from 8 to 4096"):
        Plan.from_json(made.to_json().replace('"input_size": 24', '"input_size": 4'))


def test_messages_show_shapes_as_the_network_states_them() -> None:
    words = r"the input was 'x' \[1, 3, 320, 320\], of \[N, 3, H, W\]: say what size .*--input-size"
    for_7_by_9 = build(MADE_FOR_24, inputs="float[N,3,H,W] x", w1=(4, 3, 3, 3), w2=(5, 4 * 7 * 9))
    with pytest.raises(ModelError, match=words):
        quantize(for_7_by_9)
    model = build("[c1] c = Conv(x, w1) [c2] y = Conv(c, w2)", inputs="float[N,3,H,16] x",
                  w1=(4, 3, 1, 1), w2=(4, 9, 1, 1))  # fmt: skip
    with pytest.raises(ModelError, match=r"for an input of shape \[N, 4, \?, 16\]"):
        quantize(model)
