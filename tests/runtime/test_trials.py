"""Where the file leaves doubt, the network is run on pictures of each convention."""

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import spiq
from small_networks import bn, build, he, norm, run, trained
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.ports import NUMPY
from spiq.runtime.synthetic import dead_leaves
from spiq.runtime.trials import tried
from spiq.stats.inputs.biases import any_betas
from spiq.stats.inputs.conventions import CONVENTIONS
from spiq.stats.inputs.judge import judge

DEEP = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) [r1] r1 = Relu(c1) "
    "[c2] c2 = Conv<pads=[1,1,1,1], strides=[2,2]>(r1, w2) "
    + bn("c2", "n2")
    + "[r2] r2 = Relu(n2) [c3] y = Conv(r2, w3)"
)
SIZE = "float[N,3,48,48] x"


def deep(low: float, high: float) -> onnx.ModelProto:
    """A network whose first layer has neither BatchNormalization nor biases."""
    model = build(DEEP, inputs=SIZE, w1=(8, 3, 3, 3), w2=(16, 8, 3, 3), w3=(8, 16, 3, 3),
                  **norm("n2", 16))  # fmt: skip
    return trained(model, 16, low, high)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (-2.118, 2.64)])
def test_moments_behind_several_layers_tell(low: float, high: float) -> None:
    prepared = prepare(read(deep(low, high)))
    verdicts = judge(prepared)
    assert verdicts["x"].rivals
    verdict = tried(prepared, verdicts)["x"]
    assert 0.7 < verdict.best.std / (0.27 * (high - low)) < 1.4
    assert verdict.ends[0] <= low + 0.01 and verdict.ends[1] >= high - 0.01
    assert "what the network does" in verdict.grounds[-1]


def test_the_network_is_left_as_it_was() -> None:
    prepared = prepare(read(deep(0, 1)))
    outputs = [value.name for value in prepared.model.graph.outputs]
    tried(prepared, judge(prepared))
    assert [value.name for value in prepared.model.graph.outputs] == outputs


def test_what_is_certain_is_not_tried() -> None:
    body = "c1 = Conv(x, w1) " + bn("c1", "n1") + "y = Relu(n1)"
    model = trained(build(body, inputs=SIZE, w1=(16, 3, 3, 3), **norm("n1", 16)), 16, 0, 255)
    prepared = prepare(read(model))
    verdicts = judge(prepared)
    assert tried(prepared, verdicts) == verdicts


def test_quantizing_with_a_range_that_is_found_and_by_its_plan() -> None:
    model = deep(0, 255)
    quantized = spiq.quantize(model)
    again = spiq.apply(model, spiq.plan(model))
    assert again.model == quantized.model
    x = (255 * dead_leaves((8, 3, 48, 48), seed=7)).astype(np.float32)
    y, q = run(model, {"x": x})["y"], quantized.run({"x": x})["y"]
    assert 10 * np.log10(np.var(y) / np.square(y - q).mean()) > 25


def test_bytes_run_on_integers_from_the_first_layer() -> None:
    body = (
        "[a] f = Cast<to=1>(x) c1 = Conv(f, w1) " + bn("c1", "n1") + "r = Relu(n1) y = Conv(r, w2)"
    )
    model = build(body, inputs="uint8[N,3,32,32] x", w1=(16, 3, 3, 3), w2=(8, 16, 3, 3),
                  **norm("n1", 16))  # fmt: skip
    result = spiq.quantize(model)
    assert not result.report.float_layers and list(result.plan.inputs) == ["x"]


def folded(dead: int) -> bytes:
    """Five layers whose normalization was folded away, some channels of each cut off."""
    body, weights, source = "", {}, "x"
    for layer in range(1, 6):
        size = (24, 3 if layer == 1 else 24, 3, 3)
        weights[f"w{layer}"] = he(np.random.default_rng(layer), size)
        weights[f"w{layer}"][:dead] = 0
        body += f"[c{layer}] c{layer} = Conv<pads=[1,1,1,1]>({source}, w{layer}) "
        body += bn(f"c{layer}", f"n{layer}") + f"[r{layer}] r{layer} = Relu(n{layer}) "
        weights |= norm(f"n{layer}", 24)
        source = f"r{layer}"
    model = build(body + "[y] y = Identity(r5)", inputs=SIZE, **weights)
    return ir.to_proto(prepare(read(trained(model, 16, 0, 255))).model).SerializeToString()


