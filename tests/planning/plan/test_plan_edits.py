"""Edited plans: what a user tries takes effect, or gets one line that says what to do."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_networks import bn, build, images_for, norm, optimized, run, trained
from spiq import Config, Plan, Quantized, apply, plan, quantize
from spiq.errors import PlanError
from spiq.runtime.snr import snr_db

RESIDUAL = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r] r = Relu(n1) "
    "[c2] c2 = Conv<pads=[1,1,1,1]>(r, w2) " + bn("c2", "n2") + "[a] a = Add(n2, r) "
    "[q] q = Relu(a) [g] g = GlobalAveragePool(q) [f] f = Flatten(g) [o] y = Gemm<transB=1>(f, wg)"
)
"""Tensors r, n2, q, g and f share channels, g and f a grid."""

CLIPPED = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[k] k = Clip(n1, lo, hi) "
    "[p] p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(k) " + bn("p", "n2")
    + "[q] q = Relu(n2) [c2] y = Conv(q, w2)"
)  # fmt: skip
"""ReLU6, and a BatchNormalization that runs on integers."""

Data = dict[str, Any]
Edit = Callable[[Data], object]


@pytest.fixture(scope="module")
def residual() -> onnx.ModelProto:
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "wg": (5, 8)}
    norms = {**norm("n1", 8, spread=20), **norm("n2", 8)}
    return trained(build(RESIDUAL, **shapes, **norms))


@pytest.fixture(scope="module")
def clipped() -> onnx.ModelProto:
    shapes = {"w1": (8, 3, 3, 3), "w2": (4, 8, 1, 1)}
    ends = {"lo": np.float32(0), "hi": np.float32(6)}
    first = norm("n1", 8) | {name: np.full(8, 3, np.float32) for name in ("n1_g", "n1_b")}
    return trained(build(CLIPPED, **shapes, **ends, **first, **norm("n2", 8)))


def edited(model: onnx.ModelProto, edit: Edit, config: Config | None = None) -> Quantized:
    """Apply the plan of a network, edited as text."""
    data = json.loads(plan(model, config).to_json())
    edit(data)
    return apply(model, Plan.from_json(json.dumps(data)))


def constants(result: Quantized) -> dict[str, np.ndarray]:
    graph = onnx.load_from_string(result.model).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def weights(result: Quantized) -> list[int]:
    """Return the largest integer of each layer's weight."""
    found = constants(result)
    return [int(np.abs(array).max()) for array in found.values()
            if array.dtype == np.int8 and array.ndim > 1]  # fmt: skip


def grid(result: Quantized, tensor: str) -> tuple[float, int]:
    """Return scale and zero point of a stored tensor."""
    nodes, found = onnx.load_from_string(result.model).graph.node, constants(result)
    node = next(n for n in nodes if n.output[0] == f"{tensor}_quantized")
    return float(found[node.input[1]]), int(found[node.input[2]])


def near(model: onnx.ModelProto, result: Quantized) -> float:
    feed = images_for(model)
    return snr_db(run(model, feed)["y"], run(result.model, feed)["y"])


def say(data: Data, kind: str, name: str, **entries: object) -> None:
    data[kind][name] |= entries


# Edits that take effect


def test_bits_of_one_layer(residual: onnx.ModelProto) -> None:
    result = edited(residual, lambda d: say(d, "layers", "c2", bits=3))
    assert sorted(weights(result)) == [3, 127, 127]
    assert optimized(result.model)["QLinearConv"] == 2
    assert result.plan.layers["c2"].bits == 3


def test_bits_of_all_layers_but_one_that_says_its_own(residual: onnx.ModelProto) -> None:
    def edit(data: Data) -> None:
        data["weight_bits"] = 4
        say(data, "layers", "o", bits=8)

    result = edited(residual, edit)
    assert sorted(weights(result)) == [7, 7, 127]
    assert result.report.weight_bits == 4


