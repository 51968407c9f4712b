"""Equalized ranges of weights and absorbed biases: the function stays, ranges agree."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

import zoo
from network_kinds import KINDS
from small_networks import bn, build, images_for, norm, run, trained
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes import equalize as passes
from spiq.passes.equalize import Pair, columns, equalize, find_pairs, rows
from spiq.passes.layer_weights import weight_and_bias
from spiq.passes.prepare import Prepared, prepare
from spiq.runtime.snr import snr_db

CONV = "Conv<pads=[1,1,1,1]>"
NORMS = {**norm("n1", 8, spread=100), **norm("n2", 8, spread=100)}
SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (4, 8, 1, 1)}


def chain(join: str = "Relu", **changed: object) -> onnx.ModelProto:
    body = (
        f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}[r1] r1 = {join}(n1) "
        f"[c2] c2 = {CONV}(r1, w2) {bn('c2', 'n2')}[r2] r2 = {join}(n2) [c3] y = Conv(r2, w3)"
    )
    return trained(build(body, **{**SHAPES, **NORMS, **changed}))  # type: ignore[arg-type]


def magnitudes(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of each channel between a pair: of the rows before, the columns behind."""
    first, second = (passes._magnitudes(node) for node in (pair.first, pair.second))
    return rows(first), columns(pair.second, second)


def without_absorption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_absorbs", lambda pair: False)


def same_function(model: onnx.ModelProto, prepared: Prepared, least: float) -> None:
    feed = images_for(model)
    expected, actual = run(model, feed), run(serialize(prepared.model), feed)
    for name, array in expected.items():
        assert snr_db(array, actual[name]) > least, name


@pytest.mark.parametrize("join", ["Relu", "LeakyRelu<alpha=0.2>", "Identity"])
def test_ranges_agree_and_the_function_stays(join: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_absorption(monkeypatch)
    model = chain(join)
    before = [magnitudes(pair) for pair in find_pairs(prepare(read(model)).model.graph)]
    assert any((first / second).max() > 3 * (first / second).min() for first, second in before)
    prepared = equalize(prepare(read(model)))
    pairs = find_pairs(prepared.model.graph)
    assert [(pair.first.name, pair.second.name) for pair in pairs] == [("c1", "c2"), ("c2", "c3")]
    for pair in pairs:
        first, second = magnitudes(pair)
        ends = highest(prepared, str(pair.first.outputs[0].name))
        free = ends < ends.max() * (1 - 1e-6)
        np.testing.assert_allclose(first[free], second[free], rtol=5e-3)
        assert free.sum() >= 4
    same_function(model, prepared, 100)


def test_ranges_of_a_depthwise_convolution_agree_with_both_neighbours() -> None:
    """Without limits: the cube root of the product of all three, as in closed form."""
    model = KINDS["depthwise"]()
    for node in model.graph.node:
        if node.op_type == "Clip":
            node.op_type = "Relu"
            del node.input[1:]
    prepared = prepare(read(model))
    pairs = find_pairs(prepared.model.graph)
    (r1, r2), (_, r3) = (magnitudes(pair) for pair in pairs)
    first, second = passes.factors(pairs, {})
    agreed = np.cbrt(r1 * r2 * r3)
    np.testing.assert_allclose(r1 / first, agreed, rtol=5e-3)
    np.testing.assert_allclose(r3 * second, agreed, rtol=5e-3)


def test_what_is_stated_follows() -> None:
    """Stated moments are those that the equalized network has."""
    model = chain()
    prepared = equalize(prepare(read(model)))
    values = [pair.first.outputs[0] for pair in find_pairs(prepared.model.graph)]
    feed = images_for(model)
    proto = onnx.load_from_string(serialize(prepared.model))
    found = run(proto, feed, outputs=[str(value.name) for value in values])
    for value in values:
        stated, array = prepared.stated[str(value.name)], found[str(value.name)]
        size = np.abs(stated.mean) + np.sqrt(stated.var)
        np.testing.assert_allclose(array.mean(axis=(0, 2, 3)) / size, stated.mean / size, atol=1e-3)
        np.testing.assert_allclose(array.var(axis=(0, 2, 3)), stated.var, rtol=1e-3)
        norm_of = next(norm for norm in prepared.norms if norm.value is value)
        assert norm_of.a is not None and norm_of.b is not None
        moved = norm_of.input.through(norm_of.a, norm_of.b)
        np.testing.assert_allclose(moved.mean / size, stated.mean / size, atol=1e-3)
        np.testing.assert_allclose(moved.var, stated.var, rtol=1e-3)


def test_no_channel_is_scaled_beyond_the_widest() -> None:
    """Channels of hardly any weight would make of their biases the range of all."""
    beta = NORMS["n1_b"].copy()
    gamma = NORMS["n1_g"].copy()
    gamma[:2], beta[:2] = 1e-7, 0.5
    model = chain(n1_g=gamma, n1_b=beta)
    before = prepare(read(model))
    name = str(find_pairs(before.model.graph)[0].first.outputs[0].name)
    widest = highest(before, name).max()
    after = equalize(before)
    assert highest(after, name).max() <= widest * (1 + 1e-6)
    same_function(model, after, 60)


def highest(prepared: Prepared, name: str) -> np.ndarray:
    stated = prepared.stated[name]
    return np.asarray(stated.mean + 6 * np.sqrt(stated.var))


@pytest.mark.parametrize("name", ["w1", "w2"])
def test_channels_without_weight_stay(name: str) -> None:
    weight = np.random.default_rng(0).standard_normal(SHAPES[name]).astype(np.float32)
    weight[:3] = 0
    if name == "w2":
        weight[:, :2] = 0
    model = chain(**{name: weight})
    same_function(model, equalize(prepare(read(model))), 60)


# ReLU6


def test_relu6_stays_and_only_channels_that_never_reach_it_are_scaled() -> None:
    model = KINDS["depthwise"]()
    before = prepare(read(model))
    pairs = find_pairs(before.model.graph)
    ends = [highest(before, str(pair.first.outputs[0].name)) for pair in pairs]
    assert any((end > 6).any() for end in ends) and any((end <= 6).any() for end in ends)
    factors = passes.factors(pairs, before.stated)
    for end, factor in zip(ends, factors, strict=True):
        assert (factor[end > 6] == 1).all()
        assert (end / factor <= 6 * (1 + 1e-9))[end <= 6].all()
    after = equalize(before)
    assert sum(node.op_type == "Clip" for node in after.model.graph) == 2
    same_function(model, after, 60)


# Absorption


def positive(join: str = "Relu", pads: str = "") -> onnx.ModelProto:
    """Channels far above 0 between a convolution and one that does not pad, by default."""
    body = f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}[r1] r1 = {join} [c2] y = Conv{pads}(r1, w2)"
    return trained(build(body, **{**SHAPES, **NORMS, "n1_b": 20 * NORMS["n1_g"]},
                         low=np.float32(0), high=np.float32(6)))  # fmt: skip


