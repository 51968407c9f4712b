"""What ONNX Runtime makes of each construction that is known to cost a kernel: a row, a network.

Every row runs the whole way. Its optimized graph must hold exactly the operators named (copies of
layout aside), so no float convolution and no island of QuantizeLinear and DequantizeLinear that is
not named; the fused result must be the result of the graph as written, and near the float network.
"""

import re
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_networks import (
    bn,
    build,
    floats,
    images_for,
    norm,
    optimized,
    resolved_of,
    run,
    trained,
    whole,
)
from spiq import Config, Quantized, quantize
from spiq.runtime.snr import snr_db

BRANCH = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1")
OTHER = "[c2] c2 = Conv<pads=[1,1,1,1]>(x, w2) " + bn("c2", "n2")
STEM = f"{BRANCH}[r] r = Relu(n1) "
HEAD = "[o] y = Conv(m, wo)"
NEAREST = '<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">'
SCALAR = "QuantizeLinear DequantizeLinear QLinearConv QLinearConv "
"""The network's input is quantized, its output dequantized, with two convolutions between."""

TWO = f"{SCALAR}Mul "
"""The same where the output has one scale per channel."""

ISLAND = "DequantizeLinear Mul Mul QuantizeLinear "
"""Around a float operator; the Muls restore real units before it and fold them behind it."""

HALF = "DequantizeLinear Mul QuantizeLinear "
"""The same where scales on one side bring too little for the time of a Mul."""

READ = "DequantizeLinear Mul "
"""An output that is read on."""


@dataclass(frozen=True)
class Row:
    """A network that ends in ``y``, and the operators that ONNX Runtime runs for it."""

    name: str
    body: str
    operators: str
    constants: dict[str, object] = field(default_factory=dict)
    config: Config = field(default_factory=Config)
    outputs: str = "y"
    inputs: str = "float[N,3,16,16] x"
    snr: float = 24.0

    def model(self) -> onnx.ModelProto:
        given = {
            "w1": (8, 3, 3, 3),
            "w2": (8, 3, 3, 3),
            "wo": (4, 8, 1, 1),
            **norm("n1", 8, spread=30),
            **norm("n2", 8, spread=30),
            **self.constants,
        }
        used = set(re.findall(r"\w+", self.body))
        constants = {name: array for name, array in given.items() if name in used}
        model = build(self.body, inputs=self.inputs, outputs=self.outputs, **constants)
        return trained(model)


def row(name: str, body: str, operators: str, *, snr: float = 24.0, **constants: object) -> Row:
    outputs = str(constants.pop("outputs", "y"))
    config = Config(**constants.pop("config", {}))  # type: ignore[arg-type]
    return Row(name, body, operators, constants, config, outputs, snr=snr)


def between(name: str, operator: str, operators: str, *, behind: str = "", **more: object) -> Row:
    """A convolution, ReLU, ``operator`` that reads ``r`` (or n1), and a convolution behind it."""
    return row(name, f"{STEM}{behind}[m] m = {operator} {HEAD}", operators, **more)


SIX = {"lo": np.float32(0), "hi": np.float32(6), "n1_g": floats(*8 * [3]), "n1_b": floats(*8 * [3])}
CLIPPED = f"{BRANCH}[m] m = Clip(n1, lo, hi) {HEAD}"
SHUFFLE = (
    f"{STEM}[s1] s1 = Reshape(r, s5) [t] t = Transpose<perm=[0,2,1,3,4]>(s1) "
    f"[s2] m = Reshape(t, s4) {HEAD}"
)
SHAPES = {"s5": whole(0, 2, 4, 16, 16), "s4": whole(0, 8, 16, 16)}
EXCITE = (
    "[g] g = GlobalAveragePool(r) [e1] e1 = Conv(g, wa, ba) [er] er = Relu(e1) "
    f"[e2] e2 = Conv(er, wb) [sg] sg = Sigmoid(e2) [m] m = Mul(r, sg) {HEAD}"
)
DENSE = (
    f"{BRANCH}{OTHER}[k] k = Concat<axis=1>(n1, n2) {bn('k', 'n3')}"
    "[r] r = Relu(n3) [o] y = Conv<pads=[1,1,1,1]>(r, wo)"
)
GEMM = {"wg": (5, 8), "bg": (5,), "wf": (5, 128)}
STATIC = {"config": {"method": "static"}}