def test_channels_that_are_cut_off_do_not_tell() -> None:
    """What is left of them is their bias, beside a deviation of 0."""
    odds = []
    for dead in (0, 14):
        prepared = prepare(read(folded(dead)))
        bare = {
            name: replace(one, table=one.table * 0, betas=any_betas())
            for name, one in judge(prepared).items()
        }
        verdict = tried(prepared, bare)["x"]
        assert verdict.best.name == "pixels from 0 to 255"
        index = CONVENTIONS.index(verdict.best)
        odds.append(verdict.table[index, 0] - verdict.table[index, 1])  # over a bare network
    assert abs(odds[0] - odds[1]) < 1


def test_biases_of_last_layers_do_not_tell() -> None:
    """A classifier is not normalized: its biases are none of a normalization's."""
    body, weights, source = "", {}, "x"
    for layer in range(1, 5):
        size = (24, 3 if layer == 1 else 24, 3, 3)
        weights[f"w{layer}"] = he(np.random.default_rng(layer), size)
        body += f"[c{layer}] c{layer} = Conv<pads=[1,1,1,1]>({source}, w{layer}) "
        body += bn(f"c{layer}", f"n{layer}") + f"[r{layer}] r{layer} = Relu(n{layer}) "
        weights |= norm(f"n{layer}", 24)
        source = f"r{layer}"
    heads = {name: he(np.random.default_rng(7), (8, 24, 1, 1)) for name in ("h1", "h2", "h3")}
    body += "[y1] y1 = Conv(r4, h1, b) [y2] y2 = Conv(r4, h2, b) [y3] y3 = Conv(r4, h3, b) "
    body += "[y] y = Concat<axis=1>(y1, y2, y3)"
    tables = []
    for bias in (1e-4, 1.0, 1e4):
        b = np.full(8, bias, np.float32)
        model = build(body, inputs=SIZE, **weights, **heads, b=b)
        folded = ir.to_proto(prepare(read(trained(model, 16, -2.118, 2.64))).model)
        prepared = prepare(read(folded.SerializeToString()))
        verdicts = judge(prepared)
        assert verdicts["x"].rivals
        tables.append(tried(prepared, verdicts)["x"].table)
    assert np.allclose(tables[0], tables[1]) and np.allclose(tables[1], tables[2])


def hardly_shifted(seed: int) -> onnx.ModelProto:
    """Eight layers of small betas, on pictures as bright as ImageNet's."""
    pixels = dead_leaves((16, 3, 48, 48), seed=0)
    width = 0.27 * 4.758 / pixels.std()
    low = 0.023 - width * pixels.mean()
    rng, body, weights, source = np.random.default_rng(seed), "", {}, "x"
    for layer in range(1, 9):
        weights[f"w{layer}"] = he(rng, (24, 3 if layer == 1 else 24, 3, 3))
        body += f"[c{layer}] c{layer} = Conv<pads=[1,1,1,1]>({source}, w{layer}) "
        body += bn(f"c{layer}", f"n{layer}") + f"[r{layer}] r{layer} = Relu(n{layer}) "
        weights |= norm(f"n{layer}", 24)
        weights[f"n{layer}_b"] = (0.2 * rng.standard_normal(24)).astype(np.float32)
        source = f"r{layer}"
    model = build(body + "[y] y = Identity(r8)", inputs=SIZE, **weights)
    return ir.to_proto(prepare(read(trained(model, 16, low, low + width))).model)


def test_small_betas_are_not_counted_twice() -> None:
    """The first layer's biases and the shares of all layers' tell of the same betas.

    Other numbers were up to 18 times as likely as the right ones.
    """
    right = [one.low for one in CONVENTIONS].index(-2.118)
    for seed in range(4):
        prepared = prepare(read(hardly_shifted(seed).SerializeToString()))
        assert tried(prepared, judge(prepared))["x"].odds[right] > -0.6