def test_bits_of_one_tensor_keep_its_range(residual: onnx.ModelProto) -> None:
    whole, half = quantize(residual), edited(residual, lambda d: say(d, "tensors", "n2", bits=4))
    (scale, zero), (wide, few) = grid(whole, "n2"), grid(half, "n2")
    assert wide * 15 == pytest.approx(scale * 255, rel=0.15)
    assert few == pytest.approx(zero / 17, abs=0.5)
    assert "Clip" in {node.op_type for node in onnx.load_from_string(half.model).graph.node}
    assert grid(half, "r") == grid(whole, "r")
    assert near(residual, half) < near(residual, whole)


def test_bits_of_all_tensors(residual: onnx.ModelProto) -> None:
    result = edited(residual, lambda d: d.update(activation_bits=4))
    assert result.report.activation_bits == 4
    assert {entry.bits for entry in result.plan.tensors.values()} == {4}
    assert 8 < near(residual, result) < near(residual, quantize(residual)) - 10


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_of_a_group_is_edited_at_its_first_tensor(
    alpha: float, residual: onnx.ModelProto
) -> None:
    result = edited(residual, lambda d: say(d, "tensors", "r", alpha=alpha))
    assert {result.plan.tensors[name].alpha for name in ("r", "n2", "q", "g", "f")} == {alpha}
    folds = [name for name in constants(result) if name.endswith("_factor")]
    ends = np.array(result.plan.tensors["r"].high)
    scale, _ = grid(result, "r")
    assert scale * 255 == pytest.approx(ends.max(), rel=1e-5) or alpha > 0
    assert not folds
    assert near(residual, result) > 20


def test_range_as_one_number_or_one_for_each_channel(residual: onnx.ModelProto) -> None:
    flat = {"low": 0, "high": 40.0}
    result = edited(residual, lambda d: say(d, "tensors", "r", alpha=0, **flat))
    assert grid(result, "r")[0] * 255 == pytest.approx(40, rel=1e-5)
    ends = [1.0] * 7 + [10.0]
    result = edited(residual, lambda d: say(d, "tensors", "r", alpha=0, low=0, high=ends))
    assert grid(result, "r")[0] * 255 == pytest.approx(10, rel=1e-5)


def test_range_without_zero_is_used_in_full(residual: onnx.ModelProto) -> None:
    def edit(data: Data) -> None:
        say(data, "tensors", "r", alpha=0)
        say(data, "tensors", "n2", low=-1, high=4)
        del data["tensors"]["n2"]["zero"]

    scale, zero = grid(edited(residual, edit), "n2")
    assert zero == 51 and scale == pytest.approx(5 / 255, rel=1e-5)


def test_range_of_an_input_is_edited_in_both_places(residual: onnx.ModelProto) -> None:
    def edit(data: Data) -> None:
        for kind in ("inputs", "tensors"):
            say(data, kind, "x", low=-1, high=[1, 2, 3])
        say(data, "tensors", "x", alpha=0)
        del data["tensors"]["x"]["zero"]

    scale, zero = grid(edited(residual, edit), "x")
    assert scale == pytest.approx(4 / 255, rel=2e-3) and zero == 64


def by_hand(data: Data) -> None:
    say(data, "tensors", "r", channel_scale=[1, 2, 3, 4, 5, 6, 7, 8])
    del data["tensors"]["r"]["alpha"]


def test_channel_scale_by_hand_is_that_of_all_that_share_the_channels(
    residual: onnx.ModelProto,
) -> None:
    result = edited(residual, by_hand)
    ends = np.array(result.plan.tensors["n2"].high) / range(1, 9)
    lows = -np.array(result.plan.tensors["n2"].low) / range(1, 9)
    scale, zero = grid(result, "n2")
    assert scale == pytest.approx(max(ends.max() / (255 - zero), lows.max() / zero), rel=1e-5)
    assert near(residual, result) > 15
    data = json.loads(result.plan.to_json())
    assert data["tensors"]["n2"]["scale_of"] == "r"
    assert apply(residual, Plan.from_json(json.dumps(data))).model == result.model