ROWS = (
    # A scale per channel around a float operator is a Mul, see the module that emits it.
    between("scales behind PRelu", "PRelu(n1, sl)", f"{TWO}{HALF}PRelu", sl=(8, 1, 1)),
    between("one scale behind PRelu", "PRelu(n1, sl)",
            f"{SCALAR}DequantizeLinear PRelu QuantizeLinear", sl=(8, 1, 1), snr=20, **STATIC),
    between("Sigmoid", "Sigmoid(n1)", f"{TWO}QLinearSigmoid"),
    row("SiLU", f"{BRANCH}[sg] sg = Sigmoid(n1) [m] m = Mul(n1, sg) {HEAD}",
        f"{TWO}QLinearConv QLinearSigmoid QLinearMul"),
    row("an output that is read on", f"{STEM}[o] y = Conv(r, wo)", f"{TWO}{READ}",
        outputs="y, r"),
    # ONNX Runtime moves a Transpose to where it leaves a pair of them behind.
    row("an output below ReLU", f"{STEM}[o] y = Conv(r, wo)",
        f"{TWO}{HALF}QuantizeLinear DequantizeLinear", outputs="y, n1"),
    row("an output of a residual", f"{BRANCH}{OTHER}[m] m = Add(n1, n2) {HEAD}",
        f"{TWO}{READ}QLinearConv QLinearAdd", outputs="y, m"),
    row("ReLU", f"{STEM}[o] y = Conv(r, wo)", TWO),
    row("ReLU6 at 8 bits", CLIPPED, TWO, **SIX),
    row("ReLU6 at 6 bits", CLIPPED, f"{TWO}Clip", config={"activation_bits": 6}, snr=18,
        **SIX),
    row("ReLU6 at 4 bits", CLIPPED, f"{TWO}Clip", config={"activation_bits": 4}, snr=7,
        **SIX),
    between("spatial Pad", "Pad(r, pads)", TWO, pads=whole(0, 0, 1, 1, 0, 0, 1, 1)),
    between("reflecting Pad", 'Pad<mode="reflect">(r, pads)', f"{TWO}Pad",
            pads=whole(0, 0, 1, 1, 0, 0, 1, 1)),
    between("channel Pad", "Pad(r, pads)", f"{TWO}Pad", pads=whole(0, 1, 0, 0, 0, 3, 0, 0),
            wo=(4, 12, 1, 1)),
    between("channel Pad of a signed tensor", "Pad(n1, pads)", f"{TWO}Pad",
            pads=whole(0, 1, 0, 0, 0, 3, 0, 0), wo=(4, 12, 1, 1)),
    # With one scale, channels of anything but zeros would not be small: 18 dB below the signal.
    between("channel Pad of a signed tensor on one scale", "Pad(n1, pads)", f"{SCALAR}Pad",
            pads=whole(0, 1, 0, 0, 0, 3, 0, 0), wo=(4, 12, 1, 1), **STATIC),
    row("channel Pad of an output", f"{STEM}[m] m = Pad(r, pads) {HEAD}",
        f"{SCALAR}DequantizeLinear Pad",
        outputs="y, r", pads=whole(0, 1, 0, 0, 0, 3, 0, 0), wo=(4, 12, 1, 1), **STATIC),
    row("shortcut with a channel Pad",
        f"{STEM}[c3] c3 = Conv<pads=[1,1,1,1]>(r, w3) {bn('c3', 'n3')}[p] p = Pad(r, pads) "
        f"[a] a = Add(n3, p) [m] m = Relu(a) {HEAD}", f"{TWO}QLinearConv Pad QLinearAdd",
        pads=whole(0, 2, 0, 0, 0, 2, 0, 0), w3=(12, 8, 3, 3), wo=(4, 12, 1, 1), **norm("n3", 12)),
    between("MaxPool", "MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)", f"{TWO}NhwcMaxPool"),
    between("AveragePool", "AveragePool<kernel_shape=[2,2], strides=[2,2]>(r)",
            f"{TWO}QLinearAveragePool"),
    between("GlobalAveragePool", "GlobalAveragePool(r)", f"{TWO}QLinearGlobalAveragePool"),
    between("ReduceMean", "ReduceMean<axes=[2,3]>(r)", f"{TWO}QLinearGlobalAveragePool"),
    between("Slice", "Slice(r, a, b, axis)", f"{TWO}Slice", a=whole(2), b=whole(6), axis=whole(1),
            wo=(4, 4, 1, 1)),
    row("Split and Concat",
        f"{STEM}[s] a, b = Split<axis=1>(r, sizes) [ca] ca = Conv(a, wa) [k] m = Concat<axis=1>"
        f"(ca, b) {HEAD}", f"{TWO}QLinearConv Split QLinearConcat", sizes=whole(3, 5),
        wa=(3, 3, 1, 1)),
    row("channel shuffle", SHUFFLE, f"{TWO}Reshape Reshape", **SHAPES),
    between("nearest Resize", f"Resize{NEAREST}(r, , up)", f"{TWO}Resize", up=floats(1, 1, 2, 2)),
    between("linear Resize", 'Resize<mode="linear">(r, , up)', f"{TWO}{ISLAND}Resize",
            up=floats(1, 1, 2, 2)),
    between("HardSwish", "HardSwish(n1)", f"{TWO}QLinearConv QLinearMul"),
    between("LeakyRelu", "LeakyRelu<alpha=0.2>(n1)", f"{TWO}QLinearLeakyRelu"),
    between("ConvTranspose", "ConvTranspose<strides=[2,2], pads=[2,2,2,2]>(r, wt)",
            f"{TWO}QLinearConv DepthToSpace", wt=(8, 8, 6, 6)),
    between("groups of ConvTranspose", "ConvTranspose<strides=[2,2], group=2>(r, wt)",
            f"{TWO}DequantizeLinear Mul ConvTranspose QuantizeLinear", wt=(8, 4, 2, 2)),
    row("residual", f"{STEM}[c3] c3 = Conv<pads=[1,1,1,1]>(r, w3) {bn('c3', 'n3')}"
        f"[a] a = Add(n3, r) [m] m = Relu(a) {HEAD}", f"{TWO}QLinearConv QLinearAdd",
        w3=(8, 8, 3, 3), **norm("n3", 8, spread=30)),
    row("Concat", f"{STEM}{OTHER}[r2] r2 = Relu(n2) [k] m = Concat<axis=1>(r, r2) {HEAD}",
        f"{TWO}QLinearConv QLinearConcat", wo=(4, 16, 1, 1)),
    row("Flatten and Gemm", f"{STEM}[p] p = MaxPool<kernel_shape=[4,4], strides=[4,4]>(r) "
        "[f] f = Flatten(p) [o] y = Gemm<transB=1>(f, wf, bg)",
        "QuantizeLinear QLinearConv NhwcMaxPool Flatten QGemm", **GEMM),
    row("pooled head", f"{STEM}[p] p = ReduceMean<axes=[2,3], keepdims=0>(r) "
        "[o] y = Gemm<transB=1>(p, wg, bg)",
        "QuantizeLinear QLinearConv QLinearGlobalAveragePool Flatten QGemm", **GEMM),
    row("BatchNormalization behind Concat", DENSE, f"{TWO}QLinearConv QLinearConcat",
        wo=(4, 16, 3, 3), **norm("n3", 16)),
    row("squeeze and excitation", STEM + EXCITE,
        f"{TWO}QLinearConv QLinearConv QLinearGlobalAveragePool QLinearSigmoid QLinearMul",
        wa=(4, 8, 1, 1), ba=floats(*4 * [0.5]), wb=(8, 4, 1, 1)),
)  # fmt: skip


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_runtime_keeps_integer_kernels(case: Row) -> None:
    model = case.model()
    result = quantize(model, case.config)
    assert optimized(result.model) == Counter(case.operators.split())
    agrees(model, result, case.snr)
    well_formed(result)


