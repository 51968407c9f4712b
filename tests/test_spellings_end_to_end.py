"""Networks of kinds that were once refused or wrong: quantized, loaded as shipped, compared."""

import numpy as np
import onnx
import pytest

from small_networks import Tensors, bn, build, floats, images_for, norm, run, trained, whole
from spiq import Config, quantize
from spiq.errors import ModelError
from spiq.runtime.snr import snr_db

FIRST = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
LAST = "[c9] y = Conv<pads=[1,1,1,1]>(k, w9)"
ROWS = "[p] p = GlobalAveragePool(r1) [f] f = Flatten(p) "

CONCAT = FIRST + "[k] k = Concat<axis=1>(r1, plane) " + LAST
CONCAT_FIRST = FIRST + "[k] k = Concat<axis=1>(plane, r1) " + LAST
GEMM_C = (
    FIRST + ROWS + "[g] g = Gemm<transB=1>(f, h1, b1) [h] y = Gemm<transB=1,beta=0.5>(f, h2, g)"
)
TURNED = (
    FIRST
    + ROWS
    + "[t] t = Transpose<perm=[1,0]>(f) [g] y = Gemm<transA=1,transB=1,alpha=0.5>(t, h1)"
)
ROTARY = (
    FIRST + "[q] q = Reshape(r1, heads) [e] e = Slice(q, from0, to4, axis2) "
    "[o] o = Slice(q, from4, to8, axis2) [m] m = Neg(o) [j] j = Concat<axis=2>(m, e) "
    "[a] a = Mul(q, cosine) [b] b = Mul(j, sine) [s] s = Add(a, b) [k] k = Reshape(s, image) "
    + LAST
)
STRIPS = (
    FIRST + "[h] h = Conv<pads=[0,2,0,2],group=8>(r1, wh) "
    "[v] v = Conv<pads=[2,0,2,0],group=8>(h, wv) "
    "[m] m = Conv(v, w11) [k] k = Mul(m, r1) " + LAST
)

PLANE = np.linspace(-1, 1, 2 * 256, dtype=np.float32).reshape(1, 2, 16, 16)
ANGLE = np.linspace(0, 3, 8 * 256, dtype=np.float32).reshape(1, 1, 8, 256)
NUMBERS: Tensors = {
    "plane": PLANE, "cosine": np.cos(ANGLE), "sine": np.sin(ANGLE), "heads": whole(1, 1, 8, 256),
    "image": whole(1, 8, 16, 16), "from0": whole(0), "from4": whole(4), "to4": whole(4),
    "to8": whole(8), "axis2": whole(2),
}  # fmt: skip
SHAPES = {
    "w1": (8, 3, 3, 3), "h1": (5, 8), "h2": (5, 8), "b1": (5,), "wh": (8, 1, 1, 5),
    "wv": (8, 1, 5, 1), "w11": (8, 8, 1, 1),
}  # fmt: skip


def network(body: str, outputs: str = "y") -> onnx.ModelProto:
    words = set(body.replace("(", " ").replace(")", " ").replace(",", " ").split())
    wide = 10 if "plane" in words else 8
    given = {**SHAPES, **NUMBERS, "w9": (4, wide, 3, 3)}
    used = {name: value for name, value in given.items() if name in words}
    return trained(
        build(body, inputs="float[1,3,16,16] x", outputs=outputs, **used, **norm("n1", 8))
    )


@pytest.mark.parametrize(
    ("body", "least"),
    [(CONCAT, 25), (CONCAT_FIRST, 25), (GEMM_C, 25), (TURNED, 25), (ROTARY, 25), (STRIPS, 18)],
    ids=["constant last", "constant first", "computed C", "transposed", "rotary", "strips"],
)  # fmt: skip
def test_is_quantized_and_as_good_as_float(body: str, least: float) -> None:
    model = network(body)
    result = quantize(model)
    assert len(result.report.layers) - result.report.quantized_layers == 0
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > least


SIDE = "[d] d = Conv<pads=[1,1,1,1]>(r1, w2) [e] e = Conv<pads=[1,1,1,1]>(r1, w3) "
ROUGH = f"{FIRST} [k] k = Resize<mode='cubic'>(r1, , twice) {LAST}".replace("'", '"')
THREE = FIRST + SIDE + "[k] k = Max(r1, d, e) " + LAST
BOUND = FIRST + "[k] k = Max(r1, least) " + LAST
CHANNELS = FIRST + f"[k] k = Resize(r1, , wide) {LAST}"


@pytest.mark.parametrize(
    ("body", "least"),
    [(ROUGH, 28), (THREE, 28), (BOUND, 25), (CHANNELS, 25)],
    ids=["cubic", "largest of three", "no bound", "more channels"],
)
def test_where_a_rule_gives_up_it_is_observed(body: str, least: float) -> None:
    """The layer behind stayed in float. What a cubic swings below 0 was cut off: 5 dB less."""
    numbers = {
        "twice": np.array([1, 1, 2, 2], np.float32), "wide": np.array([1, 2, 1, 1], np.float32),
        "least": np.full((1, 8, 1, 1), -np.inf, np.float32),
    }  # fmt: skip
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 3, 3)}
    given = {**numbers, **shapes, "w9": (4, 16 if "wide" in body else 8, 3, 3)}
    used = {name: value for name, value in given.items() if f"{name})" in body}
    size = "float[1,3,16,16] x"
    model = trained(build(body, inputs=size, opset=18, **used, **norm("n1", 8)))
    result, feed = quantize(model, Config(timing=False)), images_for(model)
    assert {"c1", "c9"} <= {layer.name for layer in result.report.layers if layer.quantized}
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > least