@pytest.mark.parametrize("keep", [True, False], ids=["entries kept", "entries removed"])
@pytest.mark.parametrize("layer", ["c1", "c2", "o"])
def test_layer_moved_to_float(layer: str, keep: bool, residual: onnx.ModelProto) -> None:
    def edit(data: Data) -> None:
        data["left_in_float"][layer] = "by hand"
        if not keep:
            del data["layers"][layer]

    result = edited(residual, edit)
    left = quantize(residual, Config(exclude=(layer,)))
    assert optimized(result.model) == optimized(left.model)
    assert [entry.name for entry in result.report.float_layers] == [layer]
    assert result.report.float_layers[0].reason == "by hand"
    assert layer not in result.plan.layers
    assert near(residual, result) > near(residual, quantize(residual)) - 1
    assert apply(residual, Plan.from_json(result.plan.to_json())).model == result.model


@pytest.mark.parametrize(("name", "layers"), [("a", 3), ("g", 3)])
def test_other_operators_can_be_left_in_float_too(
    name: str, layers: int, residual: onnx.ModelProto
) -> None:
    result = edited(residual, lambda d: d["left_in_float"].update({name: "by hand"}))
    found = optimized(result.model)
    assert found["QLinearAdd"] == (name == "g")
    assert found["QLinearGlobalAveragePool"] == 0
    assert result.report.quantized_layers == layers
    assert near(residual, result) > near(residual, quantize(residual)) - 3


@pytest.mark.parametrize(("name", "high"), [("q", 1e12), ("g", 1e12)])
def test_a_mean_on_steps_of_another_kind_is_refused(
    name: str, high: float, residual: onnx.ModelProto
) -> None:
    """ONNX Runtime's kernel ends the process."""
    with pytest.raises(PlanError, match="'q' and 'g', of which one is the mean of the other"):
        edited(residual, saying("tensors", name, high=high))


def test_batchnorm_on_integers_can_be_left_in_float(clipped: onnx.ModelProto) -> None:
    assert list(plan(clipped).layers) == ["c1", "n2", "c2"]
    result = edited(clipped, lambda d: d["left_in_float"].update(n2="by hand"))
    assert optimized(result.model)["QLinearConv"] == 2
    assert near(clipped, result) > 25


def test_rounding_and_bias_correction(residual: onnx.ModelProto) -> None:
    result = edited(residual, lambda d: say(d, "layers", "c2", rounding="nearest"))
    assert result.model != quantize(residual).model
    result = edited(residual, lambda d: say(d, "layers", "c2", bias_correction=False))
    assert result.model != quantize(residual).model


def test_notes_and_reasons_are_the_readers_own(residual: onnx.ModelProto) -> None:
    result = edited(residual, lambda d: d.update(notes=["mine"]))
    assert result.report.notes == ("mine",)


def test_step_of_a_tensor_that_no_sum_joins_any_more_has_no_effect(
    residual: onnx.ModelProto,
) -> None:
    def edit(data: Data) -> None:
        say(data, "tensors", "n2", step_of="r")

    scale, _ = grid(edited(residual, edit), "n2")
    assert scale == grid(edited(residual, edit), "r")[0]

    def moved(data: Data) -> None:
        edit(data)
        data["left_in_float"]["a"] = "by hand"

    assert near(residual, edited(residual, moved)) > 20


# Edits that make no sense


def without(kind: str, name: str, *keys: str) -> Edit:
    def edit(data: Data) -> None:
        for key in keys:
            del data[kind][name][key]
        if not keys:
            del data[kind][name]

    return edit


def saying(kind: str, name: str, **entries: object) -> Edit:
    return lambda data: say(data, kind, name, **entries)


def named(kind: str, name: str, entry: object) -> Edit:
    return lambda data: data[kind].update({name: entry})


def both(*edits: Edit) -> Edit:
    def edit(data: Data) -> None:
        for one in edits:
            one(data)

    return edit