def agrees(model: onnx.ModelProto, result: Quantized, snr: float) -> None:
    feed = images_for(model)
    expected, fused = run(model, feed), run(result.model, feed)
    meant = run(result.model, feed, optimize=False)
    assert list(fused) == list(expected)
    for name, array in expected.items():
        assert fused[name].shape == array.shape
        assert snr_db(array, fused[name]) > snr
        assert snr_db(meant[name], fused[name]) > 35


def well_formed(result: Quantized) -> None:
    """No tensor has two quantizers, and only weights have a scale per channel."""
    graph = onnx.load_from_string(result.model).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    read = [node.input[0] for node in quantizers]
    assert len(set(read)) == len(read)
    back = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    stored = [node for node in back if node.input[0] not in arrays]
    assert all(arrays[node.input[1]].ndim == 0 for node in quantizers + stored)


def test_outputs_have_scales_per_channel() -> None:
    """As in the heads of detectors: a scalar quantizer, then one scale per channel."""
    rows = np.geomspace(0.01, 1, 4).reshape(4, 1, 1, 1)
    weight = (rows * np.random.default_rng(2).standard_normal((4, 8, 1, 1))).astype(np.float32)
    model = Row("", f"{STEM}[o] y = Conv(r, wo)", "", {"wo": weight}).model()
    result = quantize(model)
    assert optimized(result.model) == Counter(TWO.split())
    well_formed(result)
    assert len(set(resolved_of(model)[2].tensors["y"].channel_scale)) == 4
    feed = images_for(model)
    expected, found = run(model, feed)["y"], run(result.model, feed)["y"]
    for channel in range(4):
        assert snr_db(expected[:, channel], found[:, channel]) > 24