@pytest.mark.parametrize(
    "anchors",
    ["Mul(centres, strides)", "Div(centres, strides)", "Add(centres, strides)", "Neg(centres)"],
)
def test_an_output_may_be_computed_of_constants(anchors: str) -> None:
    """Detectors hand out their anchors: a product of them was a traceback."""
    model = build(
        FIRST + f"[k] k = Identity(r1) {LAST} [a] a = {anchors}",
        inputs="float[1,3,16,16] x",
        outputs="y, a",
        centres=np.linspace(0, 16, 8, dtype=np.float32),
        strides=floats(4) if "strides" in anchors else floats(),
        w1=(8, 3, 3, 3),
        w9=(4, 8, 3, 3),
        **norm("n1", 8),
    )
    feed = images_for(trained(model))
    before, after = run(model, feed), run(quantize(model).model, feed)
    np.testing.assert_array_equal(after["a"], before["a"])


LESS = floats(-np.inf)
RULED_OUT = np.where(np.arange(5) % 2, -np.inf, 0).astype(np.float32)


@pytest.mark.parametrize("last", ["Add(g, mask)", "Where(kept, g, less)"])
def test_scores_that_are_ruled_out_stay_so(last: str) -> None:
    """An infinity in an output was taken for damaged weights, and the network refused."""
    kept = {"mask": RULED_OUT} if "mask" in last else {"kept": RULED_OUT == 0, "less": LESS}
    body = FIRST + ROWS + f"[g] g = Gemm<transB=1>(f, h1, b1) y = {last}"
    shapes = {name: SHAPES[name] for name in ("w1", "h1", "b1")}
    model = trained(build(body, **shapes, **kept, **norm("n1", 8)))
    result, feed = quantize(model), images_for(model)
    before, after = run(model, feed)["y"], run(result.model, feed)["y"]
    np.testing.assert_array_equal(np.isinf(after), np.isinf(before))
    assert 25 < snr_db(before, after) < result.report.snr_interval_db["y"][1]


def test_an_input_may_be_an_output() -> None:
    model = network(FIRST + "[k] k = Identity(r1) " + LAST, outputs="y, x")
    result = quantize(model)
    feed = images_for(model)
    before, after = run(model, feed), run(result.model, feed)
    assert snr_db(before["y"], after["y"]) > 25
    np.testing.assert_array_equal(after["x"], feed["x"])


@pytest.mark.parametrize("depth", [8, 12, 19])
@pytest.mark.parametrize("activation", ["Relu", "Identity"])
def test_numbers_whose_squares_overflow(depth: int, activation: str) -> None:
    rng = np.random.default_rng(0)
    body, source, weights = "", "x", {}
    for index in range(depth):
        weights[f"w{index}"] = (10 * rng.standard_normal((8, 8, 3, 3))).astype(np.float32)
        body += f"[c{index}] c{index} = Conv<pads=[1,1,1,1]>({source}, w{index}) "
        body += f"[r{index}] r{index} = {activation}(c{index}) "
        source = f"r{index}"
    model = build(body + f"[y] y = Mul({source}, tiny)", inputs="float[1,8,8,8] x",
                  tiny=floats(1e-20), **weights)  # fmt: skip
    result = quantize(model)
    assert result.report.quantized_layers >= min(depth, 8)


@pytest.mark.parametrize("shape", [(), (1,), (8, 1, 1), (1, 8, 1, 1), (16,), (16, 16), (8, 16, 16)])
def test_slopes_of_any_shape_that_the_runtime_takes(shape: tuple[int, ...]) -> None:
    slope = np.random.default_rng(0).uniform(0, 0.4, shape).astype(np.float32)
    body = FIRST.replace("Relu(n1)", "PRelu(n1, slope)") + "[k] k = Identity(r1) " + LAST
    given = {"w1": (8, 3, 3, 3), "w9": (4, 8, 3, 3)}
    model = trained(build(body, inputs="float[1,3,16,16] x", slope=np.array(slope, np.float32),
                          **given, **norm("n1", 8)))  # fmt: skip
    result = quantize(model)
    assert result.report.quantized_layers == 2
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


def test_slopes_that_only_the_runtime_refuses_are_said_to_be_so() -> None:
    """As ONNX's first versions had them: one number per channel, aligned from the front."""
    body = FIRST.replace("Relu(n1)", "PRelu(n1, slope)") + "[k] k = Identity(r1) " + LAST
    model = build(body, w1=(8, 3, 3, 3), w9=(4, 8, 3, 3), slope=np.ones(8, np.float32),
                  **norm("n1", 8))  # fmt: skip
    with pytest.raises(ModelError, match=r"shape \[8\] .* ONNX Runtime cannot run it, .* export"):
        quantize(model)


@pytest.mark.parametrize("groups", [2, 4])
def test_a_group_norm_as_exporters_write_it(groups: int) -> None:
    """Channels are taken in groups, normalized, and given back: they are channels still."""
    body = (
        FIRST + "[g] g = Reshape(r1, grouped) [i] i = InstanceNormalization(g, ones, zeros) "
        "[b] b = Reshape(i, image) [m] m = Mul(b, scale) [a] a = Add(m, shift) [r] k = Relu(a) "
        + LAST
    )  # fmt: skip
    rng = np.random.default_rng(0)
    model = trained(build(
        body, inputs="float[1,3,16,16] x", w1=(8, 3, 3, 3), w9=(4, 8, 3, 3),
        grouped=whole(0, groups, -1), image=whole(1, 8, 16, 16), ones=np.ones(groups, np.float32),
        zeros=np.zeros(groups, np.float32), shift=rng.normal(size=(8, 1, 1)).astype(np.float32),
        scale=rng.uniform(0.5, 1.5, (8, 1, 1)).astype(np.float32), **norm("n1", 8),
    ))  # fmt: skip
    result = quantize(model)
    assert result.report.quantized_layers == 2
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 20
