"""Statistics of whole networks: what is stated wins, what is unknown is said, spelling is free."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.propagate import Measured, measure

NORM = "BatchNormalization"
IMAGE = stats(
    np.array([0.2, 0.5, -0.3, 1.0]).reshape(1, 4, 1, 1),
    np.array([1.0, 0.3, 2.0, 0.5]).reshape(1, 4, 1, 1),
    -6.0,
    8.0,
    "input",
)


def weights(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.1, 0.4, shape).astype(np.float32)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def norm(channels: int, seed: int = 10) -> dict[str, Any]:
    g, o, m, v = (weights(channels, seed=seed + k) for k in range(4))
    return {"g": g, "o": o, "m": m, "v": np.abs(v) + np.float32(0.1)}


def measured(
    body: str,
    given: str = "float[2,4,6,6] x",
    known: ChannelStats | None = IMAGE,
    *,
    outputs: str = "y",
    **constants: np.ndarray,
) -> Measured:
    proto = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 20]> net ({given}) => ({outputs}) {{ {body} }}'
    )
    for name, array in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return measure(prepare(read(proto)), {} if known is None else {"x": known})


def behind(result: Measured, operator: str, index: int = 0) -> ChannelStats:
    """What is known of the output of the only node of a kind, or of one of several."""
    values = [value for value in result.stats if _operator(value) == operator]
    return result.stats[values[index]]


def _operator(value: ir.Value) -> str:
    producer = value.producer()
    return "" if producer is None else producer.op_type


def output(result: Measured) -> ChannelStats:
    return next(known for value, known in result.stats.items() if value.is_graph_output())


def same(found: ChannelStats, expected: ChannelStats, *, bounds: bool = True) -> None:
    assert found.layout == expected.layout
    pairs = [(found.mean, expected.mean), (found.std, expected.std)]
    pairs += [(found.low, expected.low), (found.high, expected.high)] if bounds else []
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# Stated moments


def test_stated_moments_replace_propagated_ones() -> None:
    parameters = norm(6)
    result = measured(
        f"c = Conv(x, w) n = {NORM}(c, g, o, m, v) y = Relu(n)", w=weights(6, 4, 3, 3), **parameters
    )
    conv = behind(result, "Conv")
    assert conv.source == "norm"
    np.testing.assert_allclose(conv.mean.ravel(), parameters["o"])
    assert output(result).source == "propagated"
    assert (output(result).low >= 0).all()


def test_stated_moments_keep_the_bounds_of_the_rule() -> None:
    parameters = norm(6) | {"m": np.array([0.5, 1, 0.2, 0, -0.3, 2], np.float32)}
    result = measured(
        f"c = Conv(x, w) r = Clip(c, zero, six) n = {NORM}(r, g, o, m, v) y = Neg(n)",
        w=weights(6, 4, 3, 3),
        zero=np.array(0, np.float32),
        six=np.array(6, np.float32),
        **parameters,
    )
    clip = behind(result, "Clip")
    assert clip.source == "norm"
    assert np.unique(clip.low).tolist() == [0]
    assert np.unique(clip.high).tolist() == [6]
    np.testing.assert_allclose(clip.mean.ravel(), [0.5, 1, 0.2, 0, 0, 2], rtol=1e-6)
    np.testing.assert_allclose(clip.var.ravel(), parameters["v"], rtol=1e-6)


def test_stated_moments_of_an_input_replace_what_was_assumed_of_it() -> None:
    parameters = norm(4)
    result = measured(
        f"n = {NORM}(x, g, o, m, v) y = Conv(n, w)", w=weights(6, 4, 3, 3), **parameters
    )
    known = behind(result, "")
    assert known.source == "norm"
    np.testing.assert_allclose(known.mean.ravel(), parameters["m"])
    assert (known.low == IMAGE.low).all()
    assert (known.high == IMAGE.high).all()


def test_moments_behind_a_concat_are_handed_to_what_it_joins() -> None:
    parameters = norm(14)
    result = measured(
        "a = Conv(x, w) r = Relu(a) b = Conv(x, u) s = Neg(b) c = Conv(x, u) t = Abs(c) "
        f"i = Concat<axis=1>(s, t) j = Concat<axis=1>(r, i) n = {NORM}(j, g, o, m, v) y = Relu(n)",
        w=weights(6, 4, 3, 3, seed=2),
        u=weights(4, 4, 3, 3),
        **parameters,
    )
    mean, var = parameters["m"], parameters["v"]
    for operator, start, end in [("Relu", 0, 6), ("Neg", 6, 10), ("Abs", 10, 14)]:
        known = behind(result, operator)
        assert known.source == "norm"
        floor = known.low.ravel()
        np.testing.assert_allclose(known.mean.ravel(), np.maximum(mean[start:end], floor), 1e-6)
        np.testing.assert_allclose(known.var.ravel(), var[start:end], 1e-6)
    np.testing.assert_allclose(behind(result, "Concat").var.ravel(), var[6:], 1e-6)
    np.testing.assert_allclose(behind(result, "Concat", 1).var.ravel(), var, 1e-6)


def test_a_tensor_with_moments_of_its_own_gets_none_from_a_concat() -> None:
    own: dict[str, Any] = {f"{name}2": array for name, array in norm(6, seed=20).items()}
    result = measured(
        f"a = Conv(x, w) b = {NORM}(a, g2, o2, m2, v2) r = Conv(x, w) j = Concat<axis=1>(b, r) "
        f"n = {NORM}(j, g, o, m, v) y = Add(n, j)",
        w=weights(6, 4, 3, 3),
        **norm(12),
        **own,
    )
    np.testing.assert_allclose(behind(result, "Conv", 0).mean.ravel(), own["o2"], rtol=1e-6)
    np.testing.assert_allclose(behind(result, "Conv", 1).mean.ravel(), norm(12)["m"][6:], rtol=1e-6)


# What is unknown


def test_an_operator_without_a_rule_is_named_and_hides_what_follows() -> None:
    result = measured(
        "c = Conv(x, w) [odd] s = Asinh(c) r = Relu(s) d = Conv(r, u) "
        f"n = {NORM}(d, g, o, m, v) y = Relu(n)",
        w=weights(6, 4, 3, 3),
        u=weights(6, 6, 3, 3),
        **norm(6),
    )
    assert result.unknown == ("Asinh 'odd'",)
    operators = [_operator(value) for value in result.stats]
    assert operators == ["", "Conv", "Conv", "Relu"]
    assert behind(result, "Conv", 1).source == "norm"


def test_a_form_that_a_rule_does_not_know_is_named() -> None:
    body = "c = Conv(x, w) [odd] y = LpNormalization<axis=1, p=1>(c)"
    assert measured(body, w=weights(6, 4, 3, 3)).unknown == ("LpNormalization 'odd'",)


def test_nothing_is_known_behind_an_unknown_input() -> None:
    result = measured("[only] y = Conv(x, w)", known=None, w=weights(6, 4, 3, 3))
    assert result.stats == {}
    assert result.unknown == ()


def test_waves_of_places_lie_between_their_ends() -> None:
    """Places are counted as the network runs, as for rotary embeddings: whatever they are."""
    body = "k = Cast<to=7>(x) f = Cast<to=1>(k) s = Sin(f) y = Conv(s, w)"
    found = measured(body, w=weights(6, 4, 3, 3))
    (wave,) = (known for value, known in found.stats.items() if _operator(value) == "Sin")
    assert (wave.low == -1).all() and (wave.high == 1).all() and wave.layout == (1, 1, 1, 1)


def test_no_statistics_end_where_a_size_is_read() -> None:
    body = """
        c = Conv<pads=[1,1,1,1]>(x, w)
        n = Shape<start=0, end=1>(c)
        k = Shape<start=1>(x)
        t = Concat<axis=0>(n, k)
        y = Resize<mode="linear">(c, , , t)
    """
    result = measured(body, "float[N,4,6,6] x", w=weights(4, 4, 3, 3))
    assert result.unknown == ()


def test_a_network_that_is_known_has_nothing_unknown() -> None:
    result = measured("c = Conv(x, w) y = Relu(c)", w=weights(6, 4, 3, 3))
    assert result.unknown == ()
    assert len(result.stats) == 3


# Two spellings


@pytest.mark.parametrize("layer", ["Conv<pads=[1,1,1,1]>", "Conv", "Conv<strides=[2,2]>"])
def test_a_normalization_and_its_fold_state_the_same(layer: str) -> None:
    weight, parameters = weights(6, 4, 3, 3), norm(6)
    raw = behind(measured(f"y = {layer}(x, w)", w=weight), "Conv")
    m, v = raw.mean.ravel().astype(np.float32), raw.var.ravel().astype(np.float32)
    a = parameters["g"] / np.sqrt(v + 1e-5)
    stated = measured(
        f"c = {layer}(x, w) y = {NORM}(c, g, o, m, v)", w=weight, **parameters | {"m": m, "v": v}
    )
    folded = measured(
        f"y = {layer}(x, w, b)",
        w=(weight * a.reshape(-1, 1, 1, 1)).astype(np.float32),
        b=(parameters["o"] - m * a).astype(np.float32),
    )
    assert output(stated).source == "norm"
    assert output(folded).source == "propagated"
    same(output(stated), output(folded), bounds=False)


CONSTANTS: dict[str, Any] = {
    "w": weights(6, 4, 3, 3),
    "i": weights(3, 6),
    "j": np.ascontiguousarray(weights(3, 6).T),
    "k": weights(3),
    "p": whole(0, 0, 1, 1, 0, 0, 1, 1),
    "zero": np.array(0, np.float32),
    "big": np.array(3e38, np.float32),
    "q": weights(6, 1, 1),
    "minus_q": -weights(6, 1, 1),
    "half": np.array([0.5], np.float32),
    "two": np.array([2], np.float32),
    "n": whole(2, 4),
    "s0": whole(0),
    "s2": whole(2),
    "s6": whole(6),
    "a1": whole(1),
    "a23": whole(2, 3),
    "flat": whole(2, -1),
    "five": whole(2, 2, 3, 4, 4),
    "four": whole(2, 6, 4, 4),
}
START = "c = Conv(x, w) t = Tanh(c)"
SPELLINGS = [
    ("z = Pad(x, p) y = Conv(z, w)", "y = Conv<pads=[1,1,1,1]>(x, w)"),
    ('y = Conv<auto_pad="SAME_LOWER">(x, w)', "y = Conv<pads=[1,1,1,1]>(x, w)"),
    (f"{START} y = Relu(t)", f"{START} y = Clip(t, zero, big)"),
    (f"{START} y = Relu(t)", f"{START} y = LeakyRelu<alpha=0.0>(t)"),
    (f"{START} s = Sigmoid(t) y = Mul(t, s)", f"{START} s = Sigmoid(t) y = Mul(s, t)"),
    (
        f"{START} s = HardSigmoid<alpha=0.16666667>(t) y = Mul(t, s)",
        f"{START} y = HardSwish(t)",
    ),
    (f"{START} y = Sub(t, q)", f"{START} y = Add(t, minus_q)"),
    (f"{START} y = Div(t, two)", f"{START} y = Mul(half, t)"),
    (f"{START} y = Neg(t)", f"{START} y = Sub(zero, t)"),
    ("c = Conv(x, w) y = Add(c, q)", "c = Conv(x, w) d = Sub(c, minus_q) y = Identity(d)"),
    (
        f"{START} a, b = Split<axis=1>(t, n) y = Concat<axis=1>(b, a)",
        f"{START} a = Slice(t, s0, s2, a1) b = Slice(t, s2, s6, a1) y = Concat<axis=-3>(b, a)",
    ),
    (f"{START} y = Flatten(t)", f"{START} y = Reshape(t, flat)"),
    (
        f"{START} r = Reshape(t, five) u = Transpose<perm=[0,2,1,3,4]>(r) y = Reshape(u, four)",
        f"{START} r = Gather<axis=1>(t, shuffled) y = Identity(r)",
    ),
    (f"{START} y = ReduceMean<keepdims=1>(t, a23)", f"{START} y = GlobalAveragePool(t)"),
    (
        f"{START} g = ReduceMean<keepdims=0>(t, a23) h = MatMul(g, j) y = Add(h, k)",
        f"{START} g = GlobalAveragePool(t) f = Flatten(g) y = Gemm<transB=1>(f, i, k)",
    ),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_two_spellings_have_the_same_statistics(one: str, other: str) -> None:
    constants = CONSTANTS | {"shuffled": whole(0, 3, 1, 4, 2, 5)}
    first, second = (measured(body, **constants) for body in (one, other))
    assert first.unknown == second.unknown == ()
    same(output(first), output(second))


def test_a_normalization_folded_forward_leaves_the_statistics_behind_it() -> None:
    constants = norm(6) | {"w": weights(6, 4, 3, 3), "u": weights(6, 6, 3, 3)}
    body = f"c = Conv(x, w) r = Relu(c) n = {NORM}(r, g, o, m, v)"
    folded = measured(f"{body} y = Conv(n, u)", **constants)
    kept = measured(f"{body} y = Conv(n, u) z = Neg(n)", outputs="y, z", **constants)
    assert not any(_operator(value) == NORM for value in folded.stats)
    same(behind(folded, "Conv", 1), behind(kept, "Conv", 1), bounds=False)


def test_the_batch_size_does_not_matter() -> None:
    body = "c = Conv<pads=[1,1,1,1]>(x, w) r = Relu(c) g = GlobalAveragePool(r) y = Flatten(g)"
    sizes = ("float[1,4,6,6] x", "float[7,4,6,6] x", "float[N,4,6,6] x")
    first, *others = (output(measured(body, size, w=weights(6, 4, 3, 3))) for size in sizes)
    for other in others:
        same(other, first)