@pytest.mark.parametrize("bits", [8, 6, 4])
@pytest.mark.parametrize("method", ["spiq", "static"])
def test_grid_of_an_absorbed_relu6_ends_at_6_or_below(bits: int, method: str) -> None:
    case = row("", CLIPPED, "", **{**SIX, "n1_b": floats(*range(-2, 6))})
    resolved = resolved_of(case.model(), Config(method=method, activation_bits=bits))[2]
    assert resolved.absorbed == ("m",)
    stored = resolved.tensors["m"]
    assert stored.grid.zero_point == 0
    ends = stored.grid.qmax * stored.grid.step * np.array(stored.channel_scale)
    assert ends.max() == pytest.approx(6)


def test_relu_is_absorbed_only_on_a_grid_that_starts_at_zero() -> None:
    for case in (case for case in ROWS if "Relu(" in case.body):
        _, placement, resolved = resolved_of(case.model(), case.config)
        for node in placement.absorbed:
            assert resolved.tensors[str(node.outputs[0].name)].grid.zero_point == 0, case.name


POOLED = f"{STEM}{OTHER}[p] p = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(r) "
NESTED = f"{STEM}{OTHER}[k1] k1 = Concat<axis=1>(r, r) "


@pytest.mark.parametrize(
    "body",
    [
        f"{POOLED}[k] m = Concat<axis=1>(p, n2) {HEAD}",
        f"{NESTED}[k] m = Concat<axis=1>(k1, n2) {HEAD}",
        f"{NESTED}[k] m = Concat<axis=1>(n2, k1) {HEAD}",
    ],
    ids=["MaxPool between", "Concat between", "Concat between, other order"],
)
def test_relu_survives_a_signed_concat_behind_movers(body: str) -> None:
    """The Concat's grid has negative numbers; a ReLU on that grid would be no ReLU."""
    channels = 24 if "k1" in body else 16
    model = Row("", body, "", {"wo": (4, channels, 1, 1)}).model()
    result = quantize(model)
    assert result.plan.tensors["r"].zero == 0
    assert optimized(result.model)["QLinearConv"] == 3
    agrees(model, result, 24)


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_the_portable_target_has_nothing_made_for_one_runtime(case: Row) -> None:
    model = case.model()
    result = quantize(model, replace(case.config, target="portable"))
    well_formed(result)
    agrees(model, result, case.snr - 1)