@pytest.mark.parametrize("kind", ["float", "float16"])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255)])
def test_what_makes_pictures_makes_such_as_it_takes(kind: str, low: float, high: float) -> None:
    """A network that normalizes every picture by itself, as those of another style do."""
    rng, array = np.random.default_rng(0), np.float32 if kind == "float" else np.float16
    network = build(
        "[c] c = Conv<pads=[1,1,1,1]>(x, w1) [n] n = InstanceNormalization(c, g, b) "
        "[r] r = Relu(n) [d] d = Conv<pads=[1,1,1,1]>(r, w2) "
        "[i] i = InstanceNormalization(d, h, e) [y] y = Add(i, m)",
        inputs=f"{kind}[N,3,48,48] x", outputs=f"{kind}[N,3,48,48] y",
        w1=he(rng, (16, 3, 3, 3)).astype(array), w2=he(rng, (3, 16, 3, 3)).astype(array),
        g=np.ones(16, array), b=np.zeros(16, array),
        h=np.full(3, 0.27 * (high - low), array), e=np.zeros(3, array),
        m=np.full((1, 3, 1, 1), low + 0.45 * (high - low), array),
    )  # fmt: skip
    prepared = prepare(read(network))
    verdict = tried(prepared, judge(prepared))["x"]
    likeliest = CONVENTIONS[int(np.argmax(verdict.odds))]
    assert (likeliest.low, likeliest.high) == (low, high)


@pytest.mark.parametrize("made", ["[o] o = Add(x, one) [l] l = Log(o)", "[l] l = Sqrt(x)"])
def test_logarithms_and_roots_are_of_no_negative_pixels(made: str) -> None:
    """Such networks were refused: by the convention taken, they are not finite."""
    body = made + " [c] c = Conv(l, w1) " + bn("c", "n1") + "[r] r = Relu(n1) [h] y = Conv(r, w2)"
    shapes = {"w1": (16, 3, 3, 3), "w2": (8, 16, 3, 3)}
    one = {"one": np.array(1, np.float32)} if "one" in made else {}
    model = trained(build(body, inputs=SIZE, **shapes, **norm("n1", 16), **one), 16, 0, 255)
    prepared = prepare(read(model))
    verdict = tried(prepared, judge(prepared))["x"]
    assert verdict.best.name == "pixels from 0 to 255"


@pytest.mark.parametrize(
    ("kind", "top", "said"),
    [
        ("int32", 255, "range 0 to 255, since it holds integers in colour"),
        ("uint16", 65535, "range 0 to 6.554e+04, since it holds integers in colour"),
        ("uint16", 4095, "range 0 to 4095, since it holds integers in colour"),
        ("double", 255, "assumed pixels from 0 to 255, since its first layers were trained on"),
    ],
)
def test_other_types_in_colour_are_pixels(kind: str, top: int, said: str) -> None:
    """Integers were taken for masks, then for bytes; double precision for numbers around 0."""
    body = (
        "[k] k = Cast<to=1>(x) [c] c = Conv(k, w1) "
        + bn("c", "n1")
        + "[r] r = Relu(n1) [h] y = Conv(r, w2)"
    )
    shapes = {"w1": (16, 3, 3, 3), "w2": (8, 16, 3, 3)}
    norms = norm("n1", 16)
    plain = body.replace("[k] k = Cast<to=1>(x) [c] c = Conv(k", "[c] c = Conv(x")
    floats = trained(build(plain, inputs=SIZE, **shapes, **norms), 16, 0, top)
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in floats.graph.initializer}
    model = build(body, inputs=SIZE.replace("float", kind), **arrays)
    result = spiq.quantize(model, spiq.Config(timing=False))
    assert any(said in note for note in result.report.notes)
    pictures = (top * dead_leaves((8, 3, 48, 48), seed=5)).astype(NUMPY[f"tensor({kind})"])
    wanted = np.concatenate([run(model, {"x": one[None]})["y"] for one in pictures])
    found = np.concatenate([result.run({"x": one[None]})["y"] for one in pictures])
    assert np.square(wanted - wanted.mean()).sum() > 1000 * np.square(wanted - found).sum()