APART = without("tensors", "f", "grid_of")
NONSENSE: dict[str, tuple[Edit, str]] = {
    "a stored tensor is missing": (without("tensors", "x"), "tensor 'x', .* is not among tensors"),
    "a layer is missing": (without("layers", "c1"), "'c1' is neither among layers nor in left_in"),
    "an unknown tensor": (
        named("tensors", "z", {"low": 0, "high": 1, "alpha": 0, "layout": [1, 8, 1, 1]}),
        "no tensor 'z'",
    ),
    "an unknown layer": (named("layers", "z", {}), "no layer 'z'"),
    "an unknown layer in float": (named("left_in_float", "z", ""), "no layer 'z'"),
    "an unknown input": (named("inputs", "z", {"low": 0, "high": 1}), "no input 'z'"),
    "no range of the input": (without("inputs", "x"), "input 'x' is not among inputs"),
    "an operator among layers": (named("layers", "a", {}), "Add 'a' is among layers, but has no"),
    "an activation in float": (
        named("left_in_float", "r", ""),
        "Relu 'r' goes with the layer before it",
    ),
    "all layers in float": (
        lambda d: d["left_in_float"].update(dict.fromkeys(("c1", "c2", "o"), "")),
        "every layer in float",
    ),
    "an unknown target": (lambda d: d.update(target="abacus"), "unknown target 'abacus': choose"),
    "an unknown method": (lambda d: d.update(method="magic"), "unknown method 'magic': choose"),
    "an unknown rounding": (
        saying("layers", "c1", rounding="dice"),
        "layer 'c1': unknown rounding 'dice': choose one of nearest",
    ),
    "a layout of another rank": (
        both(saying("tensors", "r", layout=[1, 8])),
        r"tensor 'r' has the layout \[1, 8\], not \[1, 8, 1, 1\]",
    ),
    "too few ends": (
        saying("tensors", "n2", low=[-1, -1]),
        "tensor 'n2': low has 2 numbers: give one for all channels, or 8",
    ),
    "a scale of 0": (
        both(without("tensors", "r", "alpha"), saying("tensors", "r", channel_scale=0)),
        "tensor 'r': every channel_scale must be from",
    ),
    "a scale beyond float32": (
        both(without("tensors", "r", "alpha"), saying("tensors", "r", channel_scale=1e200)),
        "tensor 'r': every channel_scale must be from 1e-15 to 1e",
    ),
    "too few scales": (
        both(without("tensors", "r", "alpha"), saying("tensors", "r", channel_scale=[1, 2])),
        "tensor 'r': channel_scale has 2 numbers",
    ),
    "alpha and scales": (
        saying("tensors", "r", channel_scale=1),
        "tensor 'r' has alpha and channel_scale",
    ),
    "neither": (without("tensors", "r", "alpha"), "'r': no channel_scale .* and no alpha"),
    "an alpha above 1": (saying("tensors", "r", alpha=1.5), "tensor 'r': alpha is 1.5"),
    "a zero off the grid": (saying("tensors", "r", zero=1.2), "'r': zero is 1.2, a share of"),
    "a zero with no room": (
        saying("tensors", "r", low=-1),
        "'r': zero 0 leaves no room for -1 to .*; leave it out",
    ),
    "a range upside down": (saying("tensors", "n2", low=1, high=-1), "'n2': .* must contain 0"),
    "a range beside 0": (saying("tensors", "n2", low=1, high=2), "'n2': .* must contain 0"),
    "a range that is none": (saying("tensors", "r", high=1e-40), "tensor 'r' has steps of"),
    "a range beyond float32": (saying("tensors", "r", high=1e60), "tensor 'r' has steps of"),
    "bits apart on one grid": (
        both(APART, saying("tensors", "f", bits=4, zero=0)),
        "tensors 'g' and 'f' share a grid: give both the same bits",
    ),
    "zero apart on one grid": (
        both(APART, saying("tensors", "f", zero=0.5)),
        "tensors 'g' and 'f' share a grid: give both the same zero",
    ),
    "alpha apart": (
        both(without("tensors", "q", "scale_of"), saying("tensors", "q", alpha=0.125)),
        "tensors 'r' and 'q' share channels: give both the same alpha",
    ),
    "alpha beside scales": (
        both(without("tensors", "q", "scale_of"), saying("tensors", "q", channel_scale=2)),
        "'r' and 'q' share channels: give both alpha or channel_scale",
    ),
    "scales apart": (
        both(by_hand, without("tensors", "q", "scale_of"),
             saying("tensors", "q", channel_scale=[1, 2, 3, 4, 5, 6, 7, 9])),
        "'r' and 'q' share a channel that has the channel_scale 8 in one and 9 in the other",
    ),
    "a step of nothing": (saying("tensors", "q", step_of="z"), "no tensor 'z'"),
    "an input in two minds": (
        saying("inputs", "x", low=-1, high=1),
        "input 'x' spans -1 to 1 in inputs, and -2.118 to 2.64 in tensors: give both the same",
    ),
    "input_bits of a stored tensor": (saying("layers", "c1", input_bits=4), "'c1' has input_bits"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NONSENSE)
def test_edit_beyond_sense_is_refused_in_a_line(kind: str, residual: onnx.ModelProto) -> None:
    edit, words = NONSENSE[kind]
    with pytest.raises(PlanError, match=f"^the plan cannot be applied: .*{words}") as caught:
        edited(residual, edit)
    assert "\n" not in str(caught.value)


def test_weights_of_9_bits_are_refused_in_a_plan_that_was_never_text(
    residual: onnx.ModelProto,
) -> None:
    made = plan(residual)
    layers = made.layers | {"c1": replace(made.layers["c1"], bits=9)}
    with pytest.raises(PlanError, match="layer 'c1' has weights of 9 bits, not 2 to 8"):
        apply(residual, replace(made, layers=layers))


def test_layer_put_on_integers_by_hand_is_refused(residual: onnx.ModelProto) -> None:
    config = Config(exclude=("o",))
    with pytest.raises(PlanError, match="'o' is neither among layers nor in left_in_float"):
        edited(residual, without("left_in_float", "o"), config)
    edit = both(lambda d: d["left_in_float"].clear(), named("layers", "o", {}))
    with pytest.raises(PlanError, match="'q', which runs on integers now, is not among tensors"):
        edited(residual, edit, config)


def test_layer_without_an_integer_kernel_is_refused_among_layers() -> None:
    body = "[c1] c1 = Conv(x, w1) [r] r = Relu(c1) [t] y = ConvTranspose<strides=[2,1]>(r, wt)"
    model = build(body, w1=(8, 3, 3, 3), wt=(8, 4, 2, 2))
    edit = both(lambda d: d["left_in_float"].clear(), named("layers", "t", {}))
    with pytest.raises(PlanError, match=r"'t' is among layers, but cannot .*: onnxruntime has no"):
        edited(model, edit)


@pytest.mark.parametrize("edit", [
    saying("tensors", "k", high=7), saying("tensors", "p", high=12),
    both(without("tensors", "k", "alpha"),
         saying("tensors", "k", channel_scale=[1, 1, 1, 1, 1, 1, 1, 2])),
], ids=["range", "range of what shares its grid", "channel scales"])  # fmt: skip
def test_grid_that_stands_for_relu6_may_not_pass_6(edit: Edit, clipped: onnx.ModelProto) -> None:
    with pytest.raises(PlanError, match=r"tensor '.' never exceeds 6"):
        edited(clipped, edit)


def test_grid_that_stands_for_relu6_may_end_before_6(clipped: onnx.ModelProto) -> None:
    def edit(data: Data) -> None:
        for name in ("k", "p"):
            say(data, "tensors", name, high=5)

    assert grid(edited(clipped, edit), "k")[0] * 255 <= 5 * (1 + 1e-6)


def test_scale_of_what_a_sigmoid_reads_is_1() -> None:
    body = (
        "[c1] c1 = Conv(x, w1) [r] r = Relu(c1) [c2] c2 = Conv(r, w2) [s] s = Sigmoid(c2) "
        "[c3] y = Conv(s, w3)"
    )
    model = build(body, w1=(8, 3, 3, 3), w2=(8, 8, 1, 1), w3=(4, 8, 1, 1))
    edit = both(without("tensors", "c2", "alpha"), saying("tensors", "c2", channel_scale=2))
    with pytest.raises(PlanError, match="'c2' is read in real units: its channel_scale must be 1"):
        edited(model, edit)