def test_high_biases_move_on_and_the_function_stays_where_nothing_is_below() -> None:
    model = positive("Relu(n1)")
    prepared = equalize(prepare(read(model)))
    pair = find_pairs(prepared.model.graph)[0]
    name = str(pair.first.outputs[0].name)
    stated = prepared.stated[name]
    np.testing.assert_allclose(stated.mean, 3 * np.sqrt(stated.var), rtol=1e-6)
    assert np.abs(weight_and_bias(pair.second)[1]).max() > 0
    feed, after = images_for(model), onnx.load_from_string(serialize(prepared.model))
    expected, actual = run(model, feed)["y"], run(after, feed)["y"]
    above = (run(after, feed, outputs=[name])[name] >= 0).all(axis=1)
    assert 0.9 < above.mean() < 1
    seen = np.stack([above[:, i : i + 14, j : j + 14] for i in range(3) for j in range(3)])
    whole = seen.all(axis=0)
    np.testing.assert_allclose(
        expected.transpose(0, 2, 3, 1)[whole], actual.transpose(0, 2, 3, 1)[whole], atol=1e-3
    )
    assert snr_db(expected, actual) > 40


@pytest.mark.parametrize(
    "model",
    [
        lambda: positive("Relu(n1)", pads="<pads=[1,1,1,1]>"),
        lambda: positive("LeakyRelu<alpha=0.1>(n1)"),
        lambda: chain("Identity"),
    ],
    ids=["zero padding", "no ReLU", "nothing"],
)
def test_nothing_is_absorbed_where_that_would_change_the_function(
    model: Callable[[], onnx.ModelProto],
) -> None:
    network = model()
    prepared = equalize(prepare(read(network)))
    assert not any(passes._absorbs(pair) for pair in find_pairs(prepared.model.graph))
    same_function(network, prepared, 100)


# Pairs


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        (f"[c1] c = {CONV}(x, w1) [r] r = Relu(c) [c2] y = {CONV}(r, w2) [c3] z = {CONV}(r, w2)",
         "y, z"),
        (f"[c1] c = {CONV}(x, w1) [r] r = Relu(c) [c2] y = {CONV}(r, w2)", "y, r"),
        (f"[c1] c = {CONV}(x, w1) [r] r = Sigmoid(c) [c2] y = {CONV}(r, w2)", "y"),
        (f"[c1] c = {CONV}(x, w1) [r] r = Relu(c) [a] a = Add(r, one) [c2] y = {CONV}(a, w2)",
         "y"),
        (f"[t] c = ConvTranspose<dilations=[2,2]>(x, wt) [r] r = Relu(c) [c2] y = {CONV}(r, w2)",
         "y"),
    ],
    ids=["two readers", "an output", "Sigmoid", "Add", "ConvTranspose"],
)  # fmt: skip
def test_what_is_no_pair(body: str, outputs: str) -> None:
    one = np.ones((1, 8, 16, 16), np.float32)
    model = build(body, outputs=outputs, w1=(8, 3, 3, 3), w2=(8, 8, 3, 3), wt=(3, 8, 1, 1), one=one)
    assert not find_pairs(prepare(read(model)).model.graph)


def test_gemms_are_pairs_too() -> None:
    model = KINDS["gemms"]()
    prepared = prepare(read(model))
    assert len(find_pairs(prepared.model.graph)) == 2
    same_function(model, equalize(prepared), 100)


@pytest.mark.zoo
@pytest.mark.parametrize(
    "network",
    ["classification/resnet20-cifar10", "classification/mobilenetv1-0.25-person",
     "detection/mobilenetv2-yolov3-nano", "segmentation/espnetv2-2.0-voc"],
)  # fmt: skip
def test_real_networks_stay_the_same_function(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zoo.model(network)
    without_absorption(monkeypatch)
    same_function(onnx.load(path), equalize(prepare(read(path))), 100)