@pytest.mark.parametrize("method", ["static", "spiq"])
def test_a_layer_left_in_float_between_integers_is_not_rounded(method: str) -> None:
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
        "[c2] c2 = Conv<pads=[1,1,1,1]>(r1, w2) " + bn("c2", "n2") + "[r2] r2 = Relu(n2) "
        "[c3] y = Conv(r2, w3)"
    )
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (4, 8, 1, 1)}
    model = trained(build(body, **shapes, **norm("n1", 8), **norm("n2", 8)))
    found = optimized(quantize(model, Config(method=method, exclude=("c2",))).model)
    assert found["QLinearConv"] == 2


TAIL = "[c2] y = Conv(p, w2)"
BROKEN = {
    "dilated AveragePool": "[p] p = AveragePool<kernel_shape=[2,2], dilations=[2,2]>(r) ",
    "AveragePool that counts the padding of ceil_mode": (
        "[p] p = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1, "
        "count_include_pad=1>(r) "
    ),
    "cubic Resize": '[p] p = Resize<mode="cubic">(r, , factors) ',
    "Resize of axes": (
        '[p] p = Resize<axes=[2,3], keep_aspect_ratio_policy="not_larger">(r, , , sizes) '
    ),
}
GOOD = {
    "AveragePool of ceil_mode that rounds nothing": (
        "[p] p = AveragePool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1, "
        "count_include_pad=1>(r) "
    ),
    "Resize of axes by factors": '[p] p = Resize<axes=[2,3], mode="nearest">(r, , twice) ',
    "Resize of axes to sizes": "[p] p = Resize<axes=[3,2]>(r, , , double) ",
}


def between(node: str) -> onnx.ModelProto:
    body = "[c1] c1 = Conv(x, w1) " + bn("c1", "n1") + "[r] r = Relu(n1) " + node + TAIL
    return trained(
        build(
            body, opset=19, w1=(8, 3, 1, 1), w2=(8, 8, 1, 1), **norm("n1", 8),
            factors=floats(1, 1, 0.8, 0.8), sizes=whole(13, 11), twice=floats(2, 2),
            double=whole(32, 32),
        )
    )  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_the_runtime_breaks_on_integers_stays_in_float(name: str) -> None:
    model = between(BROKEN[name])
    result = quantize(model)
    assert list(result.plan.left_in_float) == ["p"]
    assert any("'p' stays in float: ONNX Runtime" in note for note in result.report.notes)
    assert optimized(result.model)["QLinearConv"] == 2
    feed = images_for(model)
    expected, found = run(model, feed)["y"], run(result.model, feed)["y"]
    assert snr_db(expected, found) > 25


@pytest.mark.parametrize("name", GOOD)
def test_resize_of_some_axes_runs_on_integers(name: str) -> None:
    model = between(GOOD[name])
    result = quantize(model)
    assert not result.plan.left_in_float
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


@pytest.mark.parametrize(
    "mover",
    [
        "[p] p = Pad(r, pads) ",
        "[p] p = MaxPool<kernel_shape=[2,2]>(r) ",
        "[p] p = Slice(r, one, many, two) ",
        "[q] q = Pad(r, pads) [p] p = Slice(q, one, many, two) ",
    ],
)
def test_a_layer_left_in_float_behind_what_moves_data_is_not_rounded(mover: str) -> None:
    """Weights of very different size: one scale for all, the runtime's own, would lose most."""
    body = "[c1] c1 = Conv(x, w1) " + bn("c1", "n1") + "[r] r = Relu(n1) " + mover
    body += "[c2] c2 = Conv<group=8>(p, w2) " + bn("c2", "n2") + "[c3] y = Conv(c2n, w3)"
    body = body.replace("c2n", "n2")
    spread = np.geomspace(0.01, 1, 8).reshape(8, 1, 1, 1)
    weight = (np.random.default_rng(0).standard_normal((8, 1, 3, 3)) * spread).astype(np.float32)
    model = trained(
        build(
            body, w1=(8, 3, 1, 1), w2=weight, w3=(8, 8, 1, 1), **norm("n1", 8), **norm("n2", 8),
            pads=whole(0, 0, 1, 1, 0, 0, 1, 1), one=whole(1), many=whole(99), two=whole(2),
        )
    )  # fmt: skip
    result = quantize(model, Config(exclude=("c2",)))
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25
    kernels = optimized(result.model)
    assert kernels["QLinearConv"] == 2
